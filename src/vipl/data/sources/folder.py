"""A folder of videos, in whatever sub-folders, turned into clips."""

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from vipl.data.isolation import probe_many
from vipl.data.manifest import Clip
from vipl.data.probe import VideoInfo
from vipl.data.sampling import MIN_FRAMES
from vipl.data.video import VideoError
from vipl.errors import UserError

# fmt: off
VIDEO_SUFFIXES = frozenset({
    ".3gp", ".asf", ".avi", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg",
    ".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv",
})
# fmt: on

_FINGERPRINT_BYTES = 1 << 20


@dataclass
class FolderReport:
    """What a walk through a folder found.

    Attributes:
        clips: The rows of the manifest.
        unreadable: (path, reason) of every video that gives no clip.
        distrusted: (path, reason) of videos that decord misreads and PyAV will decode.
        other_files: How many files were left aside since their names are not those of videos.
    """

    clips: list[Clip] = field(default_factory=list)
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    distrusted: list[tuple[str, str]] = field(default_factory=list)
    other_files: int = 0


def build_folder(
    directory: Path,
    *,
    clip_seconds: float = 10.0,
    val_fraction: float = 0.1,
    workers: int | None = None,
    timeout_s: float = 60.0,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> FolderReport:
    """Probe every video under a folder and cut it into clips.

    Args:
        directory: Walked through to the bottom; links to folders are followed.
        clip_seconds: Videos longer than one and a half times this are cut into equal clips of
            about this length.
        val_fraction: Share of the videos that is held out, between 0 and 1.
        workers: Processes that probe; by default one a core.
        timeout_s: After which a video that does not open is given up.
        on_progress: Called with the numbers of videos done and to do.

    Raises:
        UserError: If there is no such folder, or not one readable video in it.
    """
    if not directory.is_dir():
        raise UserError(f"there is no folder {directory}")
    if not 0 <= val_fraction < 1:
        raise UserError(f"the held-out share is {val_fraction}, expected 0 <= share < 1")
    if not clip_seconds > 0:
        raise UserError(f"the clip length is {clip_seconds} s, expected more than 0")
    videos, other_files = find_videos(directory)
    if not videos:
        raise UserError(
            f"{directory} holds no video ({other_files} other files; looked for "
            f"{', '.join(sorted(VIDEO_SUFFIXES))})"
        )
    report = FolderReport(other_files=other_files)
    infos = _probe(videos, report, directory, workers, timeout_s, on_progress)
    if not infos:
        first, reason = report.unreadable[0]
        raise UserError(f"none of {len(videos)} videos gives a clip; the first, {first}: {reason}")
    splits = assign_splits({path: fingerprint(path) for path in infos}, val_fraction)
    for path in sorted(infos):
        relative = path.relative_to(directory).as_posix()
        report.clips += cut(infos[path], relative, split=splits[path], clip_seconds=clip_seconds)
    return report


def find_videos(directory: Path) -> tuple[list[Path], int]:
    """Return the videos under a folder in a fixed order, and the number of other files.

    Hidden files and folders are passed over.
    """
    videos, other_files = [], 0
    for folder, subfolders, names in os.walk(directory, followlinks=True):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in sorted(names):
            if name.startswith("."):
                continue
            if Path(name).suffix.lower() in VIDEO_SUFFIXES:
                videos.append(Path(folder) / name)
            else:
                other_files += 1
    return videos, other_files


def cut(info: VideoInfo, path: str, *, split: str, clip_seconds: float) -> list[Clip]:
    """Cut one video into equal clips of about `clip_seconds`, one at least.

    Args:
        info: Of the video.
        path: Relative to the manifest's root.
        split: Of all its clips.
        clip_seconds: Wished-for length.
    """
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


def assign_splits(fingerprints: dict[Path, str], val_fraction: float) -> dict[Path, str]:
    """Return "train" or "val" for every video, by its fingerprint alone.

    With few videos chance may leave one side empty; the video of the lowest fingerprint is then
    held out, or that of the highest trained on. A single video is trained on.
    """
    distinct = sorted(set(fingerprints.values()))
    held_out = {value for value in distinct if int(value[:16], 16) < val_fraction * 2**64}
    if not held_out and val_fraction > 0:
        held_out = set(distinct[:1])
    if len(held_out) == len(distinct):
        held_out.discard(distinct[-1])
    return {path: "val" if value in held_out else "train" for path, value in fingerprints.items()}


def _probe(
    videos: Sequence[Path],
    report: FolderReport,
    directory: Path,
    workers: int | None,
    timeout_s: float,
    on_progress: Callable[[int, int], None],
) -> dict[Path, VideoInfo]:
    infos: dict[Path, VideoInfo] = {}
    results = probe_many(videos, workers=workers or os.cpu_count() or 1, timeout_s=timeout_s)
    for done, (index, result) in enumerate(results, start=1):
        relative = videos[index].relative_to(directory).as_posix()
        if isinstance(result, VideoError):
            report.unreadable.append((relative, str(result)))
        elif result.num_frames < MIN_FRAMES:
            reason = f"{result.num_frames} frames, a clip needs {MIN_FRAMES}"
            report.unreadable.append((relative, reason))
        elif not result.fps_hz > 0:
            report.unreadable.append((relative, "the file states no frame rate"))
        else:
            infos[videos[index]] = result
            if result.decoder == "pyav":
                report.distrusted.append((relative, result.note))
        on_progress(done, len(videos))
    report.unreadable.sort()
    report.distrusted.sort()
    return infos
