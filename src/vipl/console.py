"""What commands print by: nothing that a file's name or a library says may steer the terminal."""

import sys
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import IO, Any

import rich.console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.segment import Segment

_JOINERS = "\u200c\u200d"  # which several scripts, and signs, are written with


def visible(text: str) -> str:
    """Return text on one line, in which every control character is shown by its escape.

    Colours, cursor moves and line ends are control characters, and so is what turns the direction
    of writing. What is left of a name that is no UTF-8 is shown, too, and can be printed.
    """
    if text.isprintable():
        return text
    return "".join(one if _is_shown(one) else one.encode("unicode_escape").decode() for one in text)


def _is_shown(character: str) -> bool:
    return (
        character.isprintable()
        or character in _JOINERS
        or unicodedata.category(character) == "Zs"  # spaces of other widths
    )


def say(*lines: str, file: IO[str] | None = None, flush: bool = False) -> None:
    """Print lines, each as `visible`."""
    print(*map(visible, lines), sep="\n", file=file or sys.stdout, flush=flush)


class Console(rich.console.Console):
    """Rich's console for what is not ours: text is `visible`, brackets in it are no markup.

    It leaves a closed pipe, as of `| head`, to the command.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"markup": False, "emoji": False, **options})

    def print(self, *objects: Any, **options: Any) -> None:
        """Print objects; text stays on its line."""
        super().print(
            *(visible(one) if isinstance(one, str) else one for one in objects), **options
        )

    def _render_buffer(self, buffer: Iterable[Segment]) -> str:
        """Return what goes to the terminal: rich's own control sequences, and none of others."""
        return super()._render_buffer(
            one if one.control else one._replace(text=_visible_lines(one.text)) for one in buffer
        )

    def on_broken_pipe(self) -> None:
        """Raise the error on: rich would end the process with status 1."""
        raise  # the error that rich is handling


def _visible_lines(text: str) -> str:
    return text if text.isprintable() else "\n".join(map(visible, text.split("\n")))


@contextmanager
def progress(description: str, *, total: int | None = None) -> Iterator[Progress]:
    """Show a progress bar with one task on the standard error."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        bar.add_task(description, total=total)
        yield bar
