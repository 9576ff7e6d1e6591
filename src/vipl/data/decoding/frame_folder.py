"""Clips that are folders of pictures, named by a pattern as FFmpeg does: `folder/%06d.jpg`.

Frame `i` is the picture whose name holds the number `i`: where a clip begins, at 0 or at 1, is its
`start_frame`. No torch here.

Shapes: N frames asked for, H and W the height and width in pixels, or as resized by `short_side`.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vipl.data.decoding.containers import Header, VideoError
from vipl.data.decoding.pictures import IMAGE_SUFFIXES, picture_size, read_picture

_FIELD = re.compile(r"%(?:0(\d+))?d")


def is_frame_folder(path: str | Path) -> bool:
    """Whether a path names the pictures of a folder by a pattern, and not a video file."""
    path = Path(path)
    return path.suffix.lower() in IMAGE_SUFFIXES and _FIELD.search(path.name) is not None


def frame_path(path: str | Path, number: int) -> Path:
    """Return the file of one frame of `folder/%06d.jpg`."""
    path = Path(path)
    return path.with_name(
        _FIELD.sub(lambda field: f"{number:0{field[1] or 1}d}", path.name, count=1)
    )


def frame_numbers(path: str | Path) -> list[int]:
    """Return the numbers of the pictures that are there, ascending.

    Raises:
        VideoError: If there is no such folder.
    """
    path = Path(path)
    before, after = (re.escape(part) for part in _FIELD.split(path.name, maxsplit=1)[::2])
    name = re.compile(rf"{before}(\d+){after}")
    try:
        entries = [entry.name for entry in path.parent.iterdir()]
    except OSError as error:
        raise VideoError(f"{path}: the folder cannot be listed ({error.strerror}).") from error
    matches = [match for entry in entries if (match := name.fullmatch(entry))]
    numbers = sorted(int(match[1]) for match in matches)
    found = {match[0] for match in matches}
    return [number for number in numbers if frame_path(path, number).name in found]


def header(path: str | Path) -> Header:
    """Return what the first picture tells; the frame rate is unknown, 0.

    Raises:
        VideoError: If there is no picture, or the first cannot be read.
    """
    numbers = frame_numbers(path)
    if not numbers:
        raise VideoError(f"{path}: the folder holds no such picture.")
    width, height = picture_size(frame_path(path, numbers[0]))
    return Header(fps_hz=0.0, width=width, height=height, format="frames")


class FrameFolder:
    """The pictures of one folder, read as frames of a video are.

    Args:
        path: `folder/%06d.jpg`.
        short_side: As for `vipl.data.decoding.video.VideoReader`.

    Raises:
        VideoError: If there is no such folder.
    """

    def __init__(self, path: Path, short_side: int | None) -> None:
        if not path.parent.is_dir():
            raise VideoError(f"{path}: the folder does not exist.")
        self._path = path
        self._short_side = short_side

    @property
    def num_frames(self) -> int:
        """One more than the greatest number."""
        return max(frame_numbers(self._path), default=-1) + 1

    def close(self) -> None:
        """Nothing is held open."""

    def read(self, indices: Sequence[int]) -> NDArray[np.uint8]:
        """Return uint8 [N, H, W, 3] of frame numbers.

        Raises:
            VideoError: A picture is missing or damaged, or not of the size of the others.
        """
        files = [frame_path(self._path, index) for index in indices]
        pictures = [read_picture(file, short_side=self._short_side) for file in files]
        for file, picture in zip(files, pictures, strict=True):
            if picture.shape != pictures[0].shape:
                sizes = [f"{p.shape[1]} x {p.shape[0]}" for p in (picture, pictures[0])]
                raise VideoError(f"{file}: is {sizes[0]}, {files[0].name} is {sizes[1]}.")
        return np.stack(pictures)
