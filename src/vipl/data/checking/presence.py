"""Whether a manifest's files are there."""

import contextlib
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from vipl.data.decoding.frame_folder import frame_path, is_frame_folder
from vipl.data.manifests.manifest import Manifest, content_sha256
from vipl.errors import UserError

# On a network file system each look takes a millisecond, and many go on at the same time.
_LOOKS_AT_ONCE = 16
# Files of one folder from which on it is listed, in place of a look at each.
_WORTH_LISTING = 32


def missing_files(manifest: Manifest) -> list[str]:
    """Return the paths of a manifest whose files are not there, sorted.

    Of a folder of pictures only the first of its first clip is looked for.
    """
    starts = manifest.table.group_by("path").aggregate([("start_frame", "min")])
    columns = (starts.column(name).to_pylist() for name in ("path", "start_frame_min"))
    files = {
        path: str(frame_path(path, start)) if is_frame_folder(path) else path
        for path, start in zip(*columns, strict=True)
    }
    root = str(manifest.root)
    listed = _listed(root, files.values())
    unsure = {path: os.path.join(root, file) for path, file in files.items() if file not in listed}
    found = _exist(list(unsure.values()))
    return sorted(path for path, exists in zip(unsure, found, strict=True) if not exists)


def with_files(manifest: Manifest, *, allow_missing: bool, remedy: str) -> Manifest:
    """Return the clips whose files are there; the hash is then that of these clips.

    Args:
        manifest: To look through.
        allow_missing: Whether files may be missing.
        remedy: What to say else.

    Raises:
        UserError: If files are missing, unless that is allowed; or if all are.
    """
    missing = missing_files(manifest)
    if not missing:
        return manifest
    total = pc.count_distinct(manifest.table.column("path")).as_py()
    if not allow_missing or len(missing) == total:
        raise UserError(
            f"{manifest.path}: {len(missing)} of {total} files are not in {manifest.root}, the "
            f"first is {missing[0]}: {remedy}"
        )
    gone = pc.is_in(manifest.table.column("path"), value_set=pa.array(missing))
    table = manifest.table.filter(pc.invert(gone))
    return replace(manifest, table=table, sha256=content_sha256(table))


def _listed(root: str, files: Iterable[str]) -> set[str]:
    """Return files that folders with many of them list; what a link leads to is not known."""
    folders = Counter(os.path.dirname(file) for file in files)
    listed: set[str] = set()
    for folder, count in folders.items():
        if count < _WORTH_LISTING:
            continue
        with contextlib.suppress(OSError), os.scandir(os.path.join(root, folder)) as entries:
            names = (entry.name for entry in entries if not entry.is_symlink())
            listed.update(os.path.join(folder, name) for name in names)
    return listed


def _exist(files: Sequence[str]) -> list[bool]:
    with ThreadPoolExecutor(_LOOKS_AT_ONCE) as pool:
        return list(pool.map(os.path.exists, files, chunksize=256))
