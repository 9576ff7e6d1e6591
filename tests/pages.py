"""The pages of the documentation, and the code that they show."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]

PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/**/*.md", "data_manifests/*.md")
    for path in ROOT.glob(pattern)
)

_FENCE = re.compile(r"^( *)```([^\n`]*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
_NEEDS = re.compile(r'^title="(needs [^"]+)"$')
_INLINE = re.compile(r"`([^`\n]+)`")
_ASSIGNMENT = re.compile(r"^[A-Z][A-Z0-9_]*=")


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Attributes:
        page: Its path in the repository.
        line: Of the page, from 1.
        language: Or "".
        info: What follows the language, such as `title="needs a GPU"`.
        text: Without the fence and its indentation.
    """

    page: str
    line: int
    language: str
    info: str
    text: str

    @property
    def needs(self) -> str | None:
        """What a test has not got; None: the block is run."""
        found = _NEEDS.match(self.info)
        return found and found[1]

    @property
    def commands(self) -> list[list[str]]:
        """The words of its commands, without comments and the variables set before them."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [words for words in (shlex.split(line, comments=True) for line in lines) if words]


def blocks(page: str) -> list[Block]:
    """Return the fenced blocks of a page."""
    content = (ROOT / page).read_text()
    found = []
    for match in _FENCE.finditer(content):
        language, _, info = match[2].strip().partition(" ")
        text = re.sub(rf"^{match[1]}", "", match[3], flags=re.MULTILINE)
        line = content[: match.start()].count("\n") + 1
        found.append(Block(page, line, language, info.strip(), text))
    return found


def inline_code(page: str) -> list[str]:
    """Return what a page has between single backticks."""
    return _INLINE.findall(_FENCE.sub("", (ROOT / page).read_text()))


def without_assignments(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """Split `NAME=value … command …` into the variables and the command."""
    count = 0
    while count < len(words) and _ASSIGNMENT.match(words[count]):
        count += 1
    return dict(word.split("=", 1) for word in words[:count]), words[count:]
