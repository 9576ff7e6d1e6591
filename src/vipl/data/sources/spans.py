"""From seconds to frame numbers, and from a frame rate to a stride."""

import math

# Times in annotations are rounded: a frame this near to a bound, in frames, is on the bound.
_TOLERANCE = 1e-6


def frames_between(start_s: float, end_s: float, fps_hz: float) -> tuple[int, int]:
    """Return (first, one past the last) of the frames shown at start_s <= time < end_s.

    Frame k of a video is shown at k / fps_hz seconds.
    """
    return (
        math.ceil(start_s * fps_hz - _TOLERANCE),
        math.ceil(end_s * fps_hz - _TOLERANCE),
    )


def stride_for(fps_hz: float, rate_hz: float) -> int:
    """Return the whole number of frames whose distance is nearest to 1 / rate_hz seconds."""
    return max(1, round(fps_hz / rate_hz))
