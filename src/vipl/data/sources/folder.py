"""A folder of videos, in whatever sub-folders, turned into clips."""

import hashlib
import os
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from vipl.data.decoding.pictures import IMAGE_SUFFIXES
from vipl.data.decoding.probe import VideoInfo
from vipl.data.manifests.manifest import Clip
from vipl.data.manifests.splits import assign_splits, check_fraction
from vipl.data.manifests.validation import MIN_FRAMES
from vipl.data.manifests.walk import Walk, can_be_named, once
from vipl.data.sources.probing import DEFAULT_PROBING, Probing, open_all
from vipl.data.sources.report import NAMELESS, REPEATED, SourceReport
from vipl.data.sources.spans import parts_by_time
from vipl.errors import UserError

# fmt: off
VIDEO_SUFFIXES = frozenset({
    ".3gp", ".asf", ".avi", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg",
    ".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv",
})
# fmt: on

_FINGERPRINT_BYTES = 1 << 20


def build_folder(
    directory: Path,
    *,
    clip_seconds: float = 10.0,
    val_fraction: float = 0.1,
    probing: Probing = DEFAULT_PROBING,
) -> SourceReport:
    """Probe every video under a folder and cut it into clips.

    Args:
        directory: Walked through to the bottom; links to folders are followed, and a file counts
            once, however many links lead to it.
        clip_seconds: Videos longer than one and a half times this are cut into equal clips of
            about this length.
        val_fraction: Share of the videos that is held out, between 0 and 1.
        probing: How videos are opened.

    Raises:
        UserError: If there is no such folder, or not one readable video in it.
    """
    if not directory.is_dir():
        raise UserError(f"there is no folder {directory}")
    check_fraction(val_fraction)
    if not clip_seconds > 0:
        raise UserError(f"the clip length is {clip_seconds} s, expected more than 0")
    found = find_videos(directory)
    if not found.videos:
        raise UserError(
            f"{directory} holds no video ({found.other_files} other files; looked for "
            f"{', '.join(sorted(VIDEO_SUFFIXES))}){_pictures_instead(directory)}"
        )
    report = SourceReport(directory, layout="a folder of videos")
    videos = _named(found, report)
    infos = open_all(videos, report, probing)
    if not infos:
        first, reason = report.unreadable[0]
        raise UserError(
            f"none of {len(found.videos)} videos gives a clip; the first, {first}: {reason}"
        )
    splits = assign_splits({path: fingerprint(path) for path in infos}, val_fraction)
    report.clips = [
        clip
        for path in sorted(infos)
        for clip in cut(
            infos[path],
            path.relative_to(directory).as_posix(),
            split=splits[path],
            clip_seconds=clip_seconds,
        )
    ]
    return report


def _pictures_instead(directory: Path) -> str:
    """Return the remedy where there are pictures in place of videos."""
    if not any(path.suffix.lower() in IMAGE_SUFFIXES for path in directory.rglob("*")):
        return ""
    return f"; of folders of pictures: vipl manifest build frames {directory}"


def _named(found: "FoundVideos", report: SourceReport) -> list[Path]:
    """Return the videos that a manifest can name; what is left out goes to the report."""
    videos = [path for path in found.videos if can_be_named(str(path.relative_to(report.root)))]
    report.left_out["files that are not videos"] += found.other_files
    report.left_out[REPEATED] += found.repeated
    report.leave_out(set(found.videos) - set(videos), NAMELESS)
    report.leave_out(found.closed, "the folder cannot be listed")
    return videos


class FoundVideos(NamedTuple):
    """What a folder holds.

    Attributes:
        videos: In a fixed order; each once, by a path without links where there is one.
        other_files: How many there are.
        repeated: Links, and further names, of files and folders that are counted already.
        closed: Folders that cannot be listed.
    """

    videos: list[Path]
    other_files: int
    repeated: int
    closed: list[Path]


def find_videos(directory: Path) -> FoundVideos:
    """Look through a folder and those in it; hidden files and folders are passed over."""
    walk = Walk(directory)
    files: list[tuple[bool, Path]] = []
    other_files = 0
    for folder, names, by_link in walk:
        paths = [folder / n for n in names if Path(n).suffix.lower() in VIDEO_SUFFIXES]
        files += [(by_link or path.is_symlink(), path) for path in paths]
        other_files += len(names) - len(paths)
    videos = once(files)
    return FoundVideos(videos, other_files, walk.repeated + len(files) - len(videos), walk.closed)


def cut(info: VideoInfo, path: str, *, split: str, clip_seconds: float) -> list[Clip]:
    """Cut one video into clips that last equally long, about `clip_seconds`; one at least.

    Args:
        info: Of the video.
        path: Relative to the manifest's root.
        split: Of all its clips.
        clip_seconds: Wished-for length.
    """
    if info.times_s:
        bounds = parts_by_time(info.times_s, clip_seconds)
    else:
        count = max(1, round(info.num_frames / (info.fps_hz * clip_seconds)))
        count = min(count, info.num_frames // MIN_FRAMES)
        bounds = [info.num_frames * part // count for part in range(count + 1)]
    return [
        Clip(
            clip_id=f"{path}#{start}-{end}",
            path=path,
            start_frame=start,
            end_frame=end,
            fps=info.fps_hz,
            width=info.width,
            height=info.height,
            split=split,
            source="folder",
            label="",
            decoder=info.decoder,
        )
        for start, end in pairwise(bounds)
    ]


def fingerprint(path: Path) -> str:
    """Return a hash of a video's size, beginning and end.

    It moves with the file, and copies of one video share it, so that renaming a folder does not
    move videos between the splits and a copy never lands on the other side.
    """
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        digest = hashlib.sha256(str(size).encode())
        for start in {0, max(0, size - _FINGERPRINT_BYTES)}:
            file.seek(start)
            digest.update(file.read(_FINGERPRINT_BYTES))
    return digest.hexdigest()
