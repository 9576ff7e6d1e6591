"""Small data sets in the layouts of the real ones, with real videos."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from tests import media

UIDS = [f"{letter * 8}-0000-4000-8000-000000000000" for letter in "abcdef"]


def ego4d_video(uid: str, **changes: Any) -> dict[str, Any]:
    """An entry of ego4d.json: 20 s at 30 fps, 64 x 48, by default in no split."""
    metadata = {
        "fps": 30.0,
        "num_frames": 600,
        "display_resolution_width": 64,
        "display_resolution_height": 48,
    }
    metadata |= changes.pop("video_metadata", {})
    entry = {
        "video_uid": uid,
        "duration_sec": 20.0,
        "video_metadata": metadata,
        "split_em": None,
        "split_av": None,
        "split_fho": None,
        "is_stereo": False,
        "has_redacted_regions": False,
        "redacted_intervals": [],
    }
    return entry | changes


def narrations(*times: float, text: str = "#C C opens a door") -> dict[str, Any]:
    """A narration pass."""
    return {
        "narrations": [
            {"timestamp_sec": time, "timestamp_frame": int(time * 30), "narration_text": text}
            for time in times
        ],
        "summaries": [{"start_sec": 0.0, "end_sec": 20.0, "summary_text": "#Summary C works"}],
    }


def write_ego4d(
    directory: Path,
    videos: Sequence[Mapping[str, Any]],
    narrated: Mapping[str, Any],
    *,
    clips: Sequence[Mapping[str, Any]] = (),
) -> Path:
    """Write `v2/ego4d.json` and `v2/annotations/narration.json`; return `v2`."""
    root = directory / "v2"
    (root / "annotations").mkdir(parents=True, exist_ok=True)
    content = {"version": "v2_1", "videos": list(videos), "clips": list(clips)}
    (root / "ego4d.json").write_text(json.dumps(content))
    (root / "annotations" / "narration.json").write_text(json.dumps(narrated))
    return root


def write_clip(path: Path, seconds: float = 20.0, *, fps: float = 30, seed: int = 0) -> Path:
    """Encode a tiny video."""
    frames = media.moving_square(round(seconds * fps), 48, 64, seed=seed)
    return media.write_video(path, frames, fps=fps)


def write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write rows as CSV."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_pictures(
    folder: Path, pattern: str, numbers: Sequence[int], *, seed: int = 0, size: int = 48
) -> Path:
    """Write pictures whose brightest spot tells their place; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    frames = media.moving_square(len(numbers), size, size, seed=seed)
    for number, frame in zip(numbers, frames, strict=True):
        Image.fromarray(frame).save(folder / (pattern % number))
    return folder
