"""What `vipl manifest` does: progress on screen, tables of what went wrong."""

import argparse
import csv
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from vipl.console import Console, progress
from vipl.data.checking.comparing import compare_a_few
from vipl.data.checking.leaks import find_leaks
from vipl.data.checking.tables import REMARKED, show_table
from vipl.data.manifests.manifest import Manifest, check_suffix, to_table, write_manifest
from vipl.data.sources.arguments import SOURCES, settings_of
from vipl.data.sources.probing import Probing
from vipl.data.sources.recipes import read_recipe
from vipl.data.sources.report import SourceReport
from vipl.errors import UserError
from vipl.files import write_atomically

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
            probing=Probing(
                **execution,
                on_progress=lambda done, total: bar.update(task, completed=done, total=total),
            ),
        )
    plain = {name: str(v) if isinstance(v, Path) else v for name, v in settings.items()}
    recipe = {"source": args.source, "layout": report.layout, **plain}
    table = report.clips if isinstance(report.clips, pa.Table) else to_table(report.clips)
    differing: list[tuple[str, str]] = []
    if report.trusted:
        unwritten = Manifest(table, report.root, args.out, sha256="")
        differing = compare_a_few(unwritten, report.trusted, timeout_s=args.timeout_s)
    manifest = write_manifest(table, args.out, recipe=recipe, root=report.root)
    _report(report, args.out)
    if differing:
        show_table(f"of a few files opened are not as {report.trusted} says", differing)
    _warn_of_leaks(manifest)
    _summarise(manifest)


def _summarise(manifest: Manifest) -> None:
    splits = [f"{len(manifest.only(split))} {split}" for split in ("train", "val")]
    videos = pc.count_distinct(manifest.table.column("path")).as_py()
    _console.print(
        f"{manifest.path}: {len(manifest)} clips ({', '.join(splits)}) of {videos} videos, "
        f"sha256 {manifest.sha256[:12]}…"
    )


def _warn_of_leaks(manifest: Manifest) -> None:
    leaks = find_leaks(manifest)
    if leaks.frames:
        show_table("files leak from one split into the other", leaks.frames)


def _report(report: SourceReport, out: Path) -> None:
    _console.print(f"recognised: {report.layout}")
    listed = out.with_suffix(".unreadable.csv")
    listed.unlink(missing_ok=True)
    if report.unreadable:
        show_table("left out", report.unreadable)
        write_atomically(listed, lambda path: _write_csv(path, report.unreadable))
        _console.print(f"All {len(report.unreadable)} are listed in {listed}")
    if report.distrusted:
        show_table("read by PyAV alone", report.distrusted)
    if report.remarked:
        show_table(REMARKED, report.remarked)
    if report.shorter:
        show_table("shorter than they should be", report.shorter)
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
    # Paths in reasons may have bytes that are not UTF-8.
    with path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as stream:
        writer = csv.writer(stream)
        writer.writerow(("path", "reason"))
        writer.writerows(rows)
