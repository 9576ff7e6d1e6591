"""Ego4D's files: the layouts in which its videos come, and which stretch each file holds.

`full_scale` and `video_540ss` hold `<video_uid>.mp4`; `clips` holds `<clip_uid>.mp4`, stretches
that the benchmarks cut; copies made for training hold folders `<video_uid>.mp4/<second>.mp4`.
"""

import contextlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from vipl.data.decoding.video import VideoError
from vipl.data.manifests.walk import can_be_named, shown
from vipl.data.processes.isolation import DecoderProcess
from vipl.data.sources.ego4d.json_stream import items_of
from vipl.data.sources.ego4d.videos import Video, is_file_name, positive, time_of
from vipl.data.sources.probing import Probing, open_all
from vipl.data.sources.report import NAMELESS, SourceReport, first_existing, wrong_layout
from vipl.errors import UserError

_METADATA = ("ego4d.json", "v2/ego4d.json", "v1/ego4d.json")
_FOLDERS = ("video_540ss", "full_scale", "clips")
_SUFFIX = ".mp4"
# None: as in ego4d.json.
_SHORT_SIDES: Mapping[str, int | None] = {"full_scale": None, "clips": None, "video_540ss": 540}

Videos = Mapping[str, Video | None]


@dataclass(frozen=True, slots=True)
class Part:
    """A file that holds a stretch of a video.

    Attributes:
        path: Relative to the folder of `ego4d.json`.
        start_s: Where it begins in the canonical video.
        end_s: Where it ends.
        fps_hz: Frames per second.
        num_frames: Of the file.
        width: In pixels.
        height: In pixels.
        decoder: As in a manifest.
        present: Whether the file is there.
        times_s: When its frames are shown, where they are not evenly spaced.
    """

    path: str
    start_s: float
    end_s: float
    fps_hz: float
    num_frames: int
    width: int
    height: int
    decoder: str = "any"
    present: bool = True
    times_s: Sequence[float] = ()


def find_root(directory: Path) -> Path:
    """Return the folder that holds `ego4d.json`.

    Raises:
        UserError: If there is none.
    """
    file = first_existing(directory, _METADATA)
    if file is None:
        raise wrong_layout(directory, "Ego4D", _METADATA)
    return file.parent


def find_parts(
    root: Path,
    videos: Videos,
    *,
    name: str | None,
    report: SourceReport,
    allow_missing: bool = False,
) -> dict[str, list[Part]]:
    """Return the files of every video, ascending by where they begin.

    Args:
        root: Folder of `ego4d.json`.
        videos: Of `ego4d.json`.
        name: Folder of the videos in it, or elsewhere; None: the first that is there.
        report: Told the layout, and the root of the paths: the folder that holds that of the
            videos.
        allow_missing: Whether a folder that was named may be missing.

    Raises:
        UserError: If there is no folder of videos.
    """
    folder = root / name if name else first_existing(root, _FOLDERS) or _chunk_folder(root)
    if folder is None or not (folder.is_dir() or (name and allow_missing)):
        looked_for = [f"{name}/"] if name else [f"{folder}/" for folder in _FOLDERS]
        raise wrong_layout(root, "Ego4D", looked_for, remedy="name the folder by --videos")
    if not can_be_named(folder.name):
        raise UserError(f"the folder of the videos is {shown(folder)}: {NAMELESS}")
    report.root = folder.parent
    report.trusted = _METADATA[0]
    files = {e.name: e.is_dir() for e in os.scandir(folder)} if folder.is_dir() else {}
    names = sorted(file for file in files if file.endswith(_SUFFIX))
    if any(files[file] for file in names):
        report.layout = f"Ego4D in chunks ({folder.name}/<video_uid>.mp4/<second>.mp4)"
        found = _chunks(folder, [file for file in names if files[file]], videos=videos)
    elif _are_clips(names, root) if names else folder.name == "clips":
        report.layout = f"Ego4D, the benchmarks' clips ({folder.name}/<clip_uid>.mp4)"
        entries = items_of(root / "ego4d.json", "clips")
        found = _clips(folder, set(names), videos=videos, entries=entries)
    else:
        report.layout = f"Ego4D, whole videos ({folder.name}/<video_uid>.mp4)"
        found = _whole(folder, set(names), videos=videos)
    short_side = _short_side(folder, names)
    parts: dict[str, list[Part]] = {}
    for uid, part in found:
        width, height = _resized(part.width, part.height, short_side)
        parts.setdefault(uid, []).append(replace(part, width=width, height=height))
    return {uid: sorted(p, key=lambda part: (part.start_s, part.path)) for uid, p in parts.items()}


def open_parts(
    parts: Mapping[str, list[Part]],
    report: SourceReport,
    probing: Probing,
) -> dict[str, list[Part]]:
    """Replace what the metadata say by what the files hold; unreadable ones are left out."""
    report.trusted = ""
    present = sorted({part.path for p in parts.values() for part in p if part.present})
    paths = [report.root / path for path in present]
    infos = open_all(paths, report, probing)

    def opened(part: Part) -> Part | None:
        info = infos.get(report.root / part.path)
        if info is None:
            return None if part.present else part
        return replace(
            part,
            fps_hz=info.fps_hz,
            num_frames=info.num_frames,
            width=info.width,
            height=info.height,
            decoder=info.decoder,
            times_s=info.times_s,
        )

    return {uid: [o for part in p if (o := opened(part))] for uid, p in parts.items()}


def _whole(folder: Path, names: set[str], *, videos: Videos) -> Iterator[tuple[str, Part]]:
    for uid, video in videos.items():
        if video is not None:
            name = f"{uid}{_SUFFIX}"
            yield (
                uid,
                Part(
                    path=f"{folder.name}/{name}",
                    start_s=0.0,
                    end_s=video.num_frames / video.fps_hz,
                    fps_hz=video.fps_hz,
                    num_frames=video.num_frames,
                    width=video.width,
                    height=video.height,
                    present=name in names,
                ),
            )


def _clips(
    folder: Path, names: set[str], *, videos: Videos, entries: Iterable[Any]
) -> Iterator[tuple[str, Part]]:
    for entry in entries:
        if not (isinstance(entry, dict) and is_file_name(entry.get("clip_uid"))):
            continue
        uid, name = str(entry.get("video_uid")), f"{entry['clip_uid']}{_SUFFIX}"
        video, start_s = videos.get(uid), time_of(entry.get("video_start_sec") or 0)
        end_s = time_of(entry.get("video_end_sec"))
        if video is None or start_s is None or end_s is None or not start_s < end_s:
            continue
        metadata = entry.get("clip_metadata")
        metadata = metadata if isinstance(metadata, dict) else {}
        fps_hz, count = metadata.get("fps"), metadata.get("num_frames")
        fps_hz = float(fps_hz) if positive(fps_hz) else video.fps_hz
        yield (
            uid,
            Part(
                path=f"{folder.name}/{name}",
                start_s=start_s,
                end_s=end_s,
                fps_hz=fps_hz,
                num_frames=int(count) if positive(count) else int((end_s - start_s) * fps_hz),
                width=video.width,
                height=video.height,
                present=name in names,
            ),
        )


def _chunks(folder: Path, names: Iterable[str], *, videos: Videos) -> Iterator[tuple[str, Part]]:
    for name in names:
        uid = name.removesuffix(_SUFFIX)
        video = videos.get(uid)
        if video is None:
            continue
        stems = (file.stem for file in (folder / name).iterdir() if file.suffix == _SUFFIX)
        starts = sorted({int(stem) for stem in stems if re.fullmatch(r"0|[1-9]\d{0,8}", stem)})
        end_s = video.num_frames / video.fps_hz
        # Between two chunks of which some are missing lies more than one's length.
        length = min((b - a for a, b in pairwise(starts)), default=end_s)
        for start in starts:
            stop = min(start + length, end_s)
            yield (
                uid,
                Part(
                    path=f"{folder.name}/{name}/{start}{_SUFFIX}",
                    start_s=float(start),
                    end_s=stop,
                    fps_hz=video.fps_hz,
                    num_frames=int((stop - start) * video.fps_hz),
                    width=video.width,
                    height=video.height,
                ),
            )


def _are_clips(names: list[str], root: Path) -> bool:
    """Whether files are named by clips, and not by videos."""
    entries = items_of(root / "ego4d.json", "clips")
    known = (entry.get("clip_uid") for entry in entries if isinstance(entry, dict))
    return not {f"{uid}{_SUFFIX}" for uid in known}.isdisjoint(names)


def _chunk_folder(root: Path) -> Path | None:
    """Return the first folder whose own folders end in .mp4."""
    folders = sorted(path for path in root.iterdir() if path.is_dir())
    return next((f for f in folders if any(p.is_dir() for p in f.glob(f"*{_SUFFIX}"))), None)


def _short_side(folder: Path, names: list[str]) -> int | None:
    """Return the short side of a folder's videos; of folders of unknown names, the first's."""
    if folder.name in _SHORT_SIDES:
        return _SHORT_SIDES[folder.name]
    with DecoderProcess() as process:
        for name in names:
            path = folder / name
            for file in sorted(path.glob(f"*{_SUFFIX}")) if path.is_dir() else [path]:
                with contextlib.suppress(VideoError):
                    info = process.glance(file)
                    return min(info.width, info.height)
    return None


def _resized(width: int, height: int, short_side: int | None) -> tuple[int, int]:
    """Bring the shorter side to a length; the longer becomes even, as encoders want it."""
    if short_side is None:
        return width, height
    longer = 2 * round(max(width, height) * short_side / min(width, height) / 2)
    return (short_side, longer) if width <= height else (longer, short_side)
