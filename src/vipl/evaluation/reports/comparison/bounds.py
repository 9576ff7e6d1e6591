"""The bounds of a comparison of runs: the ground-truth state and an untrained encoder."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vipl.evaluation.evaluator import MAIN, ORACLE, RANDOM
from vipl.evaluation.intervals import Interval
from vipl.evaluation.reports.comparison.notes import few
from vipl.evaluation.reports.comparison.runs import LabelledRun, Place
from vipl.evaluation.reports.comparison.statistics import mean
from vipl.evaluation.reports.data import Measure
from vipl.evaluation.reports.statistics import metric_of, place_of
from vipl.evaluation.results import Record
from vipl.evaluation.wording import plural

_MAX_GROUPS = 3  # of runs that differ in a control


@dataclass(frozen=True)
class Bound:
    """A control on the shared cells.

    Attributes:
        variant: "oracle" or "random".
        label: For people.
        mean: Over its tasks.
    """

    variant: str
    label: str
    mean: Interval


def find_bounds(
    runs: Sequence[LabelledRun], measure: Measure, shared: Sequence[Place]
) -> Iterator[Bound]:
    """Yield the controls of the runs on the shared cells, each once.

    Runs may differ in a control: another planner has another oracle, another network another
    untrained one. Each is there once for the runs that agree on it; where that makes too many, a
    cell's value is the mean over them. A control that is among the compared runs is left out.

    Args:
        runs: That are compared.
        measure: The metric.
        shared: Cells of all runs.
    """
    compared = {record.key for run in runs for record in run.results.of(MAIN)}
    tasks = list(dict.fromkeys(task for task, _, _ in shared))
    for variant in (ORACLE, RANDOM):
        found = {run.label: _records(run, variant, measure, shared) for run in runs}
        groups: list[_Group] = []
        for label, records in found.items():
            if any(record.key not in compared for record in records.values()):
                values = {place: r.metrics[measure.name] for place, r in records.items()}
                _add(groups, _Group([label], values))
        name = runs[0].results.variant_label(variant)
        if len(groups) > _MAX_GROUPS:
            groups, name = [_mean(groups)], f"{name}, mean of {len(groups)}"
        for group in groups:
            text = name if len(groups) == 1 else f"{name} of {few(group.labels)}"
            yield _bound(variant, text, group.values, measure, tasks)


@dataclass
class _Group:
    """Runs that agree on a control, and its values."""

    labels: list[str]
    values: dict[Place, float]


def _add(groups: list[_Group], new: _Group) -> None:
    """Add a run to the first group that has no other value of any cell, or as a group."""
    for group in groups:
        if all(group.values.get(place, value) == value for place, value in new.values.items()):
            group.labels += new.labels
            group.values.update(new.values)
            return
    groups.append(new)


def _mean(groups: Sequence[_Group]) -> _Group:
    places = dict.fromkeys(place for group in groups for place in group.values)
    values = {
        place: float(np.mean([g.values[place] for g in groups if place in g.values]))
        for place in places
    }
    return _Group([], values)


def _records(
    run: LabelledRun, variant: str, measure: Measure, shared: Sequence[Place]
) -> dict[Place, Record]:
    """Return a control's records on the shared cells; the oracle sees no camera."""

    def cell(place: Place) -> Place:
        return (place[0], None, place[2]) if variant == ORACLE else place

    wanted = set(map(cell, shared))
    records = run.results.of(variant)
    known = {place_of(r): r for r in records if metric_of(r, measure.name) is not None}
    return {place: record for place, record in known.items() if cell(place) in wanted}


def _bound(
    variant: str, name: str, values: Mapping[Place, float], measure: Measure, tasks: Sequence[str]
) -> Bound:
    scores: dict[str, list[float]] = {}
    for place, value in values.items():
        scores.setdefault(place[0], []).append(value)
    if len(scores) < len(tasks):
        name += f" ({len(scores)} of {plural(len(tasks), 'task')})"
    arrays = [np.array(of_task) for of_task in scores.values()]
    binary = measure.binary and all(np.isin(array, (0, 1)).all() for array in arrays)
    return Bound(variant, name, mean(arrays, binary=binary))
