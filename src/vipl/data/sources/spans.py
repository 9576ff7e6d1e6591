"""From seconds to frame numbers, and from a frame rate to a stride."""

import math
from bisect import bisect_left
from collections.abc import Sequence

from vipl.data.manifests.validation import MIN_FRAMES

# Times in annotations are rounded: a frame this near to a bound, in frames, is on the bound.
_TOLERANCE = 1e-6


def frames_between(
    start_s: float, end_s: float, fps_hz: float, times_s: Sequence[float] = ()
) -> tuple[int, int]:
    """Return (first, one past the last) of the frames shown at start_s <= time < end_s.

    Frame k of a video is shown at k / fps_hz seconds, unless `times_s` tells when each is shown,
    and when the last one ends.
    """
    if times_s:
        first, end = (bisect_left(times_s, time - _TOLERANCE) for time in (start_s, end_s))
        return first, min(end, len(times_s) - 1)
    return (
        math.ceil(start_s * fps_hz - _TOLERANCE),
        math.ceil(end_s * fps_hz - _TOLERANCE),
    )


def stride_for(fps_hz: float, rate_hz: float) -> int:
    """Return the whole number of frames whose distance is nearest to 1 / rate_hz seconds."""
    return max(1, round(fps_hz / rate_hz))


def parts_by_time(times_s: Sequence[float], seconds: float) -> list[int]:
    """Return where to cut a video into parts that last equally long, of about `seconds`.

    Args:
        times_s: When each of its frames is shown, and when the last one ends.
        seconds: Wished-for length.

    Returns:
        The first frame of each part, and one past the last of all. A part that would have too few
        frames for a clip is joined with the next.
    """
    total, length_s = len(times_s) - 1, times_s[-1] - times_s[0]
    count = max(1, round(length_s / seconds))
    bounds = [0]
    for part in range(1, count):
        bound = bisect_left(times_s, times_s[0] + length_s * part / count - _TOLERANCE)
        if bound - bounds[-1] >= MIN_FRAMES and total - bound >= MIN_FRAMES:
            bounds.append(bound)
    return [*bounds, total]
