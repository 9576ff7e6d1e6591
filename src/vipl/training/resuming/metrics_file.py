"""The run's figures in one CSV file, also when it was stopped in between.

Lightning's own CSV logger deletes what an earlier process of the run wrote, and rewrites the file
in place when a new figure appears.
"""

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities import rank_zero_only

from vipl.files import write_atomically

_STEP = "step"


class MetricsFile(Logger):
    """Appends figures to a CSV file, one row each time they are logged.

    Args:
        path: The file. Rows that are there are kept until `keep` is called.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self._columns: list[str] = []
        self._rows = 0
        self._opened = False

    @property
    def name(self) -> str:
        """Return Lightning's name of the logger."""
        return "metrics"

    @property
    def version(self) -> str:
        """Return Lightning's version of the logger: there is one."""
        return ""

    @property
    def rows(self) -> int:
        """Return how many rows the file has."""
        self._open()
        return self._rows

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Leave it to `config.yaml`."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Append a row; the file is written again where a figure is new."""
        self._open()
        row = {**metrics, _STEP: self._rows if step is None else step}
        new = sorted(set(row) - set(self._columns))
        if new:
            self._rewrite(self._read(), sorted([*self._columns, *new]))
        with self.path.open("ab", buffering=0) as file:  # one write: no half rows
            file.write(_text([row], self._columns).encode())
        self._rows += 1

    @rank_zero_only
    def keep(self, rows: int) -> None:
        """Drop what was logged after the first `rows` rows."""
        self._open()
        if rows < self._rows:
            self._rewrite(self._read()[:rows], self._columns)

    def _open(self) -> None:
        if self._opened:
            return
        self._opened = True
        if self.path.is_file():
            with self.path.open(newline="") as file:
                self._columns = list(csv.DictReader(file).fieldnames or ())
            self._rows = len(self._read())

    def _read(self) -> list[dict[str, Any]]:
        if not self.path.is_file():
            return []
        with self.path.open(newline="") as file:
            return list(csv.DictReader(file))

    def _rewrite(self, rows: list[dict[str, Any]], columns: list[str]) -> None:
        header = _text([dict(zip(columns, columns, strict=True))], columns)
        text = header + _text(rows, columns)
        write_atomically(self.path, lambda file: file.write_text(text))
        self._columns, self._rows = columns, len(rows)


def _text(rows: list[dict[str, Any]], columns: list[str]) -> str:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\n", extrasaction="ignore")
    writer.writerows(rows)
    return text.getvalue()
