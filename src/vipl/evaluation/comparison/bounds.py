"""The controls that a comparison of runs lies between: the true state and an untrained encoder."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vipl.evaluation.comparison.runs import LabelledRun, Place
from vipl.evaluation.comparison.statistics import mean
from vipl.evaluation.evaluator import MAIN, ORACLE, RANDOM
from vipl.evaluation.report_data import Measure, plural
from vipl.evaluation.results import Record
from vipl.evaluation.statistics import Interval, metric_of, place_of


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
    untrained one. Then a cell's value is the mean over the runs that have it. A control that is
    among the compared runs itself is left out.

    Args:
        runs: That are compared.
        measure: The metric.
        shared: Cells of all runs.
    """
    compared = {record.key for run in runs for record in run.results.of(MAIN)}
    tasks = list(dict.fromkeys(task for task, _, _ in shared))
    for variant in (ORACLE, RANDOM):
        found = [_records(run, variant, measure, shared) for run in runs]
        others = [
            records for records in found if any(r.key not in compared for r in records.values())
        ]
        values: dict[Place, list[float]] = {}
        for records in others:
            for place, record in records.items():
                values.setdefault(place, []).append(record.metrics[measure.name])
        if values:
            name = runs[0].results.variant_label(variant)
            if any(len(set(several)) > 1 for several in values.values()):
                name += f", mean of {len(others)} runs"
            yield _bound(variant, name, values, measure, tasks)


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
    variant: str,
    name: str,
    values: Mapping[Place, Sequence[float]],
    measure: Measure,
    tasks: Sequence[str],
) -> Bound:
    scores: dict[str, list[float]] = {}
    for place, several in values.items():
        scores.setdefault(place[0], []).append(float(np.mean(several)))
    if len(scores) < len(tasks):
        name += f" ({len(scores)} of {plural(len(tasks), 'task')})"
    arrays = [np.array(of_task) for of_task in scores.values()]
    binary = measure.binary and all(np.isin(array, (0, 1)).all() for array in arrays)
    return Bound(variant, name, mean(arrays, binary=binary))
