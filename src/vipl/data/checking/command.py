"""`vipl manifest check`: every file is opened, and compared with what the manifest says of it.

Of a folder of frames every picture that a clip names is decoded; of a video what `probe` decodes.
"""

import argparse
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from vipl.console import Console, progress
from vipl.data.checking.comparing import differences
from vipl.data.checking.leaks import find_leaks
from vipl.data.checking.picture_faults import picture_faults
from vipl.data.checking.presence import missing_files, with_files
from vipl.data.checking.tables import REMARKED, show_table
from vipl.data.decoding.frame_folder import frame_numbers, frame_path, is_frame_folder
from vipl.data.decoding.probe import VideoInfo
from vipl.data.decoding.video import VideoError
from vipl.data.manifests.manifest import Clip, Manifest, read_manifest, sidecar_path
from vipl.data.processes.pool import probe_many
from vipl.errors import UserError

Problems = list[tuple[str, str]]
"""(path, what is wrong)."""

_console = Console(highlight=False)


def run(args: argparse.Namespace) -> None:
    """Verify that a manifest's files are there and hold the frames that it names.

    Raises:
        UserError: If anything is amiss.
    """
    manifest = read_manifest(args.manifest, root=args.root)
    if args.allow_missing:
        manifest = with_files(manifest, allow_missing=True, remedy="name their folder by --root")
    if not sidecar_path(args.manifest).is_file():
        _console.print(f"{args.manifest} has no sidecar: its hash cannot be compared")
    leaks = find_leaks(manifest)
    if leaks.files:
        _console.print(
            f"{len(leaks.files)} files have clips in train and others in val, which share no "
            f"frame; the first is {leaks.files[0]}"
        )
    clips: dict[str, list[Clip]] = {}
    for clip in manifest:
        clips.setdefault(clip.path, []).append(clip)
    remarks: Problems = []
    found = _look(manifest, clips, args.workers, args.timeout_s, remarks)
    problems = [*leaks.frames, *found]
    if remarks:
        show_table(REMARKED, sorted(remarks))
    if problems:
        show_table("problems", problems)
        raise UserError(f"{args.manifest}: {len(problems)} problems{_missing(manifest)}")
    folders = sum(map(is_frame_folder, clips))
    pictures = f"every picture of {folders} folders decoded, " if folders else ""
    _console.print(
        f"{args.manifest}: {len(manifest)} clips, every video readable, {pictures}every count and "
        f"rate right, sha256 {manifest.sha256}"
    )


def _missing(manifest: Manifest) -> str:
    missing = missing_files(manifest)
    if not missing:
        return ""
    return (
        f"; {len(missing)} files are not in {manifest.root}, the first is {missing[0]}: name their "
        "folder by --root, or check the others by --allow-missing"
    )


def _look(
    manifest: Manifest,
    clips: Mapping[str, list[Clip]],
    workers: int | None,
    timeout_s: float,
    remarks: Problems,
) -> Problems:
    """Return what is wrong, and add what is to be known of the pictures of videos."""
    workers = workers or os.cpu_count() or 1
    problems: Problems = []
    with progress("checking videos", total=len(clips)) as bar:
        for path, texts in _looks(manifest.root, clips, workers, timeout_s, remarks):
            problems += [(path, text) for text in texts]
            bar.advance(bar.task_ids[0])
    return sorted(problems)


def _looks(
    root: Path,
    clips: Mapping[str, list[Clip]],
    workers: int,
    timeout_s: float,
    remarks: Problems,
) -> Iterator[tuple[str, Iterable[str]]]:
    """Yield every path with what is wrong with it."""
    videos = [path for path in clips if not is_frame_folder(path)]
    results = probe_many([root / path for path in videos], workers=workers, timeout_s=timeout_s)
    for index, result in results:
        if isinstance(result, VideoInfo) and result.remark:
            remarks.append((videos[index], result.remark))
        yield videos[index], differences(clips[videos[index]], result)
    for path in clips:
        if is_frame_folder(path):
            yield path, _pictures(clips[path], root / path, workers)


def _pictures(clips: Sequence[Clip], path: Path, workers: int) -> Iterator[str]:
    """Yield what is wrong with the pictures of a folder: what each clip lacks, what is broken."""
    try:
        there = set(frame_numbers(path))
    except VideoError as error:
        yield str(error)
        return
    spans = [range(clip.start_frame, clip.end_frame, clip.stride) for clip in clips]
    lacking = {next((n for n in span if n not in there), -1) for span in spans}
    yield from (f"lacks {frame_path(path, n).name}" for n in sorted(lacking - {-1}))
    yield from picture_faults(clips, path, workers=workers)
