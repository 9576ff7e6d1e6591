"""The page of a comparison: tables and plots in one HTML file that opens offline."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vipl.evaluation.intervals import Interval
from vipl.evaluation.reports.comparison.figures import Against, Comparison, Figures
from vipl.evaluation.reports.comparison.rows import (
    difference_axis,
    difference_rows,
    make_row,
    mean_axis,
)
from vipl.evaluation.reports.comparison.text import (
    brackets,
    chance,
    full,
    probability,
    settings,
    title,
    verdict,
)
from vipl.evaluation.reports.pages import render_page, write_page
from vipl.evaluation.reports.plots import rate_axis
from vipl.evaluation.reports.success import Mark, Rows, TaskRow
from vipl.evaluation.wording import NOTHING, join, percent, plural

_COLOURS = 6  # that the style sheet has for runs


@dataclass(frozen=True)
class Forest:
    """A run's differences from the baseline, overall and task by task."""

    label: str
    rows: Rows


@dataclass(frozen=True)
class Origin:
    """Where a run comes from."""

    label: str
    facts: dict[str, str]


def write(comparison: Comparison, path: Path) -> None:
    """Write the page."""
    write_page(path, render(comparison))


def render(comparison: Comparison) -> str:
    """Return the page."""
    labels = comparison.labels
    return render_page(
        "compare.html.jinja",
        comparison=comparison,
        measure=comparison.measure,
        heading=join(labels) if len(labels) <= 3 else f"{len(labels)} runs",
        title=title(comparison),
        brackets=brackets(comparison),
        verdict=verdict(comparison),
        means=_means(comparison),
        middles=_middles(comparison),
        differences=_differences(comparison),
        chances=_chances(comparison),
        tasks=_task_rows(comparison),
        wins=_wins(comparison) if len(labels) > 2 else [],
        forests=_forests(comparison) if len(comparison.tasks) > 1 else [],
        settings=settings(comparison),
        origins=[_origin(comparison, number) for number in range(len(labels))],
    )


def _kind(number: int) -> str:
    return f"run-{number % _COLOURS}"


def _means(comparison: Comparison) -> Rows:
    measure, bounds = comparison.measure, comparison.bounds
    means = [figures.mean for figures in comparison.overall]
    axis = mean_axis(measure, [*means, *(bound.mean for bound in bounds)])
    named = [
        *((label, _kind(number), mean) for number, (label, mean) in _numbered(comparison, means)),
        *((bound.label, bound.variant, bound.mean) for bound in bounds),
    ]
    rows = (
        make_row(name, kind, (full(measure, mean), plural(mean.n, "cell")), mean, axis)
        for name, kind, mean in named
    )
    return Rows(axis, tuple(rows))


def _middles(comparison: Comparison) -> Rows:
    measure = comparison.measure
    middles = [figures.middle for figures in comparison.overall if figures.middle is not None]
    axis = mean_axis(measure, middles)
    rows = (
        make_row(label, _kind(number), (full(measure, one), ""), one, axis)
        for number, (label, one) in _numbered(comparison, middles)
    )
    return Rows(axis, tuple(rows))


def _differences(comparison: Comparison) -> Rows:
    found = _others(comparison, comparison.overall)
    return difference_rows(
        comparison.measure,
        [
            (label, _kind(number), against.difference, _counts(against))
            for number, label, against in found
        ],
    )


def _chances(comparison: Comparison) -> Rows:
    axis = rate_axis()
    rows = (
        make_row(label, _kind(number), (chance(one.improvement), ""), one.improvement, axis)
        for number, label, one in _others(comparison, comparison.overall)
    )
    return Rows(axis, tuple(rows))


def _forests(comparison: Comparison) -> list[Forest]:
    """Return each run's differences task by task, all on one axis."""
    forests = []
    everything = []
    for number, label, against in _others(comparison, comparison.overall):
        lines = [("all tasks", _kind(number), against.difference, _counts(against))]
        for task, entries in comparison.by_task.items():
            one = entries[number].against
            assert one is not None
            lines.append((task, _kind(number), one.difference, _counts(one)))
        forests.append((label, lines))
        everything += [line[2] for line in lines]
    axis = difference_axis(comparison.measure, everything)
    return [
        Forest(label, difference_rows(comparison.measure, lines, axis)) for label, lines in forests
    ]


def _counts(against: Against) -> str:
    counts = f"better {against.better}, equal {against.equal}, worse {against.worse}"
    return f"{counts}; p {probability(against.p)}"


def _numbered(
    comparison: Comparison, values: Sequence[Interval]
) -> Iterable[tuple[int, tuple[str, Interval]]]:
    return enumerate(zip(comparison.labels, values, strict=True))


def _others(comparison: Comparison, entries: Sequence[Figures]) -> list[tuple[int, str, Against]]:
    """Return the runs that are measured against the baseline, with their numbers."""
    named = enumerate(zip(comparison.labels, entries, strict=True))
    return [(n, label, one.against) for n, (label, one) in named if one.against is not None]


def _task_rows(comparison: Comparison) -> list[TaskRow]:
    measure = comparison.measure
    means = [f.mean.mean or 0.0 for entries in comparison.by_task.values() for f in entries]
    worst, best = (0.0, 1.0) if measure.binary else (min(means), max(means))
    if not measure.higher_is_better:
        worst, best = best, worst

    def mark(figures: Figures) -> Mark:
        mean = figures.mean
        strength = ((mean.mean or 0.0) - worst) / (best - worst) if best != worst else 0.0
        text, _, limits = full(measure, mean).partition(" ")
        name = f"mean over {plural(mean.n, 'cell')}"
        return Mark(text, limits, name, round(strength, 3))

    rows = [*comparison.by_task.items(), ("all tasks", comparison.overall)]
    return [
        TaskRow(task, comparison.tasks.get(task, ""), tuple(mark(figures) for figures in entries))
        for task, entries in rows
    ]


def _wins(comparison: Comparison) -> list[TaskRow]:
    """Return the table of wins: a run's colour is strong where it wins."""
    rows = []
    for number, (label, shares) in enumerate(zip(comparison.labels, comparison.wins, strict=True)):
        marks = (
            Mark(NOTHING, "", "", None)
            if other == number
            else Mark(percent(share), "", f"over {comparison.labels[other]}", round(share, 3))
            for other, share in enumerate(shares)
        )
        rows.append(TaskRow(label, "", tuple(marks)))
    return rows


def _origin(comparison: Comparison, number: int) -> Origin:
    run = comparison.runs[number]
    about, results = run.results.run, run.results
    encoder = about.get("encoder", {})
    facts = {
        "folder": str(results.folder),
        "encoder": encoder.get("source"),
        "encoder sha256": encoder.get("sha256"),
        "protocol": about.get("protocol"),
        "cells": f"{len(run.finished)} of {run.planned} finished, {comparison.cells} compared",
        "started": about.get("created"),
        "vipl": about.get("packages", {}).get("vipl"),
        "command": about.get("command"),
    }
    return Origin(run.label, {name: str(value) for name, value in facts.items() if value})
