"""Whether a manifest's files are there."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from vipl.data.frame_folder import frame_path, is_frame_folder
from vipl.data.manifest import Manifest, content_sha256
from vipl.errors import UserError

# On a network file system each look takes a millisecond, and many go on at the same time.
_LOOKS_AT_ONCE = 16


def missing_files(manifest: Manifest) -> list[str]:
    """Return the paths of a manifest whose files are not there, sorted.

    Of a folder of pictures only the first of its first clip is looked for.
    """
    starts = manifest.table.group_by("path").aggregate([("start_frame", "min")])
    columns = (starts.column(name).to_pylist() for name in ("path", "start_frame_min"))
    files = {
        path: frame_path(path, start) if is_frame_folder(path) else path
        for path, start in zip(*columns, strict=True)
    }
    found = _exist([manifest.root / file for file in files.values()])
    return sorted(path for path, exists in zip(files, found, strict=True) if not exists)


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


def _exist(files: Sequence[Path]) -> list[bool]:
    with ThreadPoolExecutor(_LOOKS_AT_ONCE) as pool:
        return list(pool.map(os.path.exists, files, chunksize=256))
