"""Ego4D's `ego4d.json`: which videos there are, and which may be trained on."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from vipl.data.manifests.splits import assign_splits, name_fingerprint
from vipl.data.manifests.walk import can_be_named
from vipl.data.sources.ego4d.json_stream import items_of
from vipl.data.sources.report import SourceReport
from vipl.errors import UserError

SPLIT_KEYS = ("split_em", "split_av", "split_fho")
"""The first of them that says train, val or test decides."""

LIMIT = 2**31
"""No frame number, rate, time or size is beyond; their products fit into 64 bits."""

_NEEDED = ("fps", "num_frames", "display_resolution_width", "display_resolution_height")


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
        uid = entry.get("video_uid") if isinstance(entry, dict) else None
        if not is_file_name(uid):
            report.left_out["videos without a video_uid that can name a file"] += 1
            continue
        reason = _unfit(entry)
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
    """Whether a value of the file is a number above 0, and none beyond all videos."""
    return _number(value) and 0 < value < LIMIT


def time_of(value: object) -> float | None:
    """Return a time in seconds, None where a value of the file is none."""
    return float(value) if _number(value) and 0 <= value < LIMIT else None


def is_file_name(value: object) -> TypeGuard[str]:
    """Whether a value of the file can be a file's name."""
    plain = isinstance(value, str) and value not in ("", ".", "..")
    return plain and "/" not in str(value) and can_be_named(str(value))


def _number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _unfit(entry: dict[str, Any]) -> str:
    metadata = entry.get("video_metadata") or {}
    if entry.get("is_stereo"):
        return "videos of two views (stereo)"
    if _split(entry) == "test":
        return "videos of a test split"
    intervals = entry.get("redacted_intervals") or ()
    timed = isinstance(intervals, list) and bool(intervals) and all(map(_timed, intervals))
    if (intervals or entry.get("has_redacted_regions")) and not timed:
        return "videos redacted at unknown times"
    known = isinstance(metadata, dict) and all(positive(metadata.get(key)) for key in _NEEDED)
    if not known or any(metadata[key] < 1 for key in _NEEDED[1:]):
        return "videos without frame rate, count or size in ego4d.json"
    return ""


def _timed(interval: object) -> bool:
    if not isinstance(interval, dict):
        return False
    start_s = time_of(interval.get("start_sec", "unknown") or 0)
    return start_s is not None and positive(interval.get("end_sec"))


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
