"""Frames that are in both splits, by whatever paths a manifest names their file."""

import os
import posixpath
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from vipl.data.decoding.frame_folder import frame_path, is_frame_folder
from vipl.data.manifests.manifest import Manifest
from vipl.data.manifests.validation import SPLITS
from vipl.data.manifests.walk import identity

# On a network file system each look takes a millisecond, and many go on at the same time.
_LOOKS_AT_ONCE = 16


class Leaks(NamedTuple):
    """What two splits share.

    Attributes:
        frames: (path, which frames) of files with frames in both, the first of each file.
        files: Paths of files with clips of both that share no frame.
    """

    frames: list[tuple[str, str]]
    files: list[str]


class _Span(NamedTuple):
    start: int
    end: int
    split: str
    path: str


def find_leaks(manifest: Manifest) -> Leaks:
    """Look for files whose clips are in both splits.

    Two paths are of one file where they lead to the same device and inode: by links to the file,
    to its folder, or to the first picture of a folder. Copies are not looked for.
    """
    table = manifest.table.select(["path", "split", "start_frame", "end_frame"])
    pairs = table.group_by(["path", "split"]).aggregate([("start_frame", "min")]).to_pylist()
    groups = _groups({p["path"]: p["start_frame_min"] for p in pairs}, manifest.root)
    splits: dict[int, set[str]] = {}
    for pair in pairs:
        splits.setdefault(groups[pair["path"]], set()).add(pair["split"])
    mixed = [p for p, group in groups.items() if len(splits[group]) == len(SPLITS)]
    rows = table.filter(pc.is_in(table.column("path"), value_set=pa.array(mixed, pa.string())))
    spans: dict[int, list[_Span]] = {}
    for row in rows.to_pylist():
        span = _Span(row["start_frame"], row["end_frame"], row["split"], row["path"])
        spans.setdefault(groups[span.path], []).append(span)
    found = {min(s.path for s in group): _shared(sorted(group)) for group in spans.values()}
    frames = [(path, text) for path, text in sorted(found.items()) if text]
    return Leaks(frames, sorted(path for path, text in found.items() if not text))


def _groups(starts: dict[str, int], root: Path) -> dict[str, int]:
    """Return a number for every path, which paths of one file share."""
    with ThreadPoolExecutor(_LOOKS_AT_ONCE) as pool:
        keys = pool.map(lambda path: _keys(path, starts[path], root), starts, chunksize=256)
        known: dict[object, int] = {}
        groups: dict[str, int] = {}
        for number, (path, found) in enumerate(zip(starts, keys, strict=True)):
            groups[path] = next((known[key] for key in found if key in known), number)
            known.update(dict.fromkeys(found, groups[path]))
    return groups


def _keys(path: str, start: int, root: Path) -> Sequence[object]:
    """Return what tells the file of a path; another path that has one of these is of it too."""
    if not is_frame_folder(path):
        return [identity(root / path) or posixpath.normpath(path)]
    folder = identity(os.path.dirname(root / path))
    first = identity(frame_path(root / path, start))
    keys: Iterable[object] = ((folder, posixpath.basename(path)) if folder else None, first)
    return [key for key in keys if key] or [posixpath.normpath(path)]


def _shared(spans: Iterable[_Span]) -> str:
    """Return which frames of one file are in both splits, the first of them; "" where none are.

    Args:
        spans: Of its clips, ascending by start.
    """
    farthest: dict[str, _Span] = {}
    for span in spans:
        for split, other in farthest.items():
            if split != span.split and other.end > span.start:
                last = min(other.end, span.end) - 1
                also = "" if other.path == span.path else f" (as {other.path} and {span.path})"
                return f"frames {span.start} to {last} are in both train and val{also}"
        before = farthest.get(span.split)
        if before is None or before.end < span.end:
            farthest[span.split] = span
    return ""
