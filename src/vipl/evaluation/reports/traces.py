"""The parts of a report about what happens during an episode: errors and distances over steps."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vipl.evaluation.evaluator import MAIN, ORACLE, RANDOM
from vipl.evaluation.intervals import Values
from vipl.evaluation.reports.data import VARIANTS, Results
from vipl.evaluation.reports.plots import (
    Curve,
    Plot,
    Shape,
    average,
    band,
    dot,
    line,
    stack,
    step_axis,
    thinned,
    value_axis,
)
from vipl.evaluation.results import Record
from vipl.evaluation.wording import NOTHING, number

DISTANCE = "distance"
SOLVED = "solved"
UNSOLVED = "unsolved"

_BANDED = frozenset({MAIN, SOLVED, UNSOLVED})


@dataclass(frozen=True)
class TraceGroup:
    """A trace averaged over all tasks; `by_ending` is of the encoder under test.

    It is None where episodes are neither solved nor not.
    """

    label: str
    by_variant: Plot
    by_ending: Plot | None


@dataclass(frozen=True)
class TaskGroup:
    """A task's plots, and how its episodes ended."""

    name: str
    label: str
    result: str
    plots: tuple[Plot, ...]


@dataclass(frozen=True)
class Errors:
    """Every trace but the distance.

    Attributes:
        are_errors: Whether that is what all of them are called.
        traces: Over all tasks.
        tasks: Task by task, with the traces in one order and each on one scale.
        kinds: Of the lines in `tasks`, with their names.
    """

    are_errors: bool
    traces: tuple[TraceGroup, ...]
    tasks: tuple[TaskGroup, ...]
    kinds: Mapping[str, str]


@dataclass(frozen=True)
class DistanceRow:
    """A task's mean distances: at the start, and at the end by how episodes ended."""

    name: str
    start: str
    ends: tuple[str, ...]


@dataclass(frozen=True)
class Distances:
    """The distance to the goal in every episode of the encoder under test.

    Attributes:
        tasks: One plot a task, each on its own scale.
        kinds: Of the lines, with their names.
        columns: Of the rows' `ends`.
        rows: The last is over all tasks.
    """

    tasks: tuple[TaskGroup, ...]
    kinds: Mapping[str, str]
    columns: tuple[str, ...]
    rows: tuple[DistanceRow, ...]


def errors(results: Results) -> Errors | None:
    """Return the traces other than the distance, or None where there are none."""
    names = dict.fromkeys(
        name
        for variant in VARIANTS
        for record in results.of(variant)
        for name in record.traces
        if name != DISTANCE and _traces([record], name)
    )
    if not names:
        return None
    by_variant = {name: _by_variant(results, name) for name in names}
    by_ending = {name: _by_ending(results, name) for name in names}
    by_task = {
        name: {task: _of_task(results, name, task) for task in results.tasks} for name in names
    }
    traces = []
    for name in names:
        left, right = _mean_plots(results, name, (by_variant[name], by_ending[name]))
        traces.append(TraceGroup(results.label(name), left, right if right.lines else None))
    plots: dict[str, list[Plot]] = {task: [] for task in results.tasks}
    for name, series in by_task.items():
        for task, plot in zip(series, _mean_plots(results, name, series.values()), strict=True):
            plots[task].append(plot)
    return Errors(
        all("error" in name for name in names),
        tuple(traces),
        _task_groups(results, plots),
        _legend(results, (series for tasks in by_task.values() for series in tasks.values())),
    )


def distances(results: Results) -> Distances | None:
    """Return the distance curves, or None where the encoder under test has none."""
    records = [r for r in results.of(MAIN) if _traces([r], DISTANCE)]
    if not records:
        return None
    of_task = {
        task: [record for record in records if record.task == task] for task in results.tasks
    }
    endings = [ending for ending in (SOLVED, UNSOLVED) if _split(results)] or [MAIN]
    rows = [_distance_row(results, task, of_task[task], endings) for task in of_task]
    rows.append(_distance_row(results, "all tasks", records, endings))
    return Distances(
        _task_groups(results, {task: [_episodes(results, of_task[task])] for task in of_task}),
        _legend(results, [dict.fromkeys(endings)]),
        tuple("end" if end == MAIN else f"end, {_kind_name(results, end)}" for end in endings),
        tuple(rows),
    )


def episode_groups(results: Results, tasks: Sequence[str]) -> tuple[TaskGroup, ...]:
    """Return the distance curves of some tasks, every one with a curve, in their order."""
    of_task: dict[str, list[Record]] = {task: [] for task in tasks}
    for record in results.of(MAIN):
        if record.task in of_task and _traces([record], DISTANCE):
            of_task[record.task].append(record)
    return _task_groups(results, {t: [_episodes(results, own)] for t, own in of_task.items()})


def _by_variant(results: Results, name: str) -> dict[str, Curve]:
    return _averages({variant: results.of(variant) for variant in VARIANTS}, name)


def _by_ending(results: Results, name: str, task: str | None = None) -> dict[str, Curve]:
    """Return the curves of solved and of other episodes of the encoder under test."""
    groups: dict[str, list[Record]] = {SOLVED: [], UNSOLVED: []}
    for record in results.of(MAIN):
        solved = results.solved(record)
        if solved is not None and task in (None, record.task):
            groups[SOLVED if solved else UNSOLVED].append(record)
    return _averages(groups, name)


def _of_task(results: Results, name: str, task: str) -> dict[str, Curve]:
    def of(variant: str) -> list[Record]:
        return [record for record in results.of(variant) if record.task == task]

    main = _by_ending(results, name, task) or _averages({MAIN: of(MAIN)}, name)
    return {**main, **_averages({variant: of(variant) for variant in (ORACLE, RANDOM)}, name)}


def _averages(groups: Mapping[str, Sequence[Record]], name: str) -> dict[str, Curve]:
    traces = {kind: _traces(records, name) for kind, records in groups.items()}
    return {kind: average(found) for kind, found in traces.items() if found}


def _traces(records: Sequence[Record], name: str) -> list[Sequence[float | None]]:
    """Return the records' traces of a name, those without any number left out."""
    found = [record.traces.get(name, ()) for record in records]
    return [trace for trace in found if np.isfinite(stack([trace])).any()]


def _mean_plots(results: Results, name: str, groups: Iterable[Mapping[str, Curve]]) -> list[Plot]:
    """Return a plot for each group of curves, all on one scale."""
    groups = list(groups)
    curves = [curve for series in groups for curve in series.values()]
    x = step_axis(int(max((curve.steps[-1] for curve in curves), default=1)))
    y = value_axis(
        value for c in curves for ends in (c.mean, c.lower, c.upper) for value in ends.tolist()
    )
    return [
        Plot(
            label=results.label(name),
            x=x,
            y=y,
            bands=tuple(
                Shape(band(curve, x, y), kind) for kind, curve in series.items() if kind in _BANDED
            ),
            lines=tuple(
                Shape(line(curve.steps, curve.mean, x, y), kind, _kind_name(results, kind))
                for kind, curve in reversed(list(series.items()))
            ),
            kinds=_legend(results, [series]),
        )
        for series in groups
    ]


def _episodes(results: Results, records: Sequence[Record]) -> Plot:
    values = stack(_traces(records, DISTANCE))
    x = step_axis(values.shape[1] - 1)
    y = value_axis(values.ravel().tolist())
    steps = thinned(values.shape[1])
    kinds = [_ending(results, record) for record in records]
    ends = [np.flatnonzero(np.isfinite(row))[-1] for row in values]
    return Plot(
        label=results.label(DISTANCE),
        x=x,
        y=y,
        lines=tuple(
            Shape(
                line(steps.astype(np.float64), row[steps], x, y),
                f"{kind} thin",
                _episode_title(results, record, row),
            )
            for kind, record, row in zip(kinds, records, values, strict=True)
        ),
        dots=tuple(
            Shape(dot(float(end), float(row[end]), x, y), kind)
            for kind, end, row in zip(kinds, ends, values, strict=True)
            if kind == SOLVED
        ),
    )


def _episode_title(results: Results, record: Record, row: Values) -> str:
    known = row[np.isfinite(row)]
    camera = "" if record.camera is None else f"{record.camera}, "
    ending = _ending(results, record)
    outcome = "" if ending == MAIN else f"{_kind_name(results, ending)}, "
    return f"{camera}seed {record.seed}: {outcome}{number(known[0])} → {number(known[-1])}"


def _distance_row(
    results: Results, name: str, records: Sequence[Record], endings: Sequence[str]
) -> DistanceRow:
    starts = [float(_known(record)[0]) for record in records]
    ends = {
        ending: [_known(record)[-1] for record in records if _ending(results, record) == ending]
        for ending in endings
    }
    texts = [
        f"{number(float(np.mean(values)))} ({len(values)})" if values else NOTHING
        for values in ends.values()
    ]
    start = number(float(np.mean(starts))) if starts else NOTHING
    return DistanceRow(name, start, tuple(texts))


def _known(record: Record) -> Values:
    values = stack([record.traces[DISTANCE]])[0]
    return np.asarray(values[np.isfinite(values)])


def _split(results: Results) -> bool:
    return any(results.solved(record) is not None for record in results.of(MAIN))


def _ending(results: Results, record: Record) -> str:
    solved = results.solved(record)
    return MAIN if solved is None else SOLVED if solved else UNSOLVED


def _task_groups(results: Results, plots: Mapping[str, Sequence[Plot]]) -> tuple[TaskGroup, ...]:
    groups = []
    for task, own in plots.items():
        if any(plot.lines for plot in own):
            entry, primary = results.entry(MAIN, task=task), results.primary
            counted = f"{entry['hits']} of {entry['n']}" if primary.binary else None
            result = counted or primary.text(entry["mean"])
            groups.append(TaskGroup(task, results.tasks[task], result, tuple(own)))
    return tuple(groups)


def _legend(results: Results, series: Iterable[Mapping[str, object]]) -> dict[str, str]:
    kinds = dict.fromkeys(kind for one in series for kind in one)
    return {kind: _kind_name(results, kind) for kind in kinds}


def _kind_name(results: Results, kind: str) -> str:
    return {SOLVED: "solved", UNSOLVED: "not solved"}.get(kind) or results.variant_label(kind)
