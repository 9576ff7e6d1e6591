"""What a video file says about itself, read with PyAV: its header, and when each frame is shown.

Facts are cached per file (path, modification time, size), because clips of one video follow each
other and reading all packets is the expensive part. No torch here.

Shapes: P packets of the video stream, T frames that are shown.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray

from vipl.data.decoding.display.properties import (
    AS_STORED,
    UPRIGHT,
    Display,
    display_of,
    is_turned,
    unknown_matrix,
)
from vipl.data.decoding.frames import bare_decoder, decode, decoder_of, packets
from vipl.errors import UserError

# Containers whose packets carry true presentation times and whose seek tables can be trusted.
_SEEKABLE_FORMATS = ("mov", "matroska")


class VideoError(UserError):
    """A video that cannot be read: one sentence with its path and the reason."""


@dataclass(frozen=True, slots=True)
class Header:
    """What is known of a video without reading it through.

    Attributes:
        fps_hz: Frame rate that the file tells, in frames per second: see `presentation`.
        width: Width in pixels as displayed.
        height: Height in pixels as displayed.
        format: Name of the container format.
        display: What turns the stored pictures into those that are shown.
    """

    fps_hz: float
    width: int
    height: int
    format: str
    display: Display = AS_STORED


@dataclass(frozen=True, slots=True)
class Timeline:
    """When the frames of a video are shown, and where they are stored.

    Attributes:
        times: int64 [P], presentation time of every packet in its stored order, in ticks.
        keys: int64, positions in `times` of the key frames, ascending.
        positions: int64 [T], the position in `times` of every frame shown, in display order.
        shown: int64 [T], their times, ascending.
        seekable: Whether times are unique and seeking by them can be trusted.
        tick_s: Seconds of a tick; 0 where packets carry no times, and ticks are places in the file.
    """

    times: NDArray[np.int64]
    keys: NDArray[np.int64]
    positions: NDArray[np.int64]
    shown: NDArray[np.int64]
    seekable: bool
    tick_s: Fraction = Fraction(0)

    @property
    def num_frames(self) -> int:
        """Frames that are shown."""
        return len(self.positions)

    def key_of(self, index: int) -> int:
        """Return the rank in `keys` of the key frame from which frame `index` can be decoded.

        A picture shown before the key frame that precedes it in the file (an open group of
        pictures) needs the key frame before that one.
        """
        position = self.positions[index]
        rank = int(np.searchsorted(self.keys, position, side="right")) - 1
        while rank > 0 and self.times[self.keys[rank]] > self.times[position]:
            rank -= 1
        return max(rank, 0)

    def index_at(self, time: int | None) -> int | None:
        """Return the number of the frame shown at `time` ticks, `None` where there is none."""
        if time is None:
            return None
        index = self.index_from(time)
        if index < self.num_frames and self.shown[index] == time:
            return index
        return None

    def index_from(self, time: int) -> int:
        """Return the number of the first frame shown at `time` ticks or later."""
        return int(np.searchsorted(self.shown, time))


def checked(path: str | Path) -> Path:
    """Refuse what cannot be a video before a decoder sees it.

    Raises:
        VideoError: The file is missing, empty, not a file, or not readable.
    """
    path = Path(path)
    if not path.exists():
        raise VideoError(f"{path}: the file does not exist.")
    if not path.is_file():
        raise VideoError(f"{path}: not a file.")
    if path.stat().st_size == 0:
        raise VideoError(f"{path}: the file is empty (0 bytes).")
    if not os.access(path, os.R_OK):
        raise VideoError(f"{path}: no permission to read the file.")
    return path


def header(path: Path) -> Header:
    """Open a video and decode its first frame, which tells how it is to be shown.

    Raises:
        VideoError: The file is no video, has no frame that can be decoded, or its colours cannot
            be made RGB.
    """
    return _header(*_identity(path))


def timeline(path: Path) -> Timeline:
    """Read all packets of a video, without decoding them.

    Raises:
        VideoError: The file is no video.
    """
    return _timeline(*_identity(path))


def open_video(path: str | Path) -> tuple[InputContainer, VideoStream]:
    """Open a video and its best stream, for one decoding thread.

    Raises:
        VideoError: The file is no video, or holds no video stream.
    """
    try:
        container = av.open(str(path))
    except (av.FFmpegError, OSError) as error:
        raise refusal(path, error) from error
    stream = container.streams.best("video")
    if not isinstance(stream, VideoStream) or "attached_pic" in str(stream.disposition):
        container.close()
        raise VideoError(f"{path}: the file has no video stream.")
    stream.codec_context.thread_count = 1
    return container, stream


@contextlib.contextmanager
def errors_of(path: str | Path) -> Iterator[None]:
    """Turn FFmpeg's errors inside the block into `VideoError`."""
    try:
        yield
    except av.FFmpegError as error:
        raise VideoError(f"{path}: cannot be decoded ({error.strerror}).") from error


def refusal(path: str | Path, error: BaseException) -> VideoError:
    """Say in one sentence why a file cannot be opened."""
    with open(path, "rb") as file:
        start = file.read(64)
    if start.startswith(b"version https://git-lfs"):
        return VideoError(f"{path}: a Git-LFS pointer, not the video itself: run `git lfs pull`.")
    if start[4:8] == b"ftyp" and not _has_box(path, b"moov"):
        return VideoError(f"{path}: the file is truncated: an MP4 without its index (no moov).")
    reason = getattr(error, "strerror", None) or type(error).__name__
    return VideoError(f"{path}: not a readable video ({reason}).")


def _identity(path: Path) -> tuple[str, int, int]:
    status = path.stat()
    return str(path), status.st_mtime_ns, status.st_size


@functools.lru_cache(maxsize=1024)
def _header(path: str, modified_ns: int, size_bytes: int) -> Header:
    container, stream = open_video(path)
    with container:
        frame = next(decode(packets(container, stream), decoder_of(stream)), None)
        if frame is None:
            raise VideoError(f"{path}: no frame can be decoded.")
        if unknown := unknown_matrix(frame):
            raise VideoError(
                f"{path}: its colours are coded by the matrix {unknown}, from which RGB cannot be "
                "computed here: encode it again by BT.709's (`ffmpeg -vf zscale=matrix=709`)."
            )
        display = display_of(stream, frame)
        if display.orientation != UPRIGHT:
            display = replace(display, within=_turned_within(container, stream))
        width, height = display.size(frame.width, frame.height)
        rate = stream.average_rate or stream.guessed_rate or 0
        return Header(
            fps_hz=float(rate),
            width=width,
            height=height,
            format=container.format.name,
            display=display,
        )


def _turned_within(container: InputContainer, stream: VideoStream) -> bool:
    """Whether the stream itself says that its pictures are turned (H.264 and HEVC can)."""
    frame = None
    with contextlib.suppress(av.FFmpegError):  # a file that cannot be read again: not known
        container.seek(0)
        frame = next(decode(packets(container, stream), bare_decoder(stream)), None)
    return frame is None or is_turned(frame)


@functools.lru_cache(maxsize=64)
def _timeline(path: str, modified_ns: int, size_bytes: int) -> Timeline:
    container, stream = open_video(path)
    with container:
        # A corrupt packet is one that the end of a truncated file cuts short.
        rows = [
            (packet.pts, packet.is_keyframe, packet.is_discard)
            for packet in packets(container, stream)
            if packet.size and not packet.is_corrupt
        ]
        trusted = container.format.name.startswith(_SEEKABLE_FORMATS)
        tick_s = Fraction(stream.time_base or 0)  # PyAV 19 has rationals of its own
    if not rows:
        raise VideoError(f"{path}: the video stream is empty.")
    timed = all(time is not None for time, _, _ in rows)
    times = np.array([row[0] if timed else i for i, row in enumerate(rows)], dtype=np.int64)
    keys = np.flatnonzero([row[1] for row in rows])
    shown = np.flatnonzero([not row[2] for row in rows])
    positions = shown[np.argsort(times[shown], kind="stable")]
    unique = len(np.unique(times)) == len(times)
    return Timeline(
        times=times,
        keys=keys,
        positions=positions,
        shown=times[positions],
        # With a single key frame there is nothing to seek to.
        seekable=trusted and timed and unique and len(keys) > 1 and keys[0] == 0,
        tick_s=tick_s if timed else Fraction(0),
    )


def _has_box(path: str | Path, kind: bytes) -> bool:
    """Whether an MP4 holds a whole top-level box of this kind."""
    with open(path, "rb") as file:
        size_bytes = os.fstat(file.fileno()).st_size
        position = 0
        while position + 8 <= size_bytes:
            file.seek(position)
            head = file.read(16)
            length = int.from_bytes(head[:4], "big")
            if length == 1:
                length = int.from_bytes(head[8:16], "big")
            if head[4:8] == kind:
                return position + length <= size_bytes
            if length < 8:
                break
            position += length
    return False
