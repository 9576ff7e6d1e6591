"""`vipl compare`: encoders side by side, over the cells that their evaluations share."""

import argparse
from collections.abc import Iterator
from dataclasses import astuple

from rich.table import Table
from rich.text import Text

from vipl.console import Console
from vipl.evaluation.intervals import Interval
from vipl.evaluation.reports.comparison.figures import Against, Comparison, Figures, compare
from vipl.evaluation.reports.comparison.runs import read_runs
from vipl.evaluation.reports.comparison.text import (
    ARROWS,
    brackets,
    chance,
    full,
    probability,
    settings,
    signed,
    title,
    verdict,
)
from vipl.evaluation.reports.data import Measure
from vipl.files import write_csv

CSV_FILE = "compare.csv"
PAGE_FILE = "compare.html"

_COLUMNS = (
    "suite", "metric", "higher_is_better", "run", "kind", "task", "statistic", "baseline",
    "estimate", "low", "high", "cells",
)  # fmt: skip
_MAX_TASKS = 50  # on the screen
_TASK_WIDTH, _RUN_WIDTH = 20, 16  # of the table of tasks, in characters


def run(args: argparse.Namespace) -> None:
    """Compare, write what is asked for, and print."""
    comparison = compare(read_runs(args.runs), args.metric)
    if args.out is not None:  # first: a reader such as `head` may end the command while it prints
        from vipl.evaluation.reports.comparison import page

        write_csv(args.out / CSV_FILE, _COLUMNS, rows(comparison))
        page.write(comparison, args.out / PAGE_FILE)
    console = Console(highlight=False, markup=False)
    show(comparison, console)
    if args.out is not None:
        for name, file in (("table", CSV_FILE), ("report", PAGE_FILE)):
            console.print(f"{name}: {args.out / file}", soft_wrap=True)


def rows(comparison: Comparison) -> Iterator[tuple[object, ...]]:
    """Yield the rows of the CSV file: one a figure; no task means all."""
    measure = comparison.measure
    common = comparison.suite, measure.name, measure.higher_is_better
    for task, entries in [(None, comparison.overall), *comparison.by_task.items()]:
        for label, figures in zip(comparison.labels, entries, strict=True):
            for name, baseline, values in _statistics(comparison.labels[0], figures):
                yield *common, label, "encoder", task, name, baseline, *values
    for bound in comparison.bounds:
        yield *common, bound.label, bound.variant, None, "mean", None, *astuple(bound.mean)


def _statistics(
    baseline: str, figures: Figures
) -> Iterator[tuple[str, str | None, tuple[object, ...]]]:
    yield "mean", None, astuple(figures.mean)
    if figures.middle is not None:
        yield "interquartile_mean", None, astuple(figures.middle)
    if figures.against is not None:
        yield "difference", baseline, astuple(figures.against.difference)
        yield "p_value", baseline, (figures.against.p, None, None, figures.mean.n)
        yield "probability_of_improvement", baseline, astuple(figures.against.improvement)
        for name in ("better", "equal", "worse"):
            count = getattr(figures.against, name)
            yield f"{name}_cells", baseline, (count, None, None, figures.mean.n)


def show(comparison: Comparison, console: Console) -> None:
    """Print the comparison."""
    console.print(Text(title(comparison), style="bold"))
    console.print(_overall_table(comparison))
    if len(comparison.tasks) <= _MAX_TASKS:
        for table in _task_tables(comparison, console.width):
            console.print(table)
    else:
        console.print(f"task by task ({len(comparison.tasks)}): in {CSV_FILE}, with --out DIR")
    for note in comparison.notes:
        console.print(f"note: {note}", soft_wrap=True)
    if comparison.settings:
        console.print("these settings differ, and may be what moves the numbers:")
        console.print(_settings_table(comparison))
    console.print(verdict(comparison), soft_wrap=True)


def _overall_table(comparison: Comparison) -> Table:
    measure = comparison.measure
    arrow, unit = ARROWS[measure.higher_is_better], "\n(points)" if measure.binary else ""
    table = Table(caption=_caption(comparison), caption_justify="left", show_lines=True)
    table.add_column("run", overflow="fold", min_width=12)
    for name in (
        f"mean {arrow}",
        f"interquartile\nmean {arrow}",
        f"difference{unit}",
        "probability of\nimprovement",
    ):
        table.add_column(name, justify="right", overflow="fold", min_width=8)
    for label, figures in zip(comparison.labels, comparison.overall, strict=True):
        against = figures.against
        table.add_row(
            Text(label),
            full(measure, figures.mean, separator="\n"),
            full(measure, figures.middle, separator="\n") if figures.middle else "",
            _difference(measure, against) if against else "baseline",
            chance(against.improvement, separator="\n") if against else "",
        )
    for bound in comparison.bounds:
        table.add_row(Text(bound.label, style="dim"), full(measure, bound.mean, separator="\n"))
    return table


def _difference(measure: Measure, against: Against) -> str:
    return f"{signed(measure, against.difference, separator=chr(10))}\np {probability(against.p)}"


def _caption(comparison: Comparison) -> Text:
    return Text(
        f"{brackets(comparison)} The last two columns: against {comparison.labels[0]}; "
        "p: of a sign-flip test of the paired differences."
    )


def _task_tables(comparison: Comparison, width: int) -> Iterator[Table]:
    """Yield the table of tasks, in as many parts as its runs need."""
    if len(comparison.tasks) == 1:
        return
    step = max(1, (width - _TASK_WIDTH) // _RUN_WIDTH)
    for first in range(0, len(comparison.runs), step):
        part = slice(first, first + step)
        table = Table()
        table.add_column("task", overflow="fold", min_width=8)
        for label in comparison.labels[part]:
            table.add_column(Text(label), justify="right", overflow="fold")
        table.add_column("cells", justify="right")
        for task, entries in comparison.by_task.items():
            means: list[Interval] = [figures.mean for figures in entries[part]]
            texts = [full(comparison.measure, mean) for mean in means]
            table.add_row(Text(task), *texts, str(means[0].n))
        yield table


def _settings_table(comparison: Comparison) -> Table:
    """Return a line for each run and setting: values may be long, and runs many."""
    table = Table()
    for name in ("setting", "value", "runs"):
        table.add_column(name, overflow="fold")
    for setting in settings(comparison):
        for value, labels in setting.values:
            table.add_row(Text(setting.key), Text(value), Text(labels))
    return table
