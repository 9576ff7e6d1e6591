"""Ego4D's `ego4d.json`: which videos there are, and which may be trained on."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from vipl.data.sources.json_stream import items_of
from vipl.data.sources.report import SourceReport
from vipl.data.splits import assign_splits, name_fingerprint
from vipl.errors import UserError

SPLIT_KEYS = ("split_em", "split_av", "split_fho")
"""The first of them that says train, val or test decides."""


@dataclass(frozen=True, slots=True)
class Video:
    """A canonical video.

    Attributes:
        uid: Its name.
        fps_hz: Frames per second.
        num_frames: Of the whole video.
        width: Of the canonical picture, in pixels.
        height: Of the canonical picture, in pixels.
        split: "train" or "val".
        redacted: Intervals in seconds, in their order.
    """

    uid: str
    fps_hz: float
    num_frames: int
    width: int
    height: int
    split: str
    redacted: tuple[tuple[float, float], ...]


def read_videos(
    file: Path, report: SourceReport, *, val_fraction: float
) -> dict[str, Video | None]:
    """Return the videos by uid; None for those that are left out, which the report counts.

    Args:
        file: `ego4d.json`.
        report: Counts stereo videos, those of a test split, and those that the file tells too
            little of.
        val_fraction: Held out of the videos that no benchmark puts into a split, by the SHA-256
            of the uid.

    Raises:
        UserError: If the file is no such JSON.
    """
    videos: dict[str, Video | None] = {}
    for entry in items_of(file, "videos"):
        uid, reason = str(entry.get("video_uid")), _unfit(entry)
        videos[uid] = None if reason else _video(uid, entry)
        if reason:
            report.left_out[reason] += 1
    if not videos:
        raise UserError(f"{file} lists no video: looked for its key 'videos'")
    unsplit = [v.uid for v in videos.values() if v is not None and not v.split]
    drawn = assign_splits({uid: name_fingerprint(uid) for uid in unsplit}, val_fraction)
    for uid, split in drawn.items():
        video = videos[uid]
        assert video is not None
        videos[uid] = Video(
            uid, video.fps_hz, video.num_frames, video.width, video.height, split, video.redacted
        )
    return videos


def positive(value: object) -> TypeGuard[float]:
    """Whether a value of the file is a number above 0."""
    return isinstance(value, int | float) and 0 < value < math.inf


def _unfit(entry: dict[str, Any]) -> str:
    metadata = entry.get("video_metadata") or {}
    if entry.get("is_stereo"):
        return "videos of two views (stereo)"
    if _split(entry) == "test":
        return "videos of a test split"
    intervals = entry.get("redacted_intervals") or ()
    timed = intervals and all(positive(interval.get("end_sec")) for interval in intervals)
    if (intervals or entry.get("has_redacted_regions")) and not timed:
        return "videos redacted at unknown times"
    needed = ("fps", "num_frames", "display_resolution_width", "display_resolution_height")
    if not all(positive(metadata.get(key)) for key in needed):
        return "videos without frame rate, count or size in ego4d.json"
    return ""


def _split(entry: dict[str, Any]) -> str:
    said = (entry.get(key) for key in SPLIT_KEYS)
    return next((split for split in said if split in ("train", "val", "test")), "")


def _video(uid: str, entry: dict[str, Any]) -> Video:
    metadata = entry["video_metadata"]
    intervals = (
        (float(interval["start_sec"] or 0), float(interval["end_sec"]))
        for interval in entry.get("redacted_intervals") or ()
    )
    return Video(
        uid=uid,
        fps_hz=float(metadata["fps"]),
        num_frames=int(metadata["num_frames"]),
        width=int(metadata["display_resolution_width"]),
        height=int(metadata["display_resolution_height"]),
        split=_split(entry),
        redacted=tuple(sorted(intervals)),
    )
