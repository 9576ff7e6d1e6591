"""What a clip of Ego4D is: the rule that cuts one around each narration.

A narration is a moment t of a video. Its clip holds the frames shown at low <= time < high, every
`stride`-th of them:

- low is the latest of t - before_s, the narration before, the end of the redacted interval before,
  and the beginning of the file;
- high is the earliest of t + after_s, the narration after, the next redacted interval, and the end
  of the file;
- `stride` is the whole number of frames nearest to 1 / rate_hz seconds;
- of more than `max_frames` the first ones are kept, and fewer than `min_frames` make no clip.

Narrations that fall on one frame are one moment, with the text that comes first in the alphabet.
Everything is a function of the annotations' values: the order of the narrations does not matter.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from vipl.data.manifests.text_files import plain_text
from vipl.data.manifests.validation import MIN_FRAMES
from vipl.data.sources.ego4d.files import Part
from vipl.data.sources.ego4d.videos import time_of
from vipl.data.sources.spans import frames_between, stride_for
from vipl.errors import UserError

Interval = tuple[float, float]


@dataclass(frozen=True)
class Rule:
    """The rule's numbers.

    Attributes:
        before_s: Seconds before a narration's moment that belong to its clip, at most.
        after_s: Seconds after it, at most.
        rate_hz: Frames a second that a clip takes.
        min_frames: That make a clip.
        max_frames: That a clip has.

    Raises:
        UserError: If they make no sense.
    """

    before_s: float = 1.0
    after_s: float = 14.0
    rate_hz: float = 10.0
    min_frames: int = 10
    max_frames: int = 150

    def __post_init__(self) -> None:
        if not (self.before_s >= 0 and self.after_s > 0):
            raise UserError(
                f"a clip's window is {self.before_s} s before and {self.after_s} s after a "
                "narration, expected 0 or more before and more than 0 after"
            )
        if not self.rate_hz > 0:
            raise UserError(f"the sampling rate is {self.rate_hz} Hz, expected more than 0")
        if not MIN_FRAMES <= self.min_frames <= self.max_frames:
            raise UserError(
                f"a clip has {self.min_frames} to {self.max_frames} frames, expected {MIN_FRAMES} "
                "or more, and a greatest number that is not below the least"
            )


class Moment(NamedTuple):
    """A narration: when, at which frame of the canonical video, and what it says."""

    time_s: float
    frame: int
    label: str


class Span(NamedTuple):
    """A clip's place: its file, its first frame there, one past its last, and its stride."""

    part: Part
    start: int
    end: int
    stride: int


def moments(narrations: Sequence[Any], fps_hz: float, *, left_out: Counter[str]) -> list[Moment]:
    """Return the moments of one annotator's narrations in the order of time.

    Args:
        narrations: As they are in `narration.json`, in whatever order.
        fps_hz: Of the canonical video.
        left_out: Counts those without a time, and those that share a frame with another.
    """
    found: dict[int, Moment] = {}
    for narration in narrations:
        time_s = time_of(narration.get("timestamp_sec") if isinstance(narration, dict) else None)
        if time_s is None:
            left_out["narrations without a time"] += 1
            continue
        moment = Moment(time_s, round(time_s * fps_hz), _label(narration.get("narration_text")))
        other = found.get(moment.frame)
        if other is not None:
            left_out["narrations on the frame of another"] += 1
            moment = min(moment, other, key=lambda m: (m.label, m.time_s))
        found[moment.frame] = moment
    return [found[frame] for frame in sorted(found)]


def span(
    moment: Moment,
    neighbours: tuple[float | None, float | None],
    redacted: Sequence[Interval],
    *,
    parts: Sequence[Part],
    rule: Rule,
) -> Span | str:
    """Place the clip of one moment.

    Args:
        moment: The narration.
        neighbours: Times of the narrations before and after, in seconds, where there are any.
        redacted: Intervals of the video, in seconds, in their order.
        parts: The video's files, ascending by beginning.
        rule: The rule's numbers.

    Returns:
        Where it is, or why there is none.
    """
    part = _holding(moment.time_s, parts)
    if part is None:
        return "narrations outside the video's files"
    low = max(moment.time_s - rule.before_s, neighbours[0] or 0.0, part.start_s)
    high = min(moment.time_s + rule.after_s, part.end_s)
    if neighbours[1] is not None:
        high = min(high, neighbours[1])
    for start_s, end_s in redacted:
        if start_s <= moment.time_s <= end_s:
            return "narrations inside a redacted interval"
        if end_s < moment.time_s:
            low = max(low, end_s)
        else:
            high = min(high, start_s)
    window = low - part.start_s, high - part.start_s
    start, end = frames_between(*window, part.fps_hz, part.times_s)
    end = min(end, part.num_frames)
    stride = stride_for(part.fps_hz, rule.rate_hz)
    count = min(-((start - end) // stride), rule.max_frames)
    if count < rule.min_frames:
        return f"narrations with fewer than {rule.min_frames} frames around them"
    return Span(part, start, start + (count - 1) * stride + 1, stride)


def _holding(time_s: float, parts: Sequence[Part]) -> Part | None:
    """Return the last part to begin that holds a time; parts of a benchmark's clips overlap."""
    position = bisect_right(parts, time_s, key=lambda part: part.start_s)
    return next((p for p in reversed(parts[:position]) if time_s < p.end_s), None)


def _label(text: object) -> str:
    """Return a narration without its tags: "#C C stirs food #unsure" is "C stirs food"."""
    return " ".join(word for word in plain_text(text).split() if not word.startswith("#"))
