"""Video decoding: decord where it can be trusted, PyAV everywhere, the same frames from both.

This is the only module that knows decord, and it does not import torch. A folder of pictures and a
file of packed ones are read like a video, whatever the backend: see `vipl.data.frame_folder` and
`vipl.data.frame_archive`.

Frame `i` is the `i`-th frame that a player shows: frames that the container discards (the edit
list of a cut without re-encoding) do not count, rotation metadata is applied, and of several
video streams the best one is read. Shapes: N frames asked for, H and W the height and width in
pixels as displayed, or as resized by `short_side`.
"""

import contextlib
import functools
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vipl.data import containers, frame_archive, frame_folder
from vipl.data.containers import Header, VideoError
from vipl.data.frame_archive import FrameArchive, is_archive
from vipl.data.frame_folder import FrameFolder, is_frame_folder
from vipl.data.pictures import scaled
from vipl.data.presentation import rhythm
from vipl.data.pyav_file import PyAVFile
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
        backend: "decord", "pyav", or "auto": decord where it is installed, can read the file and
            does not count frames that the container discards; else PyAV.
        short_side: Resize while decoding so that the shorter side has this many pixels, keeping
            the aspect ratio; a smaller video is not enlarged. `None` keeps the size.

    Raises:
        VideoError: The file is missing, empty or not readable.
        UserError: `short_side` is not positive, or decord is asked for but not installed.
    """

    def __init__(
        self, path: str | Path, *, backend: Backend = "auto", short_side: int | None = None
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
            elif self._backend == "decord":
                self._file = DecordFile(self._path, self._short_side)
            elif self._backend == "auto":
                self._file = _open_trusted_decord(self._path, self._short_side)
            if self._file is None:
                self._file = self._open_pyav()
        return self._file

    def _open_pyav(self) -> PyAVFile:
        return PyAVFile(self._path, target_size(self._path, self._short_side))


class DecordFile:
    """One video opened with decord, whose many exceptions become `VideoError`."""

    def __init__(self, path: Path, short_side: int | None) -> None:
        import decord  # noqa: TID251

        # Asked for an unchanged size, decord resamples nothing; that is also its fast path.
        size = (-1, -1) if short_side is None else target_size(path, short_side)
        if size[0] > 0 and -(-size[0] // 32) * 32 * 3 // size[0] != 3:
            # It takes the padding of its rows to 32 pixels for a fourth channel.
            raise VideoError(f"{path}: decord cannot resize to a width of {size[0]} pixels.")
        decord.logging.set_level(decord.logging.QUIET)
        self._path = path
        try:
            self._reader: Any = decord.VideoReader(
                str(path),
                ctx=decord.cpu(0),
                width=size[0],
                height=size[1],
                num_threads=1,
                fault_tol=1,  # else decord repeats a neighbour where a frame is damaged
            )
        except Exception as error:  # RuntimeError, DECORDError, AssertionError ...
            containers.header(path)  # what is wrong with the file, if PyAV cannot read it either
            raise VideoError(f"{path}: decord cannot open it: use the backend 'pyav'.") from error
        self.num_frames: int = len(self._reader)

    def close(self) -> None:
        """Let go of the file."""
        self._reader = None

    def counts_discarded_frames(self) -> bool:
        """Whether frames start before time zero: the container discards them, decord does not."""
        starts = self._reader.get_frame_timestamp(range(self.num_frames))[:, 0]
        return bool((starts < -1e-6).any())

    def read(self, indices: Sequence[int]) -> NDArray[np.uint8]:
        """Return uint8 [N, H, W, 3] of ascending frame numbers."""
        try:
            batch: NDArray[np.uint8] = self._reader.get_batch(list(indices)).asnumpy()
        except Exception as error:
            raise VideoError(
                f"{self._path}: decord cannot decode the frames {list(indices)}."
            ) from error
        return batch


_AnyFile: TypeAlias = DecordFile | PyAVFile | FrameFolder | FrameArchive


def allowed_backend(decoder: str, wanted: Backend = "auto") -> Backend:
    """Return the backend for a file: PyAV for one marked "pyav", else the wanted one.

    Args:
        decoder: "any" or "pyav", as `probe` and the manifest say.
        wanted: The user's choice.
    """
    return "pyav" if decoder == "pyav" else wanted


@functools.cache
def has_decord() -> bool:
    """Whether decord is installed; it has no build for arm64 Linux or recent macOS."""
    return importlib.util.find_spec("decord") is not None


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
