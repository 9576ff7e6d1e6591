"""What is printed: nothing in a name steers the terminal."""

import ast
import io

import pytest
from rich.table import Table
from rich.text import Text

from tests import ROOT
from vipl.cli import _refuse
from vipl.console import Console, say, visible

EVIL = "a\x1b[2J\x1b]0;title\x07\nvipl: all is well\r\x9b31m\u202e"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain größe 図 → e\u0301", "plain größe 図 → e\u0301"),
        ("a\nb\tc", r"a\nb\tc"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("\x9b31m", r"\x9b31m"),
        ("\u202egpj.exe", r"\u202egpj.exe"),
        ("caf\udce9.mp4", r"caf\udce9.mp4"),  # of a name that is no UTF-8
        ("a\u00a0b\u200d", "a\u00a0b\u200d"),
    ],
)
def test_control_characters_are_shown_by_their_escapes(text, shown):
    assert visible(text) == shown


def check(printed: str, lines: int) -> None:
    assert printed.count("\n") == lines
    assert printed.replace("\n", "").isprintable()
    assert "\nvipl: all" not in printed


def test_lines_errors_and_consoles(capsys):
    say(f"read {EVIL}", "second")
    check(capsys.readouterr().out, 2)
    assert _refuse(f"{EVIL} cannot be read", False) == 2
    check(capsys.readouterr().err, 1)
    stream = io.StringIO()
    Console(file=stream, soft_wrap=True).print(f"read {EVIL} [bold]clip[/] :smile:")
    check(stream.getvalue(), 1)
    assert "[bold]clip[/] :smile:" in stream.getvalue()


def test_tables_keep_their_colours_and_nothing_else(capsys):
    stream = io.StringIO()
    table = Table()
    table.add_column("name")
    table.add_row(Text("a\x1b[2Jb", style="red"))
    Console(file=stream, force_terminal=True, color_system="standard").print(table)
    assert r"a\x1b[2Jb" in stream.getvalue()
    assert "\x1b[31m" in stream.getvalue()
    assert "\x1b[2J" not in stream.getvalue()


def test_no_command_prints_the_escape_of_a_line_end_of_its_own():
    for path in [*ROOT.glob("src/**/*.py"), *ROOT.glob("evaluators/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("say", ".print")):
                texts = [one for given in node.args for one in ast.walk(given)]
                ends = [
                    one for one in texts if isinstance(one, ast.Constant) and "\n" in str(one.value)
                ]
                assert not ends, f"{path}:{node.lineno}: a line end in what is printed on one line"
