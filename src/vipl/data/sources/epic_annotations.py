"""The tables of EPIC-KITCHENS-100: action segments, and what is known of each video."""

import csv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from vipl.data.probe import VideoInfo
from vipl.data.sources.report import first_existing, wrong_layout
from vipl.data.splits import assign_splits, name_fingerprint
from vipl.errors import UserError

_TABLES = {"train": "EPIC_100_train.csv", "val": "EPIC_100_validation.csv"}
_VIDEO_INFO = "EPIC_100_video_info.csv"
_FOLDERS = (".", "annotations", "epic-kitchens-100-annotations")

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


def read_segments(folder: Path, *, val_fraction: float) -> list[Segment]:
    """Return the segments of both tables, in the order of their videos and times.

    Args:
        folder: Of the tables; one of the two may be missing.
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
        for segment in _read(file, _segment)
    ]
    if "val" not in found:
        names = {segment.video_id for segment in segments}
        splits = assign_splits({name: name_fingerprint(name) for name in names}, val_fraction)
        segments = [replace(segment, split=splits[segment.video_id]) for segment in segments]
    return sorted(segments, key=lambda s: (s.video_id, s.start_s, s.narration_id))


def read_video_infos(folder: Path) -> dict[str, VideoInfo]:
    """Return what `EPIC_100_video_info.csv` says of each video.

    Raises:
        UserError: If there is no such table, or it has another form.
    """
    file = folder / _VIDEO_INFO
    if not file.is_file():
        remedy = "without it, open every video by --probe"
        raise wrong_layout(folder, "EPIC-KITCHENS-100's annotations", [_VIDEO_INFO], remedy=remedy)
    return dict(_read(file, _video_info))


def _read(file: Path, parse: Callable[[Mapping[str, str]], Row]) -> Iterator[Row]:
    with file.open(newline="", encoding="utf-8-sig") as stream:
        for number, row in enumerate(csv.DictReader(stream), start=1):
            try:
                yield parse(row)
            except KeyError as error:
                raise UserError(
                    f"{file} lacks the column {error}; it has {', '.join(row)}"
                ) from error
            except (ValueError, TypeError, AttributeError) as error:
                raise UserError(f"{file}, row {number}: {error}") from error


def _segment(row: Mapping[str, str]) -> Segment:
    return Segment(
        narration_id=row["narration_id"],
        video_id=row["video_id"],
        start_s=_seconds(row["start_timestamp"]),
        stop_s=_seconds(row["stop_timestamp"]),
        first_picture=int(row["start_frame"]),
        last_picture=int(row["stop_frame"]),
        label=row["narration"],
        split="",
    )


def _video_info(row: Mapping[str, str]) -> tuple[str, VideoInfo]:
    fps_hz = float(row["fps"])
    width, height = (int(side) for side in row["resolution"].split("x"))
    num_frames = int(float(row["duration"]) * fps_hz)
    return row["video_id"], VideoInfo(num_frames, fps_hz, width, height, decoder="any")


def _seconds(text: str) -> float:
    """Turn "00:05:27.28" into 327.28."""
    try:
        hours, minutes, seconds = text.split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        raise ValueError(f"the time is {text!r}, expected such as 00:05:27.28") from None
