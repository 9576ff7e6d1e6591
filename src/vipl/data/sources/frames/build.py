"""Folders of frames, each a clip: those of a table as the released methods have, or all."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from vipl.data.decoding.frame_folder import frame_path
from vipl.data.decoding.pictures import IMAGE_SUFFIXES
from vipl.data.decoding.video import VideoError
from vipl.data.manifests.manifest import Clip
from vipl.data.manifests.splits import assign_splits, check_fraction, name_fingerprint
from vipl.data.manifests.validation import MIN_FRAMES
from vipl.data.manifests.walk import Identity, Walk, can_be_named, identity, shown
from vipl.data.sources.frames.numbered import NumberedPictures, find_pictures
from vipl.data.sources.frames.tables import Row, place, read_table
from vipl.data.sources.probing import DEFAULT_PROBING, Probing
from vipl.data.sources.report import NAMELESS, REPEATED, Progress, SourceReport, wrong_layout
from vipl.errors import UserError

_TABLE = "manifest.csv"
# On a network file system each look takes a millisecond, and many go on at the same time.
_LOOKS_AT_ONCE = 16

Found = tuple[Row, NumberedPictures]


def build_frames(
    directory: Path,
    *,
    root: Path | None = None,
    fps: float = 30.0,
    val_fraction: float = 0.1,
    allow_missing: bool = False,
    probing: Probing = DEFAULT_PROBING,
) -> SourceReport:
    """Make a clip of every folder of frames.

    Args:
        directory: A table of folders (see `frame_tables`), a folder that holds
            such a `manifest.csv`, or a folder of folders of pictures, however deep.
        root: For a table: a folder that holds the folders that it names, or to which they have
            been moved; by default the table's own, or the nearest that holds them all.
        fps: Frames per second to note down: nothing tells.
        val_fraction: Share of the folders that is held out, by the SHA-256 of their paths below
            the root.
        allow_missing: Build although folders of a table are not there; they are left out.
        probing: Whose `on_progress` is called with the numbers of folders done and to do.

    Raises:
        UserError: If there is neither, folders are missing, or no clip results.
    """
    check_fraction(val_fraction)
    if not fps > 0:
        raise UserError(f"the frame rate is {fps} Hz, expected more than 0")
    table = directory / _TABLE if directory.is_dir() else directory
    if table.is_file():
        report = SourceReport(table.parent)
        layout, rows = read_table(table, report.unreadable)
        report.root, rows = place(rows, table.parent, root=root)
    else:
        report = SourceReport(directory)
        layout, rows = "folders of frames", _find_folders(directory, report)
    names = _names(rows, report.root)
    there = {row.folder for row in rows if row.folder.is_dir()}
    report.looked_for = len(set(names.values()))
    report.missing = sorted({names[row.folder] for row in rows if row.folder not in there})
    remedy = "say where they lie by --root"
    report.require_files(allow_missing=allow_missing, remedy=remedy)
    rows = [row for row in rows if row.folder in there]
    found = _look(rows, names, report=report, on_progress=probing.on_progress)
    found = list(_once(found, report))
    report.layout = f"{layout}; {_most_common(found)}"
    report.clips = list(_clips(found, names, report=report, fps=fps, val_fraction=val_fraction))
    report.require_clips(str(directory))
    return report


def _find_folders(directory: Path, report: SourceReport) -> list[Row]:
    """Return the folders that hold pictures, video2 before video10; each once."""
    looked_for = [_TABLE, "folders of numbered pictures (video0/0.png, 000000/000000.jpg)"]
    if not directory.is_dir():
        raise wrong_layout(directory, "frames", looked_for)
    walk = Walk(directory)
    folders = [
        folder
        for folder, names, _ in walk
        if any(Path(name).suffix.lower() in IMAGE_SUFFIXES for name in names)
    ]
    if not folders:
        raise wrong_layout(directory, "frames", looked_for)
    report.left_out[REPEATED] += walk.repeated
    report.leave_out(walk.closed, "the folder cannot be listed")
    named = {folder for folder in folders if can_be_named(str(folder.relative_to(directory)))}
    report.leave_out(set(folders) - named, NAMELESS)
    return [Row(folder, None, "") for folder in sorted(named, key=_numeric)]


def _numeric(folder: Path) -> list[tuple[int, str]]:
    parts = re.split(r"(\d+)", folder.as_posix())
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def _names(rows: Sequence[Row], root: Path) -> dict[Path, str]:
    """Return the folders' paths below the root."""
    return {row.folder: row.folder.relative_to(root).as_posix() for row in rows}


def _look(
    rows: Sequence[Row], names: dict[Path, str], *, report: SourceReport, on_progress: Progress
) -> list[Found]:
    found: list[Found] = []
    with ThreadPoolExecutor(_LOOKS_AT_ONCE) as pool:
        results = pool.map(_pictures_or_error, [row.folder for row in rows])
        for done, (row, result) in enumerate(zip(rows, results, strict=True), start=1):
            if isinstance(result, VideoError):
                report.unreadable.append((names[row.folder], str(result)))
            else:
                found.append((row, result))
            on_progress(done, len(rows))
    return found


def _once(found: Sequence[Found], report: SourceReport) -> Iterator[Found]:
    """Yield folders by one path each; those that were found, and not named by a table, once.

    Folders are one where their first or their last pictures are: links may lead to a folder, or to
    its pictures.
    """
    known: dict[Identity, Found] = {}
    for row, pictures in found:
        first = row.folder / pictures.pattern
        ends = (pictures.start, pictures.start + (pictures.length - 1) * pictures.step)
        files = [i for number in ends if (i := identity(frame_path(first, number)))]
        same = next((known[file] for file in files if file in known), None)
        if same is not None and row.length is None:
            report.left_out[REPEATED] += 1
            continue
        if same is not None and same[1] == pictures:
            row = replace(row, folder=same[0].folder)
        known.update(dict.fromkeys(files, (row, pictures)))
        yield row, pictures


def _pictures_or_error(folder: Path) -> NumberedPictures | VideoError:
    try:
        return find_pictures(folder)
    except VideoError as error:
        return error


def _clips(
    found: Sequence[Found],
    names: dict[Path, str],
    *,
    report: SourceReport,
    fps: float,
    val_fraction: float,
) -> Iterator[Clip]:
    splits = assign_splits(
        {row.folder: name_fingerprint(names[row.folder]) for row, _ in found}, val_fraction
    )
    seen: Counter[str] = Counter()
    for row, pictures in found:
        name = names[row.folder]
        length = pictures.length if row.length is None else row.length
        if length < MIN_FRAMES:
            how = f"the table says {length} frames, a clip needs {MIN_FRAMES}"
            report.unreadable.append((name, how))
            continue
        if length > pictures.length:
            how = f"the table says {length} frames, the folder holds {pictures.length}"
            report.shorter.append((name, how))
        seen[name] += 1
        clip_id = shown(row.folder.resolve().name) if name == "." else name
        yield Clip(
            clip_id=clip_id if seen[name] == 1 else f"{clip_id}#{seen[name]}",
            path=f"{name}/{pictures.pattern}".removeprefix("./"),
            start_frame=pictures.start,
            end_frame=pictures.start + (min(length, pictures.length) - 1) * pictures.step + 1,
            fps=fps,
            width=pictures.width,
            height=pictures.height,
            split=splits[row.folder],
            source="frames",
            label=row.label,
            stride=pictures.step,
        )


def _most_common(found: Sequence[Found]) -> str:
    kinds = Counter(f"{p.pattern} from {p.start}" for _, p in found)
    return ", ".join(f"{count} of {kind}" for kind, count in kinds.most_common(3))
