"""The manifest: the table of clips that a run trains on.

One row a clip, as Parquet or CSV, with a sidecar of the same name ending in `.json` that holds
the schema version, the recipe, the counts and the SHA-256 of the table's content. The hash is of
the values, not of the file, so Parquet and CSV of one table have the same.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from vipl.data.manifests.manifest_file import read_table
from vipl.data.manifests.text_files import read_json
from vipl.data.manifests.validation import SCHEMA, conform
from vipl.data.manifests.walk import is_text
from vipl.errors import UserError
from vipl.files import write_atomically

SCHEMA_VERSION = 1
MANIFEST_SUFFIXES = (".parquet", ".csv")

_ROWS_PER_BATCH = 65536


@dataclass(frozen=True, slots=True)
class Clip:
    """One manifest row: a contiguous span of frames of one video.

    Attributes:
        clip_id: Unique in its manifest.
        path: Of the video, relative to the manifest's root, with forward slashes; or of a folder's
            pictures, as `folder/%06d.jpg`.
        start_frame: First frame: 0-based in a video, the number in the name of a picture.
        end_frame: One past the last frame.
        fps: Frames per second of the video.
        width: Of a frame as displayed, in pixels.
        height: Of a frame as displayed, in pixels.
        split: "train" or "val".
        source: The data set that the clip comes from.
        label: What happens in it, or "".
        decoder: "any", or "pyav" for files of which decord gives other frames, or none.
        stride: Every so manyth frame belongs to the clip, from `start_frame` on.
    """

    clip_id: str
    path: str
    start_frame: int
    end_frame: int
    fps: float
    width: int
    height: int
    split: str
    source: str
    label: str
    decoder: str = "any"
    stride: int = 1

    @property
    def num_frames(self) -> int:
        """Number of frames of the clip."""
        return -((self.start_frame - self.end_frame) // self.stride)

    def frame_numbers(self, times: Sequence[int]) -> list[int]:
        """Return the numbers in its video of some of the clip's frames, which count from 0."""
        return [self.start_frame + time * self.stride for time in times]


@dataclass(frozen=True)
class Manifest:
    """A validated table of clips; rows become `Clip`s only when asked for.

    The rows stay in Arrow's memory: worker processes share millions of them without copies.
    """

    table: pa.Table
    root: Path
    path: Path
    sha256: str

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __getitem__(self, row: int) -> Clip:
        values = {name: self.table.column(name)[row].as_py() for name in SCHEMA.names}
        return Clip(**values)

    def __iter__(self) -> Iterator[Clip]:
        for batch in self.table.to_batches(max_chunksize=_ROWS_PER_BATCH):
            yield from (Clip(**values) for values in batch.to_pylist())

    def video_path(self, clip: Clip) -> Path:
        """Return where the clip's video lies."""
        return self.root / clip.path

    def only(self, split: str) -> "Manifest":
        """Return the rows of one split; the hash stays that of the whole table."""
        chosen = self.table.filter(pc.equal(self.table.column("split"), split))
        return replace(self, table=chosen)


def read_manifest(path: str | Path, *, root: str | Path | None = None) -> Manifest:
    """Read and validate a manifest.

    Args:
        path: A `.parquet` or `.csv` file.
        root: Folder that the clips' paths are relative to; by default the one that the sidecar
            names, or the manifest's own folder.

    Raises:
        UserError: If there is no such file, its columns or values are not those of a manifest
            (the message names the row and the column), or its content is not what the sidecar's
            hash says.
    """
    path = Path(path)
    table = conform(_table_of(path), name=path.name)
    sidecar = read_sidecar(path)
    digest = content_sha256(table)
    recorded = sidecar.get("sha256", digest)
    if recorded != digest:
        raise UserError(
            f"{path} has changed since it was built: its content hash is {digest[:12]}…, "
            f"{sidecar_path(path).name} says {str(recorded)[:12]}…. Build it again, or delete "
            f"{sidecar_path(path)} if the change was meant."
        )
    if root is None:
        root = path.parent / _text(sidecar.get("root", "."), path)
    return Manifest(table, Path(os.path.normpath(root)), path, digest)


def write_manifest(
    clips: Iterable[Clip] | pa.Table,
    out: Path,
    *,
    recipe: Mapping[str, object],
    root: Path | None = None,
) -> Manifest:
    """Write clips and the sidecar, each to a temporary name that is then renamed.

    Args:
        clips: The rows, in their order; or what `to_table` makes of them.
        out: A `.parquet` or `.csv` path.
        recipe: How the manifest was made, JSON values; kept in the sidecar.
        root: Folder that the clips' paths are relative to; the manifest's own by default.

    Returns:
        The manifest as it will be read.

    Raises:
        UserError: If a row is not valid or the file cannot be written.
    """
    check_suffix(out)
    table = clips if isinstance(clips, pa.Table) else to_table(clips)
    if not table.num_rows:
        raise UserError(f"{out}: no clip to write, expected at least one")
    table = conform(table, name=out.name)
    root = out.parent if root is None else root
    relative = Path(os.path.relpath(root.resolve(), out.parent.resolve())).as_posix()
    digest = content_sha256(table)
    sidecar = {
        "schema_version": SCHEMA_VERSION,
        "recipe": dict(recipe),
        "root": relative,
        **_counts(table),
        "sha256": digest,
    }
    writer = pa.csv.write_csv if out.suffix == ".csv" else pa.parquet.write_table
    ascii_only = not is_text(f"{relative} {recipe}")  # as where a folder's name is not UTF-8
    text = json.dumps(sidecar, indent=2, ensure_ascii=ascii_only) + "\n"

    def write_both(temporary: Path) -> None:
        temporary.write_text(
            text, encoding="utf-8"
        )  # first, so that a full disk leaves neither of the two
        write_atomically(out, lambda table_file: writer(table, table_file))

    write_atomically(sidecar_path(out), write_both)
    return Manifest(table, Path(os.path.normpath(out.parent / relative)), out, digest)


def to_table(clips: Iterable[Clip]) -> pa.Table:
    """Return clips as a table, some thousand rows at a time: millions fit into memory."""
    rest = iter(clips)
    batches = []
    while rows := list(islice(rest, _ROWS_PER_BATCH)):
        columns = [pa.array([getattr(c, f.name) for c in rows], f.type) for f in SCHEMA]
        batches.append(pa.record_batch(columns, schema=SCHEMA))
    return pa.Table.from_batches(batches, schema=SCHEMA)


def check_suffix(path: Path) -> None:
    """Refuse a name that is no manifest's.

    Raises:
        UserError: Unless it ends in .parquet or .csv.
    """
    if path.suffix not in MANIFEST_SUFFIXES:
        raise UserError(f"a manifest ends in .parquet or .csv, {path.name!r} does not")


def sidecar_path(path: Path) -> Path:
    """Return the path of a manifest's sidecar."""
    return path.with_suffix(".json")


def read_sidecar(path: Path) -> dict[str, object]:
    """Return the sidecar of a manifest, or an empty dict where there is none."""
    sidecar = sidecar_path(path)
    if not sidecar.is_file():
        return {}
    content = read_json(sidecar, remedy="delete it or build again")
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version != SCHEMA_VERSION:
        raise UserError(
            f"{sidecar} has schema version {version!r}, this vipl reads {SCHEMA_VERSION}: build "
            "the manifest again"
        )
    return dict(content)


def content_sha256(table: pa.Table) -> str:
    """Return the SHA-256 of a table's values, whatever file format it came from.

    Column by column in schema order: the name, then numbers as little-endian 64-bit values,
    strings as their lengths followed by their UTF-8 bytes. `stride` is passed over where every
    clip has 1, as when there is no such column.
    """
    digest = hashlib.sha256()
    for name in SCHEMA.names:
        column = table.column(name)
        if name == "stride" and pc.all(pc.equal(column, 1)).as_py():
            continue
        digest.update(name.encode())
        if pa.types.is_string(column.type):
            digest.update(pc.binary_length(column).to_numpy().astype("<i8").tobytes())
            for chunk in column.chunks:
                digest.update(_utf8(chunk))
        else:
            kind = "<f8" if pa.types.is_floating(column.type) else "<i8"
            digest.update(column.to_numpy().astype(kind).tobytes())
    return digest.hexdigest()


def _utf8(strings: pa.StringArray) -> memoryview:
    """Return the bytes of all strings, one after the other, without copying them."""
    if not len(strings):
        return memoryview(b"")
    offsets = np.frombuffer(strings.buffers()[1], np.int32)[strings.offset :][: len(strings) + 1]
    data = strings.buffers()[2]
    return memoryview(data or b"")[offsets[0] : offsets[-1]]


def _table_of(path: Path) -> pa.Table:
    check_suffix(path)
    if not path.is_file():
        raise UserError(
            f"there is no manifest {path}: `vipl manifest build folder DIR --out {path}` makes one"
        )
    return read_table(path)


def _text(value: object, path: Path) -> str:
    if isinstance(value, str) and "\0" not in value:
        return value
    raise UserError(
        f"{sidecar_path(path)} names the root {value!r}, expected a folder: delete it, or build "
        "again"
    )


def _counts(table: pa.Table) -> dict[str, object]:
    splits = pc.value_counts(table.column("split")).to_pylist()
    start, end, stride = (table.column(n) for n in ("start_frame", "end_frame", "stride"))
    last = pc.divide(pc.subtract(pc.subtract(end, start), 1), stride)
    return {
        "num_clips": table.num_rows,
        "num_videos": pc.count_distinct(table.column("path")).as_py(),
        "num_frames": pc.sum(pc.add(last, 1)).as_py(),
        "splits": {entry["values"]: entry["counts"] for entry in splits},
    }
