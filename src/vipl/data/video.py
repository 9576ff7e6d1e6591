"""Video decoding: decord where it can be trusted, PyAV everywhere, the same frames from both.

This is the only module that knows decord, and it does not import torch.

Frame `i` is the `i`-th frame that a player shows: frames that the container discards (the edit
list of a cut without re-encoding) do not count, rotation metadata is applied, and of several
video streams the best one is read. Shapes: N frames asked for, H and W the height and width in
pixels as displayed, or as resized by `short_side`.
"""

import contextlib
import functools
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vipl.data import containers
from vipl.data.containers import Timeline, VideoError
from vipl.data.pyav_file import PyAVFile
from vipl.errors import UserError

__all__ = ["Backend", "VideoError", "VideoInfo", "VideoReader", "has_decord", "probe"]

Backend = Literal["auto", "decord", "pyav"]

# What probe spends: pixels decoded in full (about a second), and where decord is put to the test.
_SURVEY_PIXELS = 4e8
_PROBE_MAX_SIDE = 128
_PROBE_MIN_WIDTH = 80
_PROBE_KEYS = 6
_PROBE_SPREAD = 6
# Both decoders give equal bytes at reduced size; a wrong frame differs by more, in grey levels.
_SAME_PICTURE = 0.5


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What a video file holds.

    Attributes:
        num_frames: Frames that can be asked for.
        fps_hz: Mean frame rate in frames per second; 0 where the file does not tell.
        width: Width in pixels as displayed (rotation applied).
        height: Height in pixels as displayed (rotation applied).
        decoder: "any", or "pyav" where decord cannot be trusted with this file.
        note: Why decord cannot be trusted, and what is damaged; else "".
    """

    num_frames: int
    fps_hz: float
    width: int
    height: int
    decoder: Literal["any", "pyav"]
    note: str = ""


class VideoReader:
    """Random access to the frames of one video; a context manager.

    The decoder is opened at the first use and freed on exit: an idle decord reader decodes ahead
    without bound.

    Args:
        path: The video file.
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
        self._path = containers.checked(path)
        self._backend = backend
        self._short_side = short_side
        self._file: _DecordFile | PyAVFile | None = None

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
        return containers.header(self._path).fps_hz

    @property
    def width(self) -> int:
        """Width of the frames that `read` returns, in pixels."""
        return _target_size(self._path, self._short_side)[0]

    @property
    def height(self) -> int:
        """Height of the frames that `read` returns, in pixels."""
        return _target_size(self._path, self._short_side)[1]

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
        for index in (wanted[0], wanted[-1]):
            if not 0 <= index < file.num_frames:
                raise VideoError(
                    f"{self._path}: frame {index} does not exist: the video has "
                    f"{file.num_frames} frames, numbered from 0."
                )
        images = self._read_sorted(file, wanted)
        if list(indices) == wanted:
            return images
        return images[np.searchsorted(wanted, np.asarray(indices))]

    def _read_sorted(self, file: "_DecordFile | PyAVFile", wanted: list[int]) -> NDArray[np.uint8]:
        try:
            return file.read(wanted)
        except VideoError:
            if self._backend != "auto" or isinstance(file, PyAVFile):
                raise
        self.close()
        self._file = self._open_pyav()
        return self._file.read(wanted)

    def _open(self) -> "_DecordFile | PyAVFile":
        if self._file is None:
            if self._backend == "decord":
                self._file = _DecordFile(self._path, self._short_side)
            elif self._backend == "auto":
                self._file = _open_trusted_decord(self._path, self._short_side)
            if self._file is None:
                self._file = self._open_pyav()
        return self._file

    def _open_pyav(self) -> PyAVFile:
        return PyAVFile(self._path, _target_size(self._path, self._short_side))


class _DecordFile:
    """One video opened with decord, whose many exceptions become `VideoError`."""

    def __init__(self, path: Path, short_side: int | None) -> None:
        import decord  # noqa: TID251

        # Asked for an unchanged size, decord resamples nothing; that is also its fast path.
        size = (-1, -1) if short_side is None else _target_size(path, short_side)
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
        self._reader = None

    def counts_discarded_frames(self) -> bool:
        """Whether frames start before time zero: the container discards them, decord does not."""
        starts = self._reader.get_frame_timestamp(range(self.num_frames))[:, 0]
        return bool((starts < -1e-6).any())

    def read(self, indices: Sequence[int]) -> NDArray[np.uint8]:
        try:
            batch: NDArray[np.uint8] = self._reader.get_batch(list(indices)).asnumpy()
        except Exception as error:
            raise VideoError(
                f"{self._path}: decord cannot decode the frames {list(indices)}."
            ) from error
        return batch


@functools.cache
def has_decord() -> bool:
    """Whether decord is installed; it has no build for arm64 Linux or recent macOS."""
    return importlib.util.find_spec("decord") is not None


def probe(path: str | Path, *, try_decord: bool = True) -> VideoInfo:
    """Count the frames of a video truthfully and find out whether decord can be trusted with it.

    All packets are read. A short video (4e8 pixels: 430 frames of 1280x720) is decoded once from
    start to end. Of a longer one only the end is decoded, to see that the last frame exists, and
    the spans that follow. decord must count the same frames, count none that the container
    discards, and give PyAV's pictures after six key frames (where random access goes wrong) and
    at six frames spread over the video. decord can hang: call this where it can be killed.

    Args:
        path: The video file.
        try_decord: Put decord to the test; without, `decoder` is "pyav".

    Returns:
        What the file holds. Where decord is not installed, `decoder` is "pyav".

    Raises:
        VideoError: The file is no video, or none of its frames can be decoded.
    """
    path = containers.checked(path)
    head, line = containers.header(path), containers.timeline(path)
    short = line.num_frames * head.width * head.height <= _SURVEY_PIXELS
    suspects = _suspects(line)
    file = PyAVFile(path, _target_size(path, _probe_side(path)))
    try:
        if short:
            pictures, decoded = file.survey(suspects)
            num_frames = max(decoded, default=-1) + 1
            lost = line.num_frames - len(decoded)
        else:
            num_frames = file.last_frame() + 1 if line.seekable else line.num_frames
            suspects = [index for index in suspects if index < num_frames]
            pictures = dict(zip(suspects, file.read(suspects), strict=True))
            lost = line.num_frames - num_frames
    finally:
        file.close()
    if num_frames == 0:
        raise VideoError(f"{path}: no frame can be decoded.")
    doubt = _doubt(path, num_frames, pictures) if try_decord else "decord was not tried"
    if lost:
        doubt = f"damaged: {lost} of {line.num_frames} frames cannot be decoded"
    return VideoInfo(
        num_frames=num_frames,
        fps_hz=head.fps_hz,
        width=head.width,
        height=head.height,
        decoder="pyav" if doubt else "any",
        note=doubt,
    )


def _suspects(line: Timeline) -> list[int]:
    """Frames on which to test random access: those after key frames, and some spread evenly."""
    keys = line.keys[1:]
    keys = keys[:: max(1, -(-len(keys) // _PROBE_KEYS))]
    numbers = np.flatnonzero(np.isin(line.positions, keys))
    near = (numbers[:, None] + np.arange(4)).ravel()
    spread = np.linspace(0, line.num_frames - 1, _PROBE_SPREAD).round().astype(int)
    indices = np.union1d(near, spread)
    return [int(index) for index in indices if index < line.num_frames]


def _doubt(path: Path, num_frames: int, pictures: Mapping[int, NDArray[np.uint8]]) -> str:
    """Say why decord cannot be trusted with a video; "" where nothing speaks against it.

    Args:
        path: The video file.
        num_frames: Frames that can be decoded.
        pictures: Some of them by number, uint8 [H, W, 3], in ascending order.
    """
    if not has_decord():
        return "not checked with decord, which is not installed"
    try:
        file = _DecordFile(path, _probe_side(path))
    except VideoError:
        return "decord cannot open it"
    try:
        if file.counts_discarded_frames():
            return "decord counts frames that start before time zero"
        if file.num_frames != num_frames:
            return f"decord counts {file.num_frames} frames instead of {num_frames}"
        # Going backwards makes every read a seek.
        for index in sorted(pictures, reverse=True):
            if not _same(file.read([index])[0], pictures[index]):
                return f"decord's random access is wrong at frame {index}"
        together = file.read(list(pictures))
        if not all(map(_same, together, pictures.values())):
            return "decord's random access is wrong"
    except VideoError:
        return "decord cannot decode it"
    finally:
        file.close()
    return ""


def _probe_side(path: Path) -> int:
    """Return the short side at which to compare.

    It is smaller than the video, since only resized pictures agree byte by byte for every pixel
    format, except where that would be too small for decord.
    """
    head = containers.header(path)
    short = min(head.width, head.height)
    side = min(_PROBE_MAX_SIDE, short * 3 // 4)
    return side if head.width * side >= short * _PROBE_MIN_WIDTH else short


def _same(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> bool:
    if left.shape != right.shape:
        return False
    return float(np.abs(left.astype(np.int16) - right).mean()) <= _SAME_PICTURE


def _open_trusted_decord(path: Path, short_side: int | None) -> _DecordFile | None:
    if not has_decord():
        return None
    with contextlib.suppress(VideoError):
        file = _DecordFile(path, short_side)
        if not file.counts_discarded_frames():
            return file
        file.close()
    return None


def _target_size(path: Path, short_side: int | None) -> tuple[int, int]:
    """Return width and height of a video, resized to a shorter side; never enlarged."""
    head = containers.header(path)
    ratio = min(1.0, (short_side or head.height) / min(head.width, head.height))
    if short_side is None:
        ratio = 1.0
    return max(1, round(head.width * ratio)), max(1, round(head.height * ratio))
