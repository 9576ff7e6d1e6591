"""What `vipl embed` has done so far: a folder of parts, from which a killed call goes on.

A part is an Arrow file that appears when it is whole. It holds frames of some videos, and says in
its metadata of which, and which videos end with it.

Shapes: N frames, D the embedding size.
"""

import functools
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vipl.embed.frames import Piece
from vipl.errors import UserError

_ROWS = 8192
_SECONDS = 20.0  # of work that a kill may cost
_UNFINISHED = "unfinished.arrow"
_KEY = "vipl"


class Span(NamedTuple):
    """Frames of one video that lie one after the other in a part.

    Attributes:
        first: The position of the first among those of the video that are embedded.
        start: Its row in the part.
        rows: Number of frames.
        part: The part's file name.
    """

    first: int
    start: int
    rows: int
    part: str


class Parts:
    """The parts in a folder, those that are there and those to come.

    Args:
        folder: Of the parts.
        output_dim: D.

    Attributes:
        schema: Of the parts: "frame", "time_s", "embedding".
        finished: Positions of the videos whose frames are all there.

    Raises:
        UserError: If a part is damaged.
    """

    def __init__(self, folder: Path, output_dim: int) -> None:
        self.folder = folder
        self.output_dim = output_dim
        self.schema = pa.schema(
            {
                "frame": pa.int64(),
                "time_s": pa.float64(),
                "embedding": pa.list_(pa.float32(), output_dim),
            }
        )
        self.finished: set[int] = set()
        self._spans: dict[int, list[Span]] = {}
        self._waiting: list[tuple[Piece, NDArray[np.float32]]] = []
        self._rows_waiting = 0
        self._since = time.monotonic()
        self._open = functools.lru_cache(maxsize=16)(self._read)
        (folder / _UNFINISHED).unlink(missing_ok=True)
        names = sorted(path.name for path in folder.glob("part-*.arrow"))
        for name in names:
            try:
                self._note(json.loads(self._read(name).schema.metadata[_KEY.encode()]), name)
            except (pa.ArrowException, KeyError, TypeError, ValueError, AttributeError) as error:
                raise UserError(f"{folder / name} is damaged: delete {folder}") from error
        self._count = len(names)

    def done(self, clip: int) -> int:
        """Return how many frames of a video are there."""
        return sum(span.rows for span in self._spans.get(clip, []))

    def is_empty(self) -> bool:
        """Whether nothing is there."""
        return not self._count

    def add(self, piece: Piece, embeddings: NDArray[np.float32]) -> None:
        """Keep a piece's embeddings [N, D]; they are written when enough of them wait.

        Raises:
            OSError: If they cannot be written.
        """
        self._waiting.append((piece.without_images(), embeddings))
        self._rows_waiting += len(embeddings)
        if self._rows_waiting >= _ROWS or time.monotonic() - self._since >= _SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what waits.

        Raises:
            OSError: If it cannot be written.
        """
        self._since = time.monotonic()
        if not self._waiting:
            return
        name = f"part-{self._count:06d}.arrow"
        waiting = sorted(self._waiting, key=lambda entry: (entry[0].clip, entry[0].first))
        contents = _contents([piece for piece, _ in waiting])
        schema = self.schema.with_metadata({_KEY: json.dumps(contents)})
        table = pa.Table.from_arrays(_columns(waiting), schema=schema)
        unfinished = self.folder / _UNFINISHED
        with pa.OSFile(str(unfinished), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
            writer.write_table(table)
        unfinished.replace(self.folder / name)
        self._count += 1
        self._waiting, self._rows_waiting = [], 0
        self._note(contents, name)

    def rows(self, clip: int) -> Iterator[pa.Table]:
        """Yield a video's frames in their order, in tables whose memory is the file's."""
        for span in sorted(self._spans.get(clip, [])):
            yield self._open(span.part).slice(span.start, span.rows)

    def _note(self, contents: dict[str, Any], name: str) -> None:
        for clip, first, start, rows in contents["spans"]:
            self._spans.setdefault(clip, []).append(Span(first, start, rows, name))
        self.finished.update(contents["finished"])

    def _read(self, name: str) -> pa.Table:
        return pa.ipc.open_file(pa.memory_map(str(self.folder / name))).read_all()


def to_column(embeddings: NDArray[np.float32]) -> pa.FixedSizeListArray:
    """Return [N, D] as a column of lists."""
    return pa.FixedSizeListArray.from_arrays(pa.array(embeddings.ravel()), embeddings.shape[1])


def to_matrix(column: pa.ChunkedArray) -> NDArray[np.float32]:
    """Return a column of lists as [N, D]."""
    chunks = [chunk.flatten().to_numpy() for chunk in column.chunks]
    return np.concatenate(chunks).reshape(len(column), -1)


def _contents(pieces: list[Piece]) -> dict[str, Any]:
    """Return which frames of which video lie where, and which videos end."""
    spans: list[list[int]] = []
    start = 0
    for piece in pieces:
        rows = len(piece.numbers)
        if spans and spans[-1][0] == piece.clip:
            spans[-1][3] += rows
        elif rows:
            spans.append([piece.clip, piece.first, start, rows])
        start += rows
    return {"spans": spans, "finished": [piece.clip for piece in pieces if piece.is_last]}


def _columns(waiting: list[tuple[Piece, NDArray[np.float32]]]) -> list[pa.Array]:
    return [
        pa.array(np.concatenate([piece.numbers for piece, _ in waiting])),
        pa.array(np.concatenate([piece.seconds for piece, _ in waiting]), from_pandas=True),
        to_column(np.concatenate([values for _, values in waiting])),
    ]
