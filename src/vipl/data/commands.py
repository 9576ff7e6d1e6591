"""What `vipl manifest` does: progress on screen, tables of what went wrong."""

import argparse
import csv
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import pyarrow.compute as pc
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from vipl.console import Console
from vipl.data.arguments import SOURCES, settings_of
from vipl.data.decoder_pool import probe_many
from vipl.data.frame_folder import frame_numbers, frame_path, is_frame_folder
from vipl.data.manifest import (
    Clip,
    Manifest,
    check_suffix,
    read_manifest,
    sidecar_path,
    write_manifest,
)
from vipl.data.picture_faults import picture_faults
from vipl.data.presence import missing_files, with_files
from vipl.data.probe import VideoInfo
from vipl.data.recipes import read_recipe
from vipl.data.sources.report import SourceReport
from vipl.data.video import VideoError
from vipl.errors import UserError
from vipl.files import write_atomically

_SHOWN = 10
_REMARKED = "with pictures out of the ordinary"

_console = Console(highlight=False)


def build_from_recipe(args: argparse.Namespace) -> None:
    """Make a manifest as a recipe says.

    Raises:
        UserError: If none is named, or it is not a recipe.
    """
    if not args.recipe:
        raise UserError(
            f"which source? name {', '.join(SOURCES[:-1])} or {SOURCES[-1]}, or give --recipe FILE"
        )
    file, *overrides = args.recipe
    build(read_recipe(file, overrides))


def build(args: argparse.Namespace) -> None:
    """Make a manifest from a source, and report what gave no clip."""
    check_suffix(args.out)
    settings, execution = settings_of(args)
    module = import_module(f"vipl.data.sources.{args.source}")
    builder: Callable[..., SourceReport] = getattr(module, f"build_{args.source}")
    with progress("reading") as bar:
        task = bar.task_ids[0]
        report = builder(
            args.directory,
            **settings,
            **execution,
            on_progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    plain = {name: str(v) if isinstance(v, Path) else v for name, v in settings.items()}
    recipe = {"source": args.source, "layout": report.layout, **plain}
    manifest = write_manifest(report.clips, args.out, recipe=recipe, root=report.root)
    _report(report, args.out)
    _summarise(manifest)


def _summarise(manifest: Manifest) -> None:
    splits = [f"{len(manifest.only(split))} {split}" for split in ("train", "val")]
    videos = pc.count_distinct(manifest.table.column("path")).as_py()
    _console.print(
        f"{manifest.path}: {len(manifest)} clips ({', '.join(splits)}) of {videos} videos, "
        f"sha256 {manifest.sha256[:12]}…"
    )


def check(args: argparse.Namespace) -> None:
    """Verify that a manifest's videos are there and hold the frames that it names.

    Raises:
        UserError: If anything is amiss.
    """
    manifest = read_manifest(args.manifest, root=args.root)
    if args.allow_missing:
        manifest = with_files(manifest, allow_missing=True, remedy="name their folder by --root")
    if not sidecar_path(args.manifest).is_file():
        _console.print(f"{args.manifest} has no sidecar: its hash cannot be compared")
    remarks: list[tuple[str, str]] = []
    problems = [*_leaks(manifest), *_probe(manifest, args.workers, args.timeout_s, remarks)]
    if remarks:
        _table(_REMARKED, sorted(remarks))
    if problems:
        _table("problems", problems)
        raise UserError(f"{args.manifest}: {len(problems)} problems{_missing(manifest)}")
    _console.print(
        f"{args.manifest}: {len(manifest)} clips, every video readable, every count right, "
        f"sha256 {manifest.sha256}"
    )


def _missing(manifest: Manifest) -> str:
    missing = missing_files(manifest)
    if not missing:
        return ""
    return (
        f"; {len(missing)} files are not in {manifest.root}, the first is {missing[0]}: name their "
        "folder by --root, or check the others by --allow-missing"
    )


def _leaks(manifest: Manifest) -> list[tuple[str, str]]:
    splits = manifest.table.group_by("path").aggregate([("split", "count_distinct")])
    both = splits.filter(pc.greater(splits.column("split_count_distinct"), 1))
    return [(path, "in both train and val") for path in sorted(both.column("path").to_pylist())]


def _probe(
    manifest: Manifest, workers: int | None, timeout_s: float, remarks: list[tuple[str, str]]
) -> list[tuple[str, str]]:
    """Return (path, problem) of the videos, and add what is to be known of their pictures."""
    workers = workers or os.cpu_count() or 1
    clips: dict[str, list[Clip]] = {}
    for clip in manifest:
        clips.setdefault(clip.path, []).append(clip)
    paths = list(clips)
    problems = []
    with progress("checking videos", total=len(paths)) as bar:
        results = probe_many(
            [manifest.root / path for path in paths],
            workers=workers,
            timeout_s=timeout_s,
        )
        for index, result in results:
            path = paths[index]
            problems += [(path, text) for text in _compare(clips[path], result)]
            if isinstance(result, VideoInfo) and result.remark:
                remarks.append((path, result.remark))
            if is_frame_folder(path):
                problems += [(path, text) for text in _gaps(clips[path], manifest.root / path)]
                if not isinstance(result, VideoError):
                    faults = picture_faults(clips[path], manifest.root / path, workers=workers)
                    problems += [(path, text) for text in faults]
            bar.advance(bar.task_ids[0])
    return sorted(problems)


def _compare(clips: list[Clip], result: VideoInfo | VideoError) -> Iterator[str]:
    if isinstance(result, VideoError):
        yield str(result)
        return
    end = max(clip.end_frame for clip in clips)
    if end > result.num_frames:
        yield f"has {result.num_frames} frames, the manifest names frame {end - 1}"
    for clip in clips:
        if (clip.width, clip.height) != (result.width, result.height):
            yield (
                f"is {result.width} x {result.height}, the manifest says "
                f"{clip.width} x {clip.height}"
            )
            return
        if clip.decoder == "any" and result.decoder == "pyav":
            yield f"{result.note}, and the manifest does not send it to PyAV"
            return


def _gaps(clips: list[Clip], path: Path) -> Iterator[str]:
    there = set(frame_numbers(path))
    for clip in clips:
        wanted = range(clip.start_frame, clip.end_frame, clip.stride)
        lacking = next((number for number in wanted if number not in there), None)
        if lacking is not None:
            yield f"lacks {frame_path(path, lacking).name}"


def _report(report: SourceReport, out: Path) -> None:
    _console.print(f"recognised: {report.layout}")
    listed = out.with_suffix(".unreadable.csv")
    listed.unlink(missing_ok=True)
    if report.unreadable:
        _table("left out", report.unreadable)
        write_atomically(listed, lambda path: _write_csv(path, report.unreadable))
        _console.print(f"All {len(report.unreadable)} are listed in {listed}")
    if report.distrusted:
        _table("read by PyAV alone", report.distrusted)
    if report.remarked:
        _table(_REMARKED, report.remarked)
    if report.shorter:
        _table("shorter than they should be", report.shorter)
    if report.missing:
        fate = "their clips are kept" if report.keeps_missing else "left out"
        _console.print(
            f"{len(report.missing)} of {report.looked_for} files are missing, the first is "
            f"{report.missing[0]}: {fate}"
        )
    for what, count in report.left_out.most_common():
        if count:
            _console.print(f"left out: {count} {what}")


def _write_csv(path: Path, rows: list[tuple[str, str]]) -> None:
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("path", "reason"))
        writer.writerows(rows)


def _table(title: str, rows: list[tuple[str, str]]) -> None:
    table = Table("video", "reason", title=f"{len(rows)} {title}", title_justify="left")
    for row in rows[:_SHOWN]:
        table.add_row(*row)
    if len(rows) > _SHOWN:
        table.add_row("…", f"and {len(rows) - _SHOWN} more")
    _console.print(table)


@contextmanager
def progress(description: str, *, total: int | None = None) -> Iterator[Progress]:
    """Show a progress bar with one task on the standard error."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        bar.add_task(description, total=total)
        yield bar
