"""What `vipl manifest` does: progress on screen, tables of what went wrong."""

import argparse
import csv
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from vipl.data.isolation import probe_many
from vipl.data.manifest import Clip, Manifest, read_manifest, sidecar_path, write_manifest
from vipl.data.probe import VideoInfo
from vipl.data.sources.folder import FolderReport, build_folder
from vipl.data.video import VideoError
from vipl.errors import UserError
from vipl.files import write_atomically

_SHOWN = 10

_console = Console(highlight=False)


def build_from_folder(args: argparse.Namespace) -> None:
    """Make a manifest from a folder of videos, and report what could not be read."""
    settings = {"clip_seconds": args.clip_seconds, "val_fraction": args.val_fraction}
    with progress("probing videos") as bar:
        task = bar.task_ids[0]
        report = build_folder(
            args.directory,
            **settings,
            workers=args.workers,
            timeout_s=args.timeout,
            on_progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    recipe = {"source": "folder", **settings}
    manifest = write_manifest(report.clips, args.out, recipe=recipe, root=args.directory)
    _report(report, args.out)
    splits = [f"{len(manifest.only(split))} {split}" for split in ("train", "val")]
    _console.print(
        f"{args.out}: {len(manifest)} clips ({', '.join(splits)}) of "
        f"{len({clip.path for clip in report.clips})} videos, sha256 {manifest.sha256[:12]}…"
    )


def check(args: argparse.Namespace) -> None:
    """Verify that a manifest's videos are there and hold the frames that it names.

    Raises:
        UserError: If anything is amiss.
    """
    manifest = read_manifest(args.manifest, root=args.root)
    if not sidecar_path(args.manifest).is_file():
        _console.print(f"{args.manifest} has no sidecar: its hash cannot be compared")
    problems = [*_leaks(manifest), *_probe(manifest, args.workers, args.timeout)]
    if problems:
        _table("problems", problems)
        raise UserError(f"{args.manifest}: {len(problems)} problems")
    _console.print(
        f"{args.manifest}: {len(manifest)} clips, every video readable, every count right, "
        f"sha256 {manifest.sha256}"
    )


def _leaks(manifest: Manifest) -> list[tuple[str, str]]:
    splits: dict[str, set[str]] = {}
    for path, split in zip(
        manifest.table.column("path").to_pylist(),
        manifest.table.column("split").to_pylist(),
        strict=True,
    ):
        splits.setdefault(path, set()).add(split)
    return [(path, "in both train and val") for path, found in splits.items() if len(found) > 1]


def _probe(manifest: Manifest, workers: int | None, timeout_s: float) -> list[tuple[str, str]]:
    clips: dict[str, list[Clip]] = {}
    for clip in manifest:
        clips.setdefault(clip.path, []).append(clip)
    paths = list(clips)
    problems = []
    with progress("checking videos", total=len(paths)) as bar:
        results = probe_many(
            [manifest.root / path for path in paths],
            workers=workers or os.cpu_count() or 1,
            timeout_s=timeout_s,
        )
        for index, result in results:
            problems += [(paths[index], text) for text in _compare(clips[paths[index]], result)]
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


def _report(report: FolderReport, out: Path) -> None:
    listed = out.with_suffix(".unreadable.csv")
    listed.unlink(missing_ok=True)
    if report.unreadable:
        _table("left out", report.unreadable)
        write_atomically(listed, lambda path: _write_csv(path, report.unreadable))
        _console.print(f"All {len(report.unreadable)} are listed in {listed}")
    if report.distrusted:
        _table("read by PyAV, since decord misreads them", report.distrusted)
    if report.other_files:
        _console.print(f"{report.other_files} files that are not videos were passed over")


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
