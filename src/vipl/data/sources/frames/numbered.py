"""The pictures of one folder, put in order by the numbers that their names end in.

10 comes after 9, whether or not there are leading zeros. The first may be 0 or 1 or any; all may be
so many apart. A gap is a folder that something has gone wrong with.
"""

import os
import re
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from vipl.data.decoding.frame_folder import frame_path, is_frame_folder
from vipl.data.decoding.pictures import IMAGE_SUFFIXES, picture_size
from vipl.data.decoding.video import VideoError
from vipl.data.manifests.validation import MIN_FRAMES
from vipl.data.manifests.walk import can_be_named, shown

_NAME = re.compile(r"(.*?)(\d+)(\.\w+)")
_SHOWN = 3
_MOST_DIGITS = 18  # that surely fit into 64 bits


class NumberedPictures(NamedTuple):
    """A folder's pictures.

    Attributes:
        pattern: Of their names, such as %06d.jpg.
        start: The first one's number.
        step: From one to the next.
        length: How many there are.
        width: Of the first, in pixels.
        height: Of the first, in pixels.
    """

    pattern: str
    start: int
    step: int
    length: int
    width: int
    height: int


def find_pictures(folder: Path) -> NumberedPictures:
    """Look through a folder, and open the first picture; names without a number are passed over.

    Raises:
        VideoError: If the pictures are no sequence that can be named by one pattern, are too few,
            or the first cannot be read.
    """
    digits: dict[tuple[str, str], list[str]] = {}
    for name in _listed(folder):
        match = _NAME.fullmatch(name)
        if match and match[3].lower() in IMAGE_SUFFIXES and not name.startswith("."):
            digits.setdefault((match[1], match[3]), []).append(match[2])
    kinds = sorted(shown(f"{before}*{after}") for before, after in digits)
    if len(kinds) != 1:
        which = f"of several names: {', '.join(kinds[:_SHOWN])}" if kinds else "without numbers"
        raise VideoError(f"{folder}: its pictures are {which}.")
    ((before, after), texts), *_ = digits.items()
    if not _can_be_counted(before, texts):
        raise VideoError(
            f"{folder}: its pictures are called {kinds[0]}, expected UTF-8 without %d or a "
            f"backslash, and at most {_MOST_DIGITS} digits."
        )
    numbers = sorted(map(int, texts))
    if len(numbers) < MIN_FRAMES:
        raise VideoError(f"{folder}: {len(numbers)} frames, a clip needs {MIN_FRAMES}.")
    pattern = f"{before}{_field(texts, folder)}{after}"
    step = min(b - a for a, b in pairwise(numbers))
    lacking = next((a + step for a, b in pairwise(numbers) if b - a != step), None)
    first = frame_path(folder / pattern, numbers[0])
    if lacking is not None:
        raise VideoError(f"{frame_path(folder / pattern, lacking)}: the picture does not exist.")
    return NumberedPictures(pattern, numbers[0], step, len(numbers), *picture_size(first))


def _listed(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError as error:
        raise VideoError(f"{folder}: the folder cannot be listed ({error.strerror}).") from error


def _can_be_counted(before: str, texts: list[str]) -> bool:
    named = can_be_named(before) and not is_frame_folder(f"{before}.png")
    return named and len(max(texts, key=len)) <= _MOST_DIGITS


def _field(texts: list[str], folder: Path) -> str:
    """Return how the numbers are written: %d, or %06d with leading zeros."""
    padded = {len(text) for text in texts if len(text) > 1 and text.startswith("0")}
    width = next(iter(padded), 1)
    if len(padded) > 1 or any(text != f"{int(text):0{width}d}" for text in texts):
        raise VideoError(f"{folder}: its pictures' numbers are written with and without zeros.")
    return f"%0{width}d" if padded else "%d"
