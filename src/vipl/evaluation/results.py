"""Results on disk: the records of a run, what a run is, and which records another run has made."""

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from vipl.evaluation.evaluator import MAIN, ORACLE, RANDOM, Cell
from vipl.files import write_atomically

FORMAT = "vipl-evaluation"
FORMAT_VERSION = 1
RECORDS_FILE = "records.jsonl"
VIDEOS = "videos"
STATES = "states"
CHECKPOINTS = "checkpoints"

# Where and how fast a run computes, but not what.


@dataclass(frozen=True)
class Record:
    """One line of `records.jsonl`: what one cell gave.

    Attributes:
        task: Of the cell.
        camera: Of the cell.
        seed: Of the cell.
        protocol: Of the cell.
        variant: Of the cell.
        key: sha256 of everything that determines the record.
        metrics: Name to value; empty where the cell failed.
        traces: Name to values over the episode.
        info: JSON values.
        video: Path in the run's folder, or None.
        seconds: That the cell took.
        error: "Type: message" of a cell that failed, else None.
    """

    task: str
    camera: str | None
    seed: int
    protocol: str
    variant: str
    key: str
    metrics: dict[str, float] = field(default_factory=dict)
    traces: dict[str, list[float]] = field(default_factory=dict)
    info: dict[str, Any] = field(default_factory=dict)
    video: str | None = None
    seconds: float = 0.0
    error: str | None = None

    @property
    def undefined(self) -> dict[str, str]:
        """Metrics that have no value in this cell, and why."""
        found: dict[str, str] = self.info.get("undefined", {})
        return found

    @classmethod
    def from_line(cls, line: str | bytes) -> "Record":
        """Parse a line.

        Raises:
            ValueError: If it is not a record.
        """
        values = json.loads(line)
        names = {known.name for known in fields(cls)}
        if not isinstance(values, dict) or not names <= set(values):
            raise ValueError("not a record")
        if not isinstance(values["video"], str | None):
            raise ValueError("not a record")
        return cls(**{name: values[name] for name in names})

    def to_line(self) -> str:
        """Return the record as JSON, with a line end."""
        return json.dumps(asdict(self), allow_nan=False) + "\n"

    @property
    def cell(self) -> Cell:
        """The cell that it is of."""
        return Cell(self.task, self.camera, self.seed, self.protocol, self.variant)


def read_records(path: Path) -> tuple[list[Record], list[int]]:
    """Read records; a line that is none (cut off when a process was killed) is passed over.

    Returns:
        The records in the file's order, and the numbers of the lines passed over, from 1.
    """
    records: list[Record] = []
    unreadable: list[int] = []
    content = path.read_bytes() if path.is_file() else b""
    for number, line in enumerate(content.splitlines(), start=1):
        try:
            records.append(Record.from_line(line))
        except ValueError:
            unreadable.append(number)
    return records, unreadable


class RecordsFile:
    """The records of a run, to which finished cells are appended.

    A file that a killed process left is mended first. Failed cells are taken out, to be run again.

    Args:
        path: The file; made where there is none.

    Attributes:
        kept: By key, those that were there and did not fail.
        unreadable: Numbers of lines that were dropped.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        records, self.unreadable = read_records(path)
        self.kept = {record.key: record for record in records if record.error is None}
        if len(self.kept) < len(records) or self.unreadable or _is_cut_off(path):
            text = "".join(record.to_line() for record in self.kept.values())
            write_atomically(path, lambda temporary: temporary.write_text(text))
        self._stream: IO[str] = path.open("a", encoding="utf-8")

    def append(self, record: Record) -> None:
        """Write a record, so that neither a kill nor a power cut loses it."""
        try:
            self._stream.write(record.to_line())
            self._stream.flush()
            os.fsync(self._stream.fileno())
        except OSError as error:
            error.filename = error.filename or str(self.path)
            raise

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


def record_key(settings: Mapping[str, Any], identity: str, cell: Cell) -> str:
    """Return the sha256 of everything that determines a record.

    What stands behind a variant counts, not its name: the oracle's cells have one key in every
    run of the same settings, be it a control there or under test.

    Args:
        settings: Of the run that bear on every record, as JSON values.
        identity: Of the cell's encoder, by `EncoderSpec.identity`.
        cell: That is run.
    """
    own = None if cell.variant in (MAIN, ORACLE, RANDOM) else cell.variant
    content = [settings, identity, {**asdict(cell), "variant": own}]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def video_path(cell: Cell) -> str:
    """Return where a cell's video lies in the run's folder."""
    return f"{VIDEOS}/{_file_name(cell)}.mp4"


def states_path(cell: Cell) -> str:
    """Return where the states of a cell's episode lie in the run's folder, if it has any."""
    return f"{STATES}/{_file_name(cell)}.npz"


def read_states(folder: Path, cell: Cell) -> NDArray[np.float64] | None:
    """Return the states [T + 1, S] of a cell's episode; None where a run kept none."""
    path = file_of(folder, states_path(cell))
    if path is None:
        return None
    with np.load(path) as arrays:
        return np.asarray(arrays["states"])


def write_states(folder: Path, cell: Cell, states: NDArray[np.float64]) -> None:
    """Keep the states [T + 1, S] of a cell's episode in the run's folder."""

    def write(path: Path) -> None:
        with path.open("wb") as stream:
            np.savez_compressed(stream, states=states)

    write_atomically(folder / states_path(cell), write)


def _file_name(cell: Cell) -> str:
    parts = [cell.variant, cell.task, cell.camera, cell.seed]
    name = "-".join(str(part) for part in parts if part is not None)
    return re.sub(r"[^A-Za-z0-9._+-]", "_", name)


def checkpoint_path(key: str) -> str:
    """Return where the cell with a key keeps, in the run's folder, what it needs to go on."""
    return f"{CHECKPOINTS}/{key[:16]}.pt"


def has_results(folder: Path) -> bool:
    """Whether a run's folder holds a record, or what a cell needs to go on."""
    return bool(read_records(folder / RECORDS_FILE)[0]) or any((folder / CHECKPOINTS).glob("*"))


def find_elsewhere(folder: Path, keys: Sequence[str]) -> dict[str, tuple[Path, Record]]:
    """Look for records of the same suite that other runs have made.

    Args:
        folder: The run's own, beside which others are.
        keys: Wanted.

    Returns:
        Key to the other run's folder and its record.
    """
    wanted = set(keys)
    found: dict[str, tuple[Path, Record]] = {}
    for path in sorted(folder.parent.glob(f"*/{RECORDS_FILE}")) if wanted else ():
        if path.parent != folder:
            for record in read_records(path)[0]:
                if record.error is None and record.key in wanted:
                    found.setdefault(record.key, (path.parent, record))
    return found


def file_of(folder: Path, name: str) -> Path | None:
    """Return a file that a record names, None where there is none in its run's own folder.

    A link out of the folder leads to none: runs come from others, too.
    """
    path = (folder / name).resolve()
    return path if path.is_relative_to(folder.resolve()) and path.is_file() else None


def copy_record(source: tuple[Path, Record], folder: Path, cell: Cell) -> Record:
    """Return another run's record as this run's, its video and states copied."""
    other, record = source
    video = None
    source_file = None if record.video is None else file_of(other, record.video)
    if source_file is not None:
        video = video_path(cell)
        content = source_file.read_bytes()
        write_atomically(folder / video, lambda path: path.write_bytes(content))
    if (states := read_states(other, record.cell)) is not None:
        write_states(folder, cell, states)
    return replace(record, variant=cell.variant, video=video)


def _is_cut_off(path: Path) -> bool:
    content = path.read_bytes() if path.is_file() else b""
    return bool(content) and not content.endswith(b"\n")
