"""The file that `vipl embed` makes: its names, its settings, and how parts become one.

Shapes: D the embedding size.
"""

import contextlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vipl.data.loading.video_inputs import Video
from vipl.data.manifests.text_files import read_json
from vipl.embed.parts import Parts, to_matrix
from vipl.errors import UserError
from vipl.files import LOCK_NAME, write_atomically

OUTPUT_SUFFIXES = (".parquet", ".npy")

_SETTINGS = "settings.json"
_ROWS_PER_GROUP = 8192
_NAMES = {
    "encoder": "the encoder",
    "precision": "the precision",
    "frames": "the frames",
    "videos": "the videos",
}


@dataclass(frozen=True)
class Output:
    """Where everything goes.

    Attributes:
        path: The file that was asked for, X.parquet or X.npy.
        settings: What determines its content, as text, by the keys "encoder", "precision",
            "frames" and "videos".
    """

    path: Path
    settings: Mapping[str, str]

    @property
    def parts(self) -> Path:
        """The folder of what is done so far."""
        return self.path.with_name(f"{self.path.name}.parts")

    @property
    def table(self) -> Path:
        """The Parquet file: the output itself, or what goes with the array."""
        return self.path if self.path.suffix == ".parquet" else _beside(self.path, "index.parquet")

    @property
    def bad_clips(self) -> Path:
        """The list of what could not be read."""
        return _beside(self.path, "bad_clips.csv")

    def is_complete(self) -> bool:
        """Whether the file is there, with these settings.

        Raises:
            UserError: If it is there, with others, or is another file.
        """
        there = [path for path in (self.path, self.table) if path.exists()]
        if not there or (self.parts / _SETTINGS).is_file():  # with parts, it has not yet ended
            return False
        held: dict[str, str] = {}
        if self.path.exists() and self.table.exists():
            held = _settings_of(self.table)
        if not held:
            raise UserError(f"{there[0]} is there and not of `vipl embed`: name another --out")
        self._compare(held, there[0])
        return True

    def claim(self) -> None:
        """Write down what the parts are of, or compare with what is there.

        Raises:
            UserError: If the parts are of other settings.
        """
        file = self.parts / _SETTINGS
        if file.is_file():
            remedy = f"delete {self.parts}, or name another --out"
            held = read_json(file, remedy=remedy)
            if not isinstance(held, dict):
                raise UserError(f"{file} holds no settings: {remedy}")
            self._compare(held, self.parts)
        else:
            text = json.dumps(dict(self.settings), indent=2) + "\n"
            write_atomically(file, lambda path: path.write_text(text))

    def write(self, parts: Parts, videos: Sequence[Video], config: Mapping[str, Any]) -> int:
        """Make the file of all videos that are finished; return the number of rows.

        Args:
            parts: What was done.
            videos: All.
            config: Of the encoder.

        Raises:
            OSError: If it cannot be written.
        """
        said = {"encoder_config": config, "settings": dict(self.settings)}
        metadata = {"vipl": json.dumps(said)}
        finished = [(clip, video) for clip, video in enumerate(videos) if clip in parts.finished]
        tables = _groups(_named(parts, finished))
        whole = self.parts / f"whole{self.path.suffix}"
        table = self.parts / "table.parquet"
        schema = _schema(parts.schema)
        if self.path.suffix == ".parquet":
            rows = _write_table(table, schema.with_metadata(metadata), tables)
        else:
            shape = (sum(parts.done(clip) for clip, _ in finished), parts.output_dim)
            with whole.open("wb") as array:
                header = {"descr": "<f4", "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(array, header)
                schema = schema.remove(schema.get_field_index("embedding"))
                rest = _split_off(tables, array)
                rows = _write_table(table, schema.with_metadata(metadata), rest)
            whole.replace(self.path)
        table.replace(self.table)
        return rows

    def remove_parts(self) -> None:
        """Delete what the file was made of."""
        (self.parts / _SETTINGS).unlink(missing_ok=True)  # first: what is left means nothing
        for pattern in ("part-*.arrow", "*.npy", "*.parquet", LOCK_NAME):
            for path in self.parts.glob(pattern):
                path.unlink()
        with contextlib.suppress(OSError):  # something else is there
            self.parts.rmdir()

    def _compare(self, held: Mapping[str, str], where: Path) -> None:
        for key, name in _NAMES.items():
            there, here = held.get(key), self.settings[key]
            if there != here:
                raise UserError(
                    f"{where} was made with other settings: {name} there: {_short(there)}, here: "
                    f"{_short(here)}; name another --out, or delete it"
                )


def _short(setting: str | None) -> str:
    return re.sub(r"([0-9a-f]{12})[0-9a-f]{52}", r"\1…", str(setting))


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(f"{path.stem}.{ending}")


def _settings_of(table: Path) -> dict[str, str]:
    """Return the settings in a Parquet file's metadata, nothing where it has none."""
    try:
        metadata = pq.read_schema(table).metadata or {}
        return dict(json.loads(metadata.get(b"vipl", b"{}")).get("settings", {}))
    # What Arrow finds damaged is one of its own errors or an OSError.
    except (pa.ArrowException, OSError, ValueError, AttributeError, TypeError):
        return {}


def _schema(of_parts: pa.Schema) -> pa.Schema:
    return pa.schema([("clip_id", pa.string()), ("path", pa.string()), *of_parts])


def _named(parts: Parts, finished: Iterable[tuple[int, Video]]) -> Iterator[pa.Table]:
    """Yield the rows of all videos in their order, with their names."""
    schema = _schema(parts.schema)
    for clip, video in finished:
        for rows in parts.rows(clip):
            names = [pa.repeat(text, len(rows)) for text in (video.name, video.path)]
            yield pa.Table.from_arrays([*names, *rows.columns], schema=schema)


def _groups(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Join small tables, and cut large ones."""
    waiting: list[pa.Table] = []
    rows = 0
    for table in tables:
        waiting.append(table)
        rows += len(table)
        if rows >= _ROWS_PER_GROUP:
            yield pa.concat_tables(waiting)
            waiting, rows = [], 0
    if waiting:
        yield pa.concat_tables(waiting)


def _split_off(tables: Iterable[pa.Table], array: Any) -> Iterator[pa.Table]:
    """Append the embeddings to an array's file, and yield the other columns."""
    for table in tables:
        array.write(np.ascontiguousarray(to_matrix(table.column("embedding")), "<f4").data)
        yield table.drop_columns(["embedding"])


def _write_table(path: Path, schema: pa.Schema, tables: Iterable[pa.Table]) -> int:
    rows = 0
    # Dictionaries of floats cost time and save nothing.
    with pq.ParquetWriter(path, schema, use_dictionary=["clip_id", "path"]) as writer:
        for table in tables:
            writer.write_table(table.cast(schema))
            rows += len(table)
    return rows
