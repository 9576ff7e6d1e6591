"""The messages that the page on troubleshooting quotes are those of the source."""

import ast
import re

import pytest

from tests import ROOT

PAGE = (ROOT / "docs/how-to/troubleshooting.md").read_text()
QUOTED = re.findall(r"^\| `(.+?)` \|", PAGE, re.MULTILINE)


def templates() -> list[list[str]]:
    """Return every text of the source, as the parts between its placeholders."""
    found = []
    for package in ("src", "evaluators"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.JoinedStr):
                    parts = [getattr(value, "value", None) for value in node.values]
                    found.append([part if isinstance(part, str) else "\0" for part in parts])
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.append([node.value])
    return found


TEMPLATES = ["".join(parts) for parts in templates()]


def is_said(message: str) -> bool:
    """Whether one text of the source has all of a message, in order, … standing for anything."""
    pattern = re.compile(".*".join(map(re.escape, message.split("…"))), re.DOTALL)
    return any(pattern.search(template) for template in TEMPLATES)


def test_many_are_quoted():
    assert len(QUOTED) >= 40


@pytest.mark.parametrize("message", QUOTED)
def test_the_source_says_it(message):
    assert max(map(len, message.split("…"))) >= 8, "a message must quote more than this"
    assert is_said(message)


def test_what_is_not_said_is_noticed():
    assert not is_said("there is no elephant …")
    assert not is_said("…: expected …there is no")
