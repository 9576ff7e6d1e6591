"""Video decoding: decord where it can be trusted, PyAV everywhere, the same frames from both.

It does not import torch. A folder of pictures and a file of packed ones are read like a video,
whatever the backend: see `vipl.data.decoding.frame_folder` and `vipl.data.decoding.frame_archive`.

Frame `i` is the `i`-th frame that a player shows: frames that the container discards (the edit
list of a cut without re-encoding) do not count, and of several video streams the best one is
read. Pictures are as a player shows them, too: turned and mirrored, with square pixels, over black
where they are transparent: see `display`. Shapes: N frames asked for, H and W the height
and width in pixels as displayed, or as resized by `short_side`.
"""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vipl.data.decoding import containers, frame_archive, frame_folder
from vipl.data.decoding.containers import Header, VideoError
from vipl.data.decoding.decord_file import DecordFile, has_decord
from vipl.data.decoding.frame_archive import FrameArchive, is_archive
from vipl.data.decoding.frame_folder import FrameFolder, is_frame_folder
from vipl.data.decoding.pictures import scaled
from vipl.data.decoding.presentation import rhythm
from vipl.data.decoding.pyav_file import PyAVFile
from vipl.errors import UserError

__all__ = [
    "Backend",
    "DecordFile",
    "VideoError",
    "VideoReader",
    "allowed_backend",
    "has_decord",
    "header",
    "target_size",
]

Backend = Literal["auto", "decord", "pyav"]


class VideoReader:
    """Random access to the frames of one video; a context manager.

    The decoder is opened at the first use and freed on exit: an idle decord reader decodes ahead
    without bound.

    Args:
        path: The video file, a folder's pictures as `folder/%06d.jpg`, or packed frames.
        backend: "decord", "pyav", or "auto": decord where it is installed, gives the same pictures
            of such files (see `decord_file`), can read this one and does not count
            frames that the container discards; else PyAV.
        short_side: Resize while decoding so that the shorter side has this many pixels, keeping
            the aspect ratio; a smaller video is not enlarged. `None` keeps the size.
        tone_map: Bring HLG and PQ to ordinary range, with PyAV: see `tone_mapping`.

    Raises:
        VideoError: The file is missing, empty or not readable.
        UserError: `short_side` is not positive, or decord is asked for but not installed.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        backend: Backend = "auto",
        short_side: int | None = None,
        tone_map: bool = False,
    ) -> None:
        if short_side is not None and short_side < 1:
            raise UserError(f"short_side must be at least 1 pixel, not {short_side}.")
        if backend == "decord" and not has_decord():
            raise UserError(
                "The backend 'decord' is not installed here: run `pip install decord`, or use "
                "the backend 'pyav', which gives the same frames."
            )
        self._path = Path(path) if is_frame_folder(path) else containers.checked(path)
        self._backend = backend
        self._short_side = short_side
        self._tone_map = tone_map
        self._file: _AnyFile | None = None

    def __enter__(self) -> "VideoReader":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file and free the decoder."""
        if self._file is not None:
            self._file.close()
            self._file = None

    @property
    def num_frames(self) -> int:
        """Frames that the container announces and shows."""
        return self._open().num_frames

    @property
    def fps_hz(self) -> float:
        """Mean frame rate in frames per second."""
        return rhythm(self._path).fps_hz

    @property
    def width(self) -> int:
        """Width of the frames that `read` returns, in pixels."""
        return target_size(self._path, self._short_side)[0]

    @property
    def height(self) -> int:
        """Height of the frames that `read` returns, in pixels."""
        return target_size(self._path, self._short_side)[1]

    def read(self, indices: Sequence[int]) -> NDArray[np.uint8]:
        """Decode frames.

        Args:
            indices: Frame numbers from 0 to `num_frames - 1`, in any order, repeats allowed.

        Returns:
            uint8 [N, H, W, 3] RGB in the order of `indices`; the memory is the caller's own.

        Raises:
            VideoError: An index is out of range, or a frame cannot be decoded.
        """
        wanted = sorted({int(index) for index in indices})
        if not wanted:
            return np.empty((0, self.height, self.width, 3), np.uint8)
        file = self._open()
        images = self._read_sorted(file, wanted)
        if list(indices) == wanted:
            return images
        return images[np.searchsorted(wanted, np.asarray(indices))]

    def _read_sorted(self, file: "_AnyFile", wanted: list[int]) -> NDArray[np.uint8]:
        if isinstance(file, FrameFolder | FrameArchive):  # they say themselves what is missing
            return file.read(wanted)
        for index in (wanted[0], wanted[-1]):
            if not 0 <= index < file.num_frames:
                raise VideoError(
                    f"{self._path}: frame {index} does not exist: the video has "
                    f"{file.num_frames} frames, numbered from 0."
                )
        try:
            return file.read(wanted)
        except VideoError:
            if self._backend != "auto" or not isinstance(file, DecordFile):
                raise
        self.close()
        self._file = self._open_pyav()
        return self._file.read(wanted)

    def _open(self) -> "_AnyFile":
        if self._file is None:
            if is_frame_folder(self._path):
                self._file = FrameFolder(self._path, self._short_side)
            elif is_archive(self._path):
                self._file = FrameArchive(self._path, self._short_side)
            elif self._tone_map:
                self._file = self._open_pyav()
            elif self._backend == "decord":
                self._file = DecordFile(self._path, self._short_side)
            elif self._backend == "auto":
                self._file = _open_trusted_decord(self._path, self._short_side)
            if self._file is None:
                self._file = self._open_pyav()
        return self._file

    def _open_pyav(self) -> PyAVFile:
        size = target_size(self._path, self._short_side)
        return PyAVFile(self._path, size, tone_map=self._tone_map)


_AnyFile: TypeAlias = DecordFile | PyAVFile | FrameFolder | FrameArchive


def allowed_backend(decoder: str, wanted: Backend = "auto") -> Backend:
    """Return the backend for a file: PyAV for one marked "pyav", else the wanted one.

    Args:
        decoder: "any" or "pyav", as `probe` and the manifest say.
        wanted: The user's choice.
    """
    return "pyav" if decoder == "pyav" else wanted


def _open_trusted_decord(path: Path, short_side: int | None) -> DecordFile | None:
    if not has_decord():
        return None
    with contextlib.suppress(VideoError):
        file = DecordFile(path, short_side)
        if not file.counts_discarded_frames():
            return file
        file.close()
    return None


def target_size(path: Path, short_side: int | None) -> tuple[int, int]:
    """Return width and height of a video, resized to a shorter side; never enlarged."""
    head = header(path)
    return scaled(head.width, head.height, short_side)


def header(path: Path) -> Header:
    """Return what is known of a video, or of a folder of pictures, without reading it through.

    Raises:
        VideoError: It has no frame that can be decoded.
    """
    if is_archive(path):
        return frame_archive.header(path)
    return frame_folder.header(path) if is_frame_folder(path) else containers.header(path)
