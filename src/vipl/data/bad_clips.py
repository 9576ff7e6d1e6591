"""Clips that could not be read, and the lists of them."""

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from vipl.files import write_atomically


class BadClip(NamedTuple):
    """A clip that could not be read.

    Attributes:
        clip_id: Of the clip.
        path: Of its video, relative to the manifest.
        reason: One sentence.
    """

    clip_id: str
    path: str
    reason: str


def write_bad_clips(path: Path, clips: Iterable[BadClip]) -> None:
    """Write a list as CSV, sorted.

    Raises:
        OSError: If it cannot be written.
    """

    def write(temporary: Path) -> None:
        with temporary.open("w", newline="") as stream:
            csv.writer(stream).writerows([BadClip._fields, *sorted(clips)])

    write_atomically(path, write)


def read_bad_clips(path: Path) -> Iterator[BadClip]:
    """Yield what `write_bad_clips` wrote."""
    with path.open(newline="") as stream:
        rows = csv.reader(stream)
        next(rows)
        yield from (BadClip(*row) for row in rows)


def add_bad_clips(path: Path, clips: Iterable[BadClip]) -> None:
    """Append to a list, which is begun where it is not there.

    Raises:
        OSError: If it cannot be written.
    """
    head = [] if path.exists() else [BadClip._fields]
    with path.open("a", newline="") as stream:
        csv.writer(stream).writerows([*head, *clips])
