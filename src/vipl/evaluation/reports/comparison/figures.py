"""A comparison of runs: the cells that they share, and every figure of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vipl.errors import UserError
from vipl.evaluation.intervals import Interval, Values
from vipl.evaluation.reports.comparison.bounds import Bound, find_bounds
from vipl.evaluation.reports.comparison.notes import by_task, few, find_notes
from vipl.evaluation.reports.comparison.runs import (
    LabelledRun,
    Place,
    check_comparable,
    choose_measure,
    differing_settings,
)
from vipl.evaluation.reports.comparison.statistics import (
    Scores,
    difference,
    interquartile_mean,
    mean,
    outcomes,
    p_value,
    probability_of_improvement,
    share_of_wins,
)
from vipl.evaluation.reports.data import Measure
from vipl.evaluation.reports.statistics import metric_of
from vipl.evaluation.results import Record
from vipl.evaluation.wording import plural

LEVEL = 0.05
MIN_CELLS = 6
"""Six pairs that all point one way have a p of 0.03, five one of 0.06."""


@dataclass(frozen=True)
class Against:
    """A run against the baseline, on the cells that they share.

    Attributes:
        difference: Mean over tasks of run - baseline, paired.
        p: That runs which are alike differ so much: see `statistics.p_value`.
        improvement: Probability that an episode of the run is better than one of the baseline.
        better: Cells in which the run is better.
        equal: Cells in which neither is.
        worse: Cells in which the baseline is better.
    """

    difference: Interval
    p: float
    improvement: Interval
    better: int
    equal: int
    worse: int


@dataclass(frozen=True)
class Figures:
    """What a run amounts to on the shared cells of all tasks, or of one.

    Attributes:
        mean: Over tasks.
        middle: The interquartile mean, or None for one task.
        against: The baseline; None for the baseline itself.
    """

    mean: Interval
    middle: Interval | None
    against: Against | None


@dataclass(frozen=True)
class Comparison:
    """Runs side by side, the first of them the baseline.

    Attributes:
        runs: In the order in which they were given.
        measure: The metric.
        tasks: With shared cells; their labels.
        cells: How many cells all runs share: n of every paired figure.
        overall: One entry a run.
        by_task: One entry a run, for each task.
        wins: Share of wins of each run (row) over each (column); a run over itself has 0.5.
        bounds: The controls.
        settings: Those that differ: key to each run's value.
        notes: What a reader must know of the cells, a sentence each.
    """

    runs: tuple[LabelledRun, ...]
    measure: Measure
    tasks: Mapping[str, str]
    cells: int
    overall: tuple[Figures, ...]
    by_task: Mapping[str, tuple[Figures, ...]]
    wins: tuple[tuple[float, ...], ...]
    bounds: tuple[Bound, ...]
    settings: Mapping[str, Sequence[str]]
    notes: tuple[str, ...]

    @property
    def labels(self) -> list[str]:
        """The runs' names."""
        return [run.label for run in self.runs]

    @property
    def suite(self) -> str:
        """Of all runs: name and version."""
        return self.runs[0].suite

    def is_better(self, one: float, other: float) -> bool:
        """Whether a value is better than another."""
        return one > other if self.measure.higher_is_better else one < other

    def told_apart(self, figures: Figures) -> str | None:
        """Return "better" or "worse" than the baseline, or None where the cells do not tell.

        They do where the p of the paired difference is below 0.05.
        """
        against = figures.against
        if against is None or against.difference.mean is None or against.p >= LEVEL:
            return None
        return "better" if self.is_better(against.difference.mean, 0) else "worse"


def compare(runs: Sequence[LabelledRun], metric: str | None = None) -> Comparison:
    """Compare runs on the cells that all of them have.

    Args:
        runs: Two or more; the first is the baseline.
        metric: The suite's first if None.

    Raises:
        UserError: If they are not of one suite and version, have no such metric, or share no cell.
    """
    check_comparable(runs)
    measure = choose_measure(runs, metric)
    episodes = [run.episodes(measure.name) for run in runs]
    shared = _shared(runs, measure, episodes)
    tables = {
        task: [_values(found, places, measure.name) for found in episodes]
        for task, places in by_task(shared).items()
    }
    higher = measure.higher_is_better
    sampled = runs[0].results.sampled
    overall = [
        _by_resampled([table[number] for table in tables.values()], sampled)
        for number in range(len(runs))
    ]
    return Comparison(
        runs=tuple(runs),
        measure=measure,
        tasks={task: _label(runs, task) for task in tables},
        cells=len(shared),
        overall=_figures(overall, measure),
        by_task={
            task: _figures([[values] for values in table], measure, middle=False)
            for task, table in tables.items()
        },
        wins=tuple(
            tuple(share_of_wins(one, other, higher_is_better=higher) for other in overall)
            for one in overall
        ),
        bounds=tuple(find_bounds(runs, measure, shared)),
        settings=differing_settings(runs),
        notes=tuple(find_notes(runs, measure, episodes, shared)),
    )


def _shared(
    runs: Sequence[LabelledRun], measure: Measure, episodes: Sequence[Mapping[Place, Record]]
) -> list[Place]:
    """Return the places of all runs, by task in the suite's order."""
    for run, found in zip(runs, episodes, strict=True):
        if not found:
            where = f"{run.label} ({run.results.folder})"
            reasons = {
                one.undefined[measure.name] for one in run.finished if measure.name in one.undefined
            }
            if reasons:
                raise UserError(
                    f"{where} has no value of {measure.name}, as {' and '.join(sorted(reasons))}: "
                    "leave it out, or name another by --metric"
                )
            raise UserError(
                f"{where} has no value of {measure.name}: of "
                f"{plural(run.planned, 'cell')} {len(run.finished)} finished and "
                f"{run.failed} failed; the command that began it goes on with it"
            )
    shared = set.intersection(*(set(found) for found in episodes))
    if not shared:
        grids = [
            f"{run.label} has {_grid(list(found))}"
            for run, found in zip(runs, episodes, strict=True)
        ]
        raise UserError(f"the runs have no cell (task, camera, seed) in common: {few(grids)}")
    order = {task: number for number, task in enumerate(runs[0].results.tasks)}
    return sorted(shared, key=lambda place: (order.get(place[0], -1), str(place[1]), place[2]))


def _grid(places: Sequence[Place]) -> str:
    columns = zip(*places, strict=True)
    names = [list(dict.fromkeys(map(str, column))) for column in columns]
    named = zip(("tasks", "cameras", "seeds"), names, strict=True)
    return " / ".join(f"{kind} {few(found)}" for kind, found in named if found != ["None"])


def _by_resampled(tasks: Sequence[Values], sampled: bool) -> Scores:
    """Return a run's values so that what is resampled stands in the innermost place.

    That is the episodes of each task or, where the tasks are a sample themselves, tasks by their
    means.
    """
    return [np.array([values.mean() for values in tasks])] if sampled else tasks


def _label(runs: Sequence[LabelledRun], task: str) -> str:
    return next(filter(None, (run.results.tasks.get(task) for run in runs)), "")


def _values(found: Mapping[Place, Record], places: Sequence[Place], metric: str) -> Values:
    return np.array([metric_of(found[place], metric) for place in places], dtype=np.float64)


def _figures(
    scores: Sequence[Scores], measure: Measure, *, middle: bool = True
) -> tuple[Figures, ...]:
    binary, higher = measure.binary, measure.higher_is_better

    def against(ours: Scores) -> Against:
        return Against(
            difference(ours, scores[0], binary=binary),
            p_value(ours, scores[0]),
            probability_of_improvement(ours, scores[0], higher_is_better=higher),
            *outcomes(ours, scores[0], higher_is_better=higher),
        )

    return tuple(
        Figures(
            mean(ours, binary=binary),
            interquartile_mean(ours, binary=binary) if middle else None,
            against(ours) if number else None,
        )
        for number, ours in enumerate(scores)
    )
