"""The tables of EPIC-KITCHENS-100: action segments, and what is known of each video."""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from vipl.data.decoding.probe import VideoInfo
from vipl.data.manifests.splits import assign_splits, name_fingerprint
from vipl.data.manifests.text_files import Faults, parse_rows, table_columns
from vipl.data.sources.report import first_existing, wrong_layout
from vipl.errors import UserError

_TABLES = {"train": "EPIC_100_train.csv", "val": "EPIC_100_validation.csv"}
VIDEO_INFO = "EPIC_100_video_info.csv"
_FOLDERS = (".", "annotations", "epic-kitchens-100-annotations")
_SEGMENT = (
    "narration_id", "video_id", "start_timestamp", "stop_timestamp", "start_frame", "stop_frame",
    "narration",
)  # fmt: skip
_INFO = ("video_id", "fps", "duration", "resolution")
# No frame number, time or size is beyond; their products fit into 64 bits.
_LIMIT = 2**31

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Segment:
    """An action.

    Attributes:
        narration_id: Its name.
        video_id: Such as P01_101.
        start_s: In the video.
        stop_s: In the video.
        first_picture: Number of an extracted frame, from 1.
        last_picture: Number of the last one.
        label: What happens.
        split: "train" or "val".
    """

    narration_id: str
    video_id: str
    start_s: float
    stop_s: float
    first_picture: int
    last_picture: int
    label: str
    split: str


def find_annotations(directory: Path) -> Path:
    """Return the folder of the tables: this one, or a usual one in it or beside it.

    Raises:
        UserError: If there is none.
    """
    for base in (directory, directory.parent):
        for name in _FOLDERS:
            if first_existing(base / name, _TABLES.values()):
                return base / name
    remedy = "name their folder by --annotations"
    raise wrong_layout(directory, "EPIC-KITCHENS-100", list(_TABLES.values()), remedy=remedy)


def read_segments(folder: Path, faults: Faults, *, val_fraction: float) -> list[Segment]:
    """Return the segments of both tables, in the order of their videos and times.

    Args:
        folder: Of the tables; one of the two may be missing.
        faults: Filled with the rows that cannot be read.
        val_fraction: Share of the videos that is held out where the table of held-out ones is
            missing, by the SHA-256 of `video_id`.

    Raises:
        UserError: If there is no table, or one has another form.
    """
    found = {split: folder / name for split, name in _TABLES.items() if (folder / name).is_file()}
    if not found:
        raise wrong_layout(folder, "EPIC-KITCHENS-100's annotations", list(_TABLES.values()))
    segments = [
        replace(segment, split=split)
        for split, file in found.items()
        for segment in _read(file, faults, _SEGMENT, _segment)
    ]
    segments = list(_once(segments, faults))
    if "val" not in found:
        names = {segment.video_id for segment in segments}
        splits = assign_splits({name: name_fingerprint(name) for name in names}, val_fraction)
        segments = [replace(segment, split=splits[segment.video_id]) for segment in segments]
    return sorted(segments, key=lambda s: (s.video_id, s.start_s, s.narration_id))


def read_video_infos(folder: Path, faults: Faults) -> dict[str, VideoInfo]:
    """Return what `EPIC_100_video_info.csv` says of each video.

    Args:
        folder: Of the table.
        faults: Filled with the rows that cannot be read.

    Raises:
        UserError: If there is no such table, or it has another form.
    """
    file = folder / VIDEO_INFO
    if not file.is_file():
        remedy = "without it, open every video by --probe"
        raise wrong_layout(folder, "EPIC-KITCHENS-100's annotations", [VIDEO_INFO], remedy=remedy)
    return dict(_read(file, faults, _INFO, _video_info))


def _read(
    file: Path, faults: Faults, needed: Iterable[str], parse: Callable[[Mapping[str, str]], Row]
) -> Iterator[Row]:
    columns = table_columns(file)
    lacking = [name for name in needed if name not in columns]
    if columns and lacking:
        raise UserError(f"{file} lacks the column {lacking[0]!r}; it has {', '.join(columns)}")
    yield from parse_rows(file, faults, parse)


def _once(segments: Iterable[Segment], faults: Faults) -> Iterator[Segment]:
    names: set[str] = set()
    for segment in segments:
        if segment.narration_id in names:
            faults.append((f"narration_id {segment.narration_id}", "another row has the same"))
        else:
            names.add(segment.narration_id)
            yield segment


def _segment(row: Mapping[str, str]) -> Segment:
    if not row["narration_id"]:
        raise ValueError("the narration_id is empty")
    start_s, stop_s = _seconds(row["start_timestamp"]), _seconds(row["stop_timestamp"])
    first, last = (_whole(row, column) for column in ("start_frame", "stop_frame"))
    if stop_s < start_s or last < first:
        raise ValueError(f"it ends at {stop_s} s, frame {last}, before its beginning")
    return Segment(
        narration_id=row["narration_id"],
        video_id=_video_id(row["video_id"]),
        start_s=start_s,
        stop_s=stop_s,
        first_picture=first,
        last_picture=last,
        label=row["narration"],
        split="",
    )


def _video_info(row: Mapping[str, str]) -> tuple[str, VideoInfo]:
    fps_hz, duration_s = (_positive(row, column) for column in ("fps", "duration"))
    size = re.fullmatch(r"\s*([1-9]\d{0,6})\s*x\s*([1-9]\d{0,6})\s*", row["resolution"])
    if size is None:
        raise ValueError(f"the resolution is {row['resolution']!r}, expected such as 1920x1080")
    width, height = int(size[1]), int(size[2])
    video_id = _video_id(row["video_id"])
    return video_id, VideoInfo(int(duration_s * fps_hz), fps_hz, width, height, decoder="any")


def _video_id(text: str) -> str:
    """Refuse what is no plain name: it becomes part of a path."""
    if not re.fullmatch(r"[^\W_][\w.-]*", text):
        raise ValueError(f"the video_id is {text!r}, expected such as P01_101")
    return text


def _positive(row: Mapping[str, str], column: str) -> float:
    try:
        value = float(row[column])
    except ValueError:
        value = math.nan
    if not 0 < value < _LIMIT:
        raise ValueError(f"the {column} is {row[column]!r}, expected a number above 0")
    return value


def _whole(row: Mapping[str, str], column: str) -> int:
    try:
        number = int(row[column])
    except ValueError:
        number = -1
    if not 0 <= number < _LIMIT:
        raise ValueError(f"the {column} is {row[column]!r}, expected a number of 0 or more")
    return number


def _seconds(text: str) -> float:
    """Turn "00:05:27.28" into 327.28."""
    try:
        hours, minutes, seconds = text.split(":")
        if "-" in text:
            raise ValueError("a part is negative")
        time_s = int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except (ValueError, OverflowError):
        time_s = math.nan
    if not 0 <= time_s < _LIMIT:
        raise ValueError(f"the time is {text!r}, expected such as 00:05:27.28")
    return time_s
