"""Clips as JPEGs packed into one file: an Arrow file with one binary column, a row a frame.

Any frame is one read away, nothing before it has to be decoded, and a clip is one file, not a
hundred. Any reader of Arrow files (pyarrow, pandas, polars, DuckDB) opens it. Every row is a record
batch of its own, so a frame is read alone and the file need not be mapped into memory, where a disk
that fails would end the process. Still, a damaged file can end the process that reads it (pyarrow
26.0.1 does so by a `std::length_error`): `vipl manifest check` reads it in a process that may end.
No torch here.

Shapes: N frames asked for, T frames of the clip, H x W pixels.
"""

import io
import itertools
import json
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vipl.data.decoding.containers import Header, VideoError
from vipl.data.decoding.pictures import UNREADABLE, decoded

ARCHIVE_SUFFIX = ".arrow"

_COLUMN = "jpeg"
_LIMIT = 2**31
_FACTS = ("width", "height", "fps_hz")
_TIMES = "times_s"


def is_archive(path: str | Path) -> bool:
    """Whether a path names packed JPEGs."""
    return Path(path).suffix == ARCHIVE_SUFFIX


def write_archive(
    path: Path,
    frames: Iterable[NDArray[np.uint8]],
    *,
    fps_hz: float,
    quality: int,
    times_s: Sequence[float] = (),
) -> None:
    """Pack frames.

    Args:
        path: The file to make.
        frames: T of uint8 [H, W, 3], T >= 1, of one size.
        fps_hz: Frames a second; a mean where they are not evenly spaced.
        quality: Of the JPEGs, 1 to 95.
        times_s: When each frame is shown, where they are not evenly spaced.

    Raises:
        ValueError: If there are no frames.
    """
    import pyarrow as pa

    rest = iter(frames)
    first = next(rest, None)
    if first is None:
        raise ValueError("there are no frames to pack")
    height, width = first.shape[:2]
    facts = {"width": str(width), "height": str(height), "fps_hz": repr(float(fps_hz))}
    if times_s:
        facts[_TIMES] = json.dumps(list(times_s))
    schema = pa.schema([(_COLUMN, pa.binary())], metadata=facts)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, schema) as writer:
        for frame in itertools.chain([first], rest):
            writer.write(pa.record_batch([[_encode(frame, quality)]], schema=schema))


def header(path: str | Path) -> Header:
    """Return what the file says of its frames.

    Raises:
        VideoError: If it is not such a file.
    """
    with FrameArchive(Path(path), None) as archive:
        width, height, fps_hz = (archive.facts[name] for name in _FACTS)
    return Header(fps_hz=fps_hz, width=int(width), height=int(height), format="arrow")


class FrameArchive:
    """Packed JPEGs, read as frames of a video are; a context manager.

    Args:
        path: The Arrow file.
        short_side: As for `video.VideoReader`; JPEGs are reduced while they are decoded.

    Raises:
        VideoError: If it is not such a file.

    Attributes:
        facts: What the file says of itself: "width", "height", "fps_hz".
        times_s: When each frame is shown; empty where they are evenly spaced.
    """

    def __init__(self, path: Path, short_side: int | None) -> None:
        import pyarrow as pa  # here: decoding processes that need it not save 50 MB

        self._path = path
        self._short_side = short_side
        try:
            self._file = pa.OSFile(str(path))
            self._frames = pa.ipc.open_file(self._file)
            said = self._frames.schema.metadata or {}
            self.facts = {name: float(said[name.encode()]) for name in _FACTS}
            self.times_s = _times(said.get(_TIMES.encode()), self.num_frames)
            if not all(0 < fact < _LIMIT for fact in self.facts.values()):
                raise ValueError("its size or rate is no number above 0")
            if self._frames.schema.field(_COLUMN).type != pa.binary():
                raise ValueError(f"its column {_COLUMN} holds no bytes")
        except (pa.ArrowException, KeyError, TypeError, ValueError, OSError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise VideoError(f"{path}: not packed frames that can be read ({reason}).") from error

    def __enter__(self) -> "FrameArchive":
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()

    @property
    def num_frames(self) -> int:
        """T."""
        return int(self._frames.num_record_batches)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def read(self, indices: Sequence[int]) -> NDArray[np.uint8]:
        """Return uint8 [N, H, W, 3] of frame numbers from 0 to T - 1.

        Raises:
            VideoError: A frame is damaged.
        """
        return np.stack([np.asarray(picture) for picture in self.pictures(indices)])

    def pictures(self, indices: Sequence[int]) -> list[Image.Image]:
        """Return N RGB pictures of frame numbers from 0 to T - 1.

        Raises:
            VideoError: A frame is damaged, or there is no such frame.
        """
        return [self._decode(index) for index in indices]

    def _decode(self, index: int) -> Image.Image:
        if not 0 <= index < self.num_frames:
            raise VideoError(
                f"{self._path}: frame {index} does not exist: the video has {self.num_frames} "
                "frames, numbered from 0."
            )
        try:
            batch = self._frames.get_batch(index)
            batch.validate()  # that no offset of a damaged file is outside it
            jpeg = batch.column(_COLUMN)[0].as_buffer() or b""
            return decoded(Image.open(io.BytesIO(jpeg), formats=("JPEG",)), self._short_side)
        except (*UNREADABLE, IndexError, MemoryError) as error:
            raise VideoError(f"{self._path}: frame {index} is damaged ({error}).") from error


def _times(text: bytes | None, num_frames: int) -> list[float]:
    """Return the times that a file has of its frames; none where it has none.

    Raises:
        ValueError: If they are not as many numbers, ascending.
    """
    if text is None:
        return []
    times = json.loads(text)
    numbers = isinstance(times, list) and all(isinstance(time, int | float) for time in times)
    if not numbers or len(times) != num_frames or not all(a <= b for a, b in pairwise(times)):
        raise ValueError(f"its times are not {num_frames} numbers that ascend")
    return [float(time) for time in times]


def _encode(frame: NDArray[np.uint8], quality: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(frame).save(stream, "JPEG", quality=quality)
    return stream.getvalue()
