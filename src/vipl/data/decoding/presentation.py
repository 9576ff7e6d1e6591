"""When the frames of a video are shown, and how many a second: by their times, not by a header.

Most videos have one rate, which their header tells, and frame k is shown at k / rate. Where the
times that the container gives its frames are not evenly spaced, the times count: the rate is then
a mean. No torch here.

Shapes: T frames that are shown.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vipl.data.decoding import containers, frame_folder
from vipl.data.decoding.containers import Timeline
from vipl.data.decoding.frame_archive import FrameArchive, is_archive
from vipl.data.decoding.frame_folder import is_frame_folder

Seconds: TypeAlias = NDArray[np.float64]

TOLERANCE_S = 1e-3
"""Times this near to each other are the same: many containers round to milliseconds."""

_GREATEST_TICK_S = 0.01  # of containers that round more coarsely, as GIF
# The clocks of these may jump, where recordings were joined.
_JUMPING = ("mpegts", "mpeg")
_JUMP_S = 10.0


class Rhythm(NamedTuple):
    """How the frames of a video follow each other.

    Attributes:
        fps_hz: Mean frame rate in frames per second; 0 where the file does not tell.
        times_s: Where the frames are not evenly spaced: when each is shown, the first at 0, and
            when the last one ends, [T + 1], which is taken to be shown as long as the one before
            it. Empty where they are: frame k is shown at k / fps_hz.
    """

    fps_hz: float
    times_s: tuple[float, ...] = ()


def rhythm(path: Path) -> Rhythm:
    """Return the rhythm of a video, packed frames or a folder's pictures.

    Raises:
        VideoError: It cannot be read.
    """
    if is_frame_folder(path):
        return Rhythm(frame_folder.header(path).fps_hz)
    path = containers.checked(path)
    if is_archive(path):
        with FrameArchive(path, None) as archive:
            return rhythm_of(archive.times_s, archive.facts["fps_hz"])
    head, line = containers.header(path), containers.timeline(path)
    starts = _starts(line, may_jump=head.format.startswith(_JUMPING))
    return rhythm_of(starts, head.fps_hz, tick_s=float(line.tick_s))


def rhythm_of(starts_s: Sequence[float] | Seconds, said_hz: float, *, tick_s: float = 0) -> Rhythm:
    """Return the rhythm of frames, out of the times at which they are shown.

    Args:
        starts_s: [T], ascending, the first 0; empty where nothing is known.
        said_hz: The rate that a header tells, which is kept where the frames agree with it; 0
            where it tells none.
        tick_s: To which times were rounded.
    """
    starts = np.asarray(starts_s, np.float64)
    steps = len(starts) - 1
    if steps < 1 or not starts[-1] > 0:
        return Rhythm(said_hz)
    tolerance_s = max(TOLERANCE_S, min(tick_s, _GREATEST_TICK_S)) * (1 + 1e-6)
    even = np.linspace(0, starts[-1], steps + 1)
    if np.abs(starts - even).max() > tolerance_s:
        times = np.append(starts, 2 * starts[-1] - starts[-2])
        return Rhythm((steps + 1) / float(times[-1]), tuple(times.tolist()))
    if said_hz > 0 and abs(starts[-1] - steps / said_hz) <= 0.5 / said_hz:
        return Rhythm(said_hz)
    return Rhythm(steps / float(starts[-1]))


def spans_of(times_s: Sequence[float], numbers: Sequence[int]) -> list[float]:
    """Return when some frames are shown, and when the last one ends, in the file's time.

    Args:
        times_s: Of a `Rhythm`, not empty.
        numbers: Of the frames, ascending, evenly spaced; those past the end are as the end.
    """
    step = numbers[-1] - numbers[-2] if len(numbers) > 1 else 1
    last = len(times_s) - 1
    return [times_s[min(number, last)] for number in (*numbers, numbers[-1] + step)]


def shown_at(times_s: Sequence[float], fps_hz: float) -> NDArray[np.int64]:
    """Return the frames that are on the screen every 1 / fps_hz seconds, each once.

    Args:
        times_s: When each frame is shown, and when the last one ends.
        fps_hz: Frames a second.
    """
    starts, length_s = np.asarray(times_s[:-1]), times_s[-1] - times_s[0]
    moments = times_s[0] + np.arange(np.ceil((length_s - TOLERANCE_S) * fps_hz)) / fps_hz
    return np.unique(np.searchsorted(starts, moments + TOLERANCE_S, side="right") - 1)


def _starts(line: Timeline, *, may_jump: bool) -> Seconds:
    if not line.tick_s:
        return np.empty(0)
    numerator, denominator = line.tick_s.as_integer_ratio()
    starts: Seconds = (line.shown - line.shown[0]) * numerator / denominator
    back = np.maximum.accumulate(line.times) - line.times
    if may_jump and max(np.diff(starts).max(initial=0), float(back.max() * line.tick_s)) > _JUMP_S:
        return np.empty(0)
    return starts
