"""The parts of a report about the primary metric: comparison, tasks, budgets, another's goal."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from vipl.evaluation.evaluator import BUDGET, MAIN, ORACLE, RANDOM, RANDOM_GOAL
from vipl.evaluation.reports.data import VARIANTS, Measure, Results
from vipl.evaluation.reports.plots import (
    Axis,
    Plot,
    Shape,
    bar,
    budget_axis,
    dot,
    line,
    rate_axis,
    value_axis,
)
from vipl.evaluation.reports.statistics import mean_over_tasks, metric_of, place_of
from vipl.evaluation.results import Record
from vipl.evaluation.wording import NOTHING, plural


@dataclass(frozen=True)
class Row:
    """A mean with its interval on a track: texts, and positions in per cent of the axis."""

    name: str
    kind: str
    text: str
    interval: str
    count: str
    mean: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Rows:
    """Means on a common axis."""

    axis: Axis
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Mark:
    """A place of the table: what it shows, and how strongly it is coloured, from 0 to 1."""

    text: str
    detail: str
    title: str
    strength: float | None


@dataclass(frozen=True)
class TaskRow:
    """A line of the table."""

    name: str
    label: str
    marks: tuple[Mark, ...]


@dataclass(frozen=True)
class TaskTable:
    """The table of tasks by cameras.

    Attributes:
        columns: Their names: the cameras, all of them, the controls.
        kinds: Of the columns: which variant each shows.
        cameras: How many of the columns are cameras.
        rows: One a task.
        total: Over all tasks.
    """

    columns: tuple[str, ...]
    kinds: tuple[str, ...]
    cameras: int
    rows: tuple[TaskRow, ...]
    total: TaskRow


@dataclass(frozen=True)
class Budgets:
    """The primary metric against the planning budget, on the cells that all budgets share."""

    plot: Plot
    rows: tuple[Row, ...]
    shared: int


@dataclass(frozen=True)
class GoalControl:
    """Own goal against another task's goal, on the cells that both share."""

    sentence: str
    rows: Rows
    shared: int


def comparison(results: Results, measure: Measure | None = None) -> Rows:
    """Return the encoder under test beside its controls, where they were asked for.

    Args:
        results: Of the evaluation.
        measure: What is compared, the primary metric if None.
    """
    measure = measure or results.primary
    variants = [v for v in VARIANTS if v == MAIN or results.has(v)]
    entries = {variant: results.entry(variant, metric=measure.name) for variant in variants}
    return _rows(results, entries, measure=measure)


def task_table(results: Results) -> TaskTable:
    """Return the table of tasks by cameras, with the columns of the controls that were run."""
    cameras = results.cameras if len(results.cameras) > 1 else []
    controls = [variant for variant in (ORACLE, RANDOM) if results.has(variant)]
    whole = "all cameras" if cameras else f"all {results.unit}s"
    rows = {task: _entries(results, task, cameras, controls) for task in (*results.tasks, None)}
    spread = _spread(results, [entry["mean"] for entries in rows.values() for entry in entries])

    def marks(task: str | None) -> tuple[Mark, ...]:
        return tuple(_mark(results, entry, spread) for entry in rows[task])

    return TaskTable(
        columns=(*cameras, whole, *(results.variant_label(variant) for variant in controls)),
        kinds=(*([MAIN] * (len(cameras) + 1)), *controls),
        cameras=len(cameras),
        rows=tuple(TaskRow(task, label, marks(task)) for task, label in results.tasks.items()),
        total=TaskRow("all tasks", "", marks(None)),
    )


def budgets(results: Results) -> Budgets | None:
    """Return the comparison of planning budgets, or None where no cell has been run with two."""
    cells = {samples: results.of(v) for v, samples in results.budget_variants.items()}
    if results.main_budget is not None:
        cells[results.main_budget] = results.of(MAIN)
    known = {samples: found for samples, found in cells.items() if found}
    if len(known) < 2:
        return None
    shared = _shared(results, list(known.values()))
    if not shared:
        return None
    order = sorted(known)
    entries = {n: _entry_of(results, known[n], shared) for n in order}
    names = {f"{BUDGET}{n}": str(n) for n in order}
    rows = _rows(results, dict(zip(names, entries.values(), strict=True)), names).rows
    return Budgets(_budget_plot(results, entries), rows, len(shared))


def goal_control(results: Results) -> GoalControl | None:
    """Return what another task's goal does, or None where that was not run."""
    if not results.has(RANDOM_GOAL):
        return None
    own, other = results.of(MAIN), results.of(RANDOM_GOAL)
    shared = _shared(results, [own, other])
    entries = {
        MAIN: _entry_of(results, own, shared),
        RANDOM_GOAL: _entry_of(results, other, shared),
    }
    sentence = _goal_sentence(results, entries[MAIN], entries[RANDOM_GOAL], len(shared))
    return GoalControl(sentence, _rows(results, entries, {MAIN: "own goal"}), len(shared))


def _goal_sentence(
    results: Results, own: Mapping[str, Any], other: Mapping[str, Any], shared: int
) -> str:
    measure = results.primary
    if not shared:
        return "No cell has been run with both goals yet."
    figures = (
        f"On the {plural(shared, 'cell')} run with both, the encoder reaches {measure.full(own)} "
        f"with its own goal and {measure.full(other)} with another task's goal: "
    )
    if None in (own["low"], other["low"]):
        return figures + "too few to tell them apart."
    better, worse = (own, other) if measure.higher_is_better else (other, own)
    if better["low"] > worse["high"]:
        return figures + "the intervals are apart, so the goal image matters."
    if better["high"] < worse["low"]:
        return figures + "the wrong goal does better, so the reward does not follow the goal image."
    return (
        figures + "the intervals overlap, so these cells do not show that the goal image matters."
    )


def _rows(
    results: Results,
    entries: Mapping[str, Mapping[str, Any]],
    names: Mapping[str, str] | None = None,
    *,
    measure: Measure | None = None,
) -> Rows:
    measure = measure or results.primary
    ends = [entry[key] for entry in entries.values() for key in ("mean", "low", "high")]
    axis = rate_axis() if measure.binary else value_axis(e for e in ends if e is not None)

    def at(value: float | None) -> float | None:
        return None if value is None else axis.at(value)

    rows = (
        Row(
            name=(names or {}).get(variant) or results.variant_label(variant),
            kind=_kind(variant),
            text=measure.text(entry["mean"]),
            interval=measure.interval(entry),
            count=measure.count(entry),
            mean=at(entry["mean"]),
            low=at(entry["low"]),
            high=at(entry["high"]),
        )
        for variant, entry in entries.items()
    )
    return Rows(axis, tuple(rows))


def _kind(variant: str) -> str:
    return MAIN if variant.startswith(BUDGET) else variant


def _mark(results: Results, entry: Mapping[str, Any], spread: tuple[float, float]) -> Mark:
    measure, failed = results.primary, f"{entry['failed']} failed"
    if entry["mean"] is None:
        why = "undefined" if entry["run"] else "not run"
        return Mark(NOTHING, failed if entry["failed"] else why, "", None)
    text = f"{entry['hits']}/{entry['n']}" if measure.binary else measure.text(entry["mean"])
    detail = measure.full(entry) if measure.binary else measure.interval(entry)
    if entry["failed"]:
        detail = " \N{MIDDLE DOT} ".join(filter(None, (detail, failed)))
    title = f"mean {measure.full(entry)} over {plural(entry['n'], measure.unit)}"
    worst, best = spread
    strength = (entry["mean"] - worst) / (best - worst) if best != worst else 0.0
    return Mark(text, detail, title, round(strength, 3))


def _entries(
    results: Results, task: str | None, cameras: Sequence[str], controls: Sequence[str]
) -> list[dict[str, Any]]:
    """Return the summary's entries of a row of the table."""
    return [
        *(results.entry(MAIN, task=task, camera=camera) for camera in (*cameras, None)),
        *(results.entry(variant, task=task) for variant in controls),
    ]


def _spread(results: Results, means: Sequence[float | None]) -> tuple[float, float]:
    """Return the worst and the best value of the table, which its colours range over."""
    known = [0.0, 1.0] if results.primary.binary else [mean for mean in means if mean is not None]
    low, high = min(known, default=0.0), max(known, default=0.0)
    return (low, high) if results.primary.higher_is_better else (high, low)


def _shared(
    results: Results, variants: Sequence[Sequence[Record]]
) -> set[tuple[str, str | None, int]]:
    places = [
        {place_of(r) for r in records if metric_of(r, results.primary.name) is not None}
        for records in variants
    ]
    return set.intersection(*places)


def _entry_of(
    results: Results, records: Sequence[Record], places: set[tuple[str, str | None, int]]
) -> dict[str, Any]:
    name, binary = results.primary.name, results.primary.binary
    chosen = [record for record in records if place_of(record) in places]
    hits = sum(metric_of(record, name) == 1 for record in chosen)
    return {**asdict(mean_over_tasks(chosen, name, binary=binary)), "hits": hits}


def _budget_plot(results: Results, entries: Mapping[int, Mapping[str, Any]]) -> Plot:
    x = budget_axis(list(entries))
    known = {np.log2(n): entry for n, entry in entries.items() if entry["mean"] is not None}
    ends = [e[key] for e in known.values() for key in ("mean", "low", "high") if e[key] is not None]
    y = rate_axis() if results.primary.binary else value_axis(ends)
    means = np.array([entry["mean"] for entry in known.values()], dtype=np.float64)
    return Plot(
        label=results.primary.label,
        x=x,
        y=y,
        lines=(
            *(
                Shape(bar(place, entry["low"], entry["high"], x, y), "main whisker")
                for place, entry in known.items()
                if entry["low"] is not None
            ),
            Shape(line(np.array(list(known)), means, x, y), "main"),
        ),
        dots=tuple(
            Shape(dot(place, entry["mean"], x, y), "main", results.primary.full(entry))
            for place, entry in known.items()
        ),
    )
