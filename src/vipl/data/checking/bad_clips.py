"""Clips that could not be read, the lists of them, and how loading processes tell each other."""

import contextlib
import csv
import json
import shutil
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from vipl.files import write_atomically

# Reasons name files, whose names may hold bytes that are not UTF-8.
_TEXT: dict[str, Any] = {"encoding": "utf-8", "errors": "backslashreplace"}


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


class HungClips:
    """Rows of a manifest whose clips hung their decoder, known to all processes that load.

    Such a clip costs its time-out once, and not at every draw in every process. What one process
    has found lies in a temporary folder, which is there only when there are such clips; where it
    cannot be written, each finds out by itself.
    """

    def __init__(self) -> None:
        self._folder = Path(tempfile.gettempdir()) / f"vipl-hung-clips-{uuid.uuid4().hex}"
        self._known: dict[int, BadClip] = {}

    def get(self, row: int) -> BadClip | None:
        """Return what is known of a row, None where nothing is."""
        if row not in self._known:
            with contextlib.suppress(OSError):
                self._known[row] = BadClip(*json.loads((self._folder / str(row)).read_text()))
        return self._known.get(row)

    def add(self, row: int, clip: BadClip) -> None:
        """Tell all processes."""
        self._known[row] = clip
        with contextlib.suppress(OSError):
            self._folder.mkdir(mode=0o700, exist_ok=True)
            text = json.dumps(clip)
            write_atomically(self._folder / str(row), lambda path: path.write_text(text))

    def close(self) -> None:
        """Delete the temporary folder."""
        shutil.rmtree(self._folder, ignore_errors=True)


def write_bad_clips(path: Path, clips: Iterable[BadClip]) -> None:
    """Write a list as CSV, sorted.

    Raises:
        OSError: If it cannot be written.
    """

    def write(temporary: Path) -> None:
        with temporary.open("w", newline="", **_TEXT) as stream:
            csv.writer(stream).writerows([BadClip._fields, *sorted(clips)])

    write_atomically(path, write)


def read_bad_clips(path: Path) -> Iterator[BadClip]:
    """Yield what `write_bad_clips` wrote; lines that are no clip (cut off) are passed over."""
    with path.open(newline="", encoding="utf-8", errors="backslashreplace") as stream:
        rows = csv.reader(stream)
        next(rows, None)
        yield from (BadClip(*row) for row in rows if len(row) == len(BadClip._fields))


def add_bad_clips(path: Path, clips: Iterable[BadClip]) -> None:
    """Append to a list, which is begun where it is not there.

    Raises:
        OSError: If it cannot be written.
    """
    head = [] if path.exists() else [BadClip._fields]
    with path.open("a", newline="", **_TEXT) as stream:
        csv.writer(stream).writerows([*head, *clips])
