"""One clip brought to another format: decoded once from start to end, written, and verified.

Runs in a decoding process, which a bad video may hang or crash. No torch here.

Shapes: T frames of a clip, H x W pixels.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vipl.data.decoding.frame_folder import is_frame_folder
from vipl.data.decoding.presentation import Rhythm, rhythm, rhythm_of, spans_of
from vipl.data.decoding.video import Backend, VideoError, VideoReader
from vipl.data.encoding.formats import FORMATS

# Frames that are held at once: 50 MB at a short side of 256 pixels.
_FRAMES_AT_ONCE = 128
# Mean absolute difference that a stored frame may have, in grey levels: pure noise stays below 15,
# neighbouring frames of a video that moves differ by as much, and green pictures by 60 and more.
_ALIKE = 20.0


class Written(NamedTuple):
    """What was made of a clip.

    Attributes:
        size_bytes: Of the file.
        fps_hz: Frames a second that it notes down.
    """

    size_bytes: int
    fps_hz: float


def transcode(
    path: str | Path,
    numbers: Sequence[int],
    *,
    out: Path,
    format_name: str,
    short_side: int,
    fps_hz: float,
    backend: Backend = "auto",
    tone_map: bool = False,
) -> Written:
    """Write some frames of a video as a clip of its own, and read it back.

    Args:
        path: The video, a folder's pictures or packed frames, as for `VideoReader`.
        numbers: Of the T frames, ascending.
        out: The file to make, with the format's suffix.
        format_name: A key of `vipl.data.encoding.formats.FORMATS`.
        short_side: Of the frames that are written, in pixels; smaller ones are not enlarged.
        fps_hz: Frames a second to note down, unless the video's are not evenly spaced: then their
            times are kept, and the rate is that of these frames.
        backend: That decodes.
        tone_map: As for `VideoReader`.

    Returns:
        What was written.

    Raises:
        VideoError: If a frame cannot be decoded, or what was written does not read back.
        OSError: If the file cannot be written.
    """
    kept: dict[int, NDArray[np.uint8]] = {}
    target = FORMATS[format_name]

    def frames() -> Iterator[NDArray[np.uint8]]:
        with VideoReader(path, backend=backend, short_side=short_side, tone_map=tone_map) as reader:
            for first in range(0, len(numbers), _FRAMES_AT_ONCE):
                for position, frame in enumerate(
                    reader.read(numbers[first : first + _FRAMES_AT_ONCE]), start=first
                ):
                    if position in shown:
                        width, height = target.size(frame.shape[1], frame.shape[0])
                        kept[position] = frame[:height, :width].copy()
                    yield frame

    shown = {0, len(numbers) // 2, len(numbers) - 1}
    rate = _rhythm(Path(path), numbers, fps_hz)
    target.encode(out, frames(), fps_hz=rate.fps_hz, times_s=rate.times_s[:-1])
    _verify(out, kept, num_frames=len(numbers))
    with out.open("rb") as file:
        os.fsync(file.fileno())
        return Written(os.fstat(file.fileno()).st_size, rate.fps_hz)


def _rhythm(path: Path, numbers: Sequence[int], fps_hz: float) -> Rhythm:
    """Return the rhythm of some frames of a video; `fps_hz` where all its frames are even."""
    times_s = () if is_frame_folder(path) else rhythm(path).times_s
    if not times_s:
        return Rhythm(fps_hz)
    starts = np.array(spans_of(times_s, numbers)[:-1])
    return rhythm_of(starts - starts[0], fps_hz)


def _verify(out: Path, kept: dict[int, NDArray[np.uint8]], *, num_frames: int) -> None:
    with VideoReader(out) as reader:
        if reader.num_frames != num_frames:
            raise VideoError(
                f"{out}: was written with {num_frames} frames and reads back with "
                f"{reader.num_frames}."
            )
        pictures = reader.read(list(kept))
    for (position, frame), picture in zip(kept.items(), pictures, strict=True):
        if picture.shape != frame.shape:
            raise VideoError(f"{out}: frame {position} reads back in another size.")
        difference = float(np.abs(picture.astype(np.int16) - frame).mean())
        if difference > _ALIKE:
            raise VideoError(
                f"{out}: frame {position} reads back otherwise than it was written, by "
                f"{difference:.0f} grey levels."
            )
