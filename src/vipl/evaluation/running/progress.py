"""What an evaluation shows: a live table on a terminal, else a line for every record."""

from collections import Counter
from collections.abc import Sequence
from types import TracebackType

import numpy as np
from rich.console import Console, Group
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from vipl.evaluation.evaluator import Cell
from vipl.evaluation.results import Record
from vipl.rewards.curves import SAME, is_constant

# Cells take minutes; rich forgets what is older than this, and would never tell how long it takes.
_SPEED_WINDOW_S = 24 * 3600.0


class Board:
    """Shows records as they come.

    Args:
        cells: All of the run.
        metrics: Names, the first being the one that the table shows.
        console: Where to.
        sampled: Whether the tasks are a sample: the table then has a row a metric, not a row a
            task, of which there may be thousands.
        graded: Metrics that are no yes or no.
    """

    def __init__(
        self,
        cells: Sequence[Cell],
        metrics: Sequence[str],
        console: Console,
        *,
        sampled: bool = False,
        graded: Sequence[str] = (),
    ) -> None:
        self._console = console
        self._total = len(cells)
        self._metrics = list(metrics)
        self._sampled = sampled
        self._graded = graded
        self._tasks = list(dict.fromkeys(cell.task for cell in cells))
        self._variants = list(dict.fromkeys(cell.variant for cell in cells))
        self._records: list[Record] = []
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            speed_estimate_period=_SPEED_WINDOW_S,
        )
        self._cells = self._bar.add_task("cells", total=self._total)
        self._live: Live | None = None

    def __enter__(self) -> "Board":
        if self._console.is_terminal:
            self._live = Live(
                get_renderable=lambda: Group(self.table(), self._bar),
                console=self._console,
                transient=True,
                refresh_per_second=2,
            )
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def keep(self, records: Sequence[Record]) -> None:
        """Count records that were there before."""
        self._records += records
        self._bar.update(self._cells, completed=len(self._records))
        if records:
            self._console.print(f"done before: {len(records)} of {self._total} cells")

    def add(self, record: Record, *, source: str | None = None) -> None:
        """Show a new record.

        Args:
            record: Of a cell that finished or failed.
            source: Name of the run that it was taken from, or None.
        """
        self._records.append(record)
        if source is None:
            self._bar.advance(self._cells)
        else:  # says nothing of the time that a cell takes
            self._bar.reset(self._cells, completed=len(self._records))
        if self._live is None or record.error is not None:
            count = f"[{len(self._records)}/{self._total}]"
            self._console.print(f"{count} {self._line(record, source)}", markup=False)

    def table(self) -> Table:
        """Return the first metric of every task and variant; every metric of sampled tasks."""
        if self._sampled:
            return self._metrics_table()
        table = Table("task", title=self._metrics[0], title_justify="left")
        for variant in self._variants:
            table.add_column(variant, justify="right", no_wrap=True)
        for task in self._tasks:
            table.add_row(task, *(self._summary(variant, task) for variant in self._variants))
        if len(self._tasks) > 1:
            table.add_section()
            table.add_row("all", *(self._summary(variant) for variant in self._variants))
        return table

    def _metrics_table(self) -> Table:
        table = Table("mean", *self._variants)
        for column in table.columns[1:]:
            column.justify = "right"
        for metric in self._metrics:
            of_variants = []
            for variant in self._variants:
                of = [r for r in self._records if r.variant == variant and metric in r.metrics]
                values = [record.metrics[metric] for record in of]
                of_variants.append(f"{sum(values) / len(values):.3g}" if values else "·")
            table.add_row(metric, *of_variants)
        return table

    @property
    def count(self) -> int:
        """Records that there are."""
        return len(self._records)

    @property
    def failures(self) -> list[Record]:
        """Records of cells that failed."""
        return [record for record in self._records if record.error is not None]

    def notes(self) -> list[str]:
        """Return what is to be said of metrics without a value, and of distances without one."""
        counted = Counter(reason for record in self._records for reason in _reasons(record))
        return [
            f"in {count} of {len(self._records)} cells {reason}"
            for reason, count in counted.most_common()
        ]

    def _line(self, record: Record, source: str | None) -> str:
        place = [record.task, record.camera, f"seed {record.seed}", f"{record.variant}:"]
        values = [
            f"{key} {record.metrics[key]:.3g}" for key in self._metrics if key in record.metrics
        ]
        values += [f"{key} undefined: {why}" for key, why in record.undefined.items()]
        result = [f"failed: {record.error}"] if record.error is not None else values
        time = f"{record.seconds:.0f} s" if source is None else f"(reused from {source})"
        return " ".join([*(part for part in place if part is not None), *result, time])

    def _summary(self, variant: str, task: str | None = None) -> str:
        of = [r for r in self._records if r.variant == variant and task in (None, r.task)]
        primary = self._metrics[0]
        values = [r.metrics[primary] for r in of if primary in r.metrics]
        failures = sum(r.error is not None for r in of)
        failed = f" ({failures} failed)" if failures else ""
        if not values:
            return failed.strip() or "·"
        if set(values) <= {0.0, 1.0} and primary not in self._graded:
            return f"{sum(values):.0f}/{len(values)}{failed}"
        return f"{sum(values) / len(values):.3g}{failed}"


def _reasons(record: Record) -> set[str]:
    """Return why a cell has metrics without a value, or a distance that says nothing."""
    reasons = set(record.undefined.values())
    distances = record.traces.get("distance", [])
    if len(distances) > 1 and is_constant(np.array(distances)):
        reasons.add(SAME)
    return reasons
