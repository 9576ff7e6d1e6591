"""The part of a report about how distances agree with true errors."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vipl.evaluation.evaluator import CORRELATION, MAIN
from vipl.evaluation.reports.data import Measure, Results
from vipl.evaluation.reports.plots import Axis, Plot, Shape, dot, value_axis
from vipl.evaluation.reports.samples import Compared
from vipl.evaluation.reports.statistics import camera_key
from vipl.evaluation.reports.success import comparison
from vipl.evaluation.reports.traces import SOLVED, UNSOLVED, TaskGroup
from vipl.evaluation.results import Record
from vipl.evaluation.wording import plural


@dataclass(frozen=True)
class Agreement:
    """What there is to say beside the primary correlation.

    Attributes:
        metrics: The others, where any cell has a value.
        tasks: Distance against true error, a plot a camera.
        kinds: Of the points, with their names.
        undefined: A sentence on each reason for which cells have no value.
    """

    metrics: tuple[Compared, ...]
    tasks: tuple[TaskGroup, ...]
    kinds: Mapping[str, str]
    undefined: tuple[str, ...]


def agreement(results: Results) -> Agreement | None:
    """Return the part, or None for another protocol and where nothing has been run."""
    records = results.of(MAIN)
    if results.run.get("protocol") != CORRELATION or not records:
        return None
    known = [measure for measure in results.measures[1:] if _has_values(results, measure)]
    groups = [_group(results, records, task) for task in results.tasks]
    return Agreement(
        tuple(Compared(measure, comparison(results, measure)) for measure in known),
        tuple(group for group in groups if group.plots),
        {SOLVED: "of a trajectory that ends solved", UNSOLVED: "of one that does not"},
        tuple(_undefined(results, records)),
    )


def _has_values(results: Results, measure: Measure) -> bool:
    variants = results.summary["variants"]
    return any(results.entry(variant, metric=measure.name)["n"] for variant in variants)


def _undefined(results: Results, records: Sequence[Record]) -> list[str]:
    counted: Counter[tuple[str, str]] = Counter()
    for record in records:
        counted.update(record.info.get("undefined", {}).items())
    return [
        f"{results.label(name)}: none in {plural(count, results.unit)}, as {reason}"
        for (name, reason), count in counted.items()
    ]


def _group(results: Results, records: Sequence[Record], task: str) -> TaskGroup:
    """Return a plot for each camera, of its first seed."""
    first: dict[str, Record] = {}
    for record in sorted(records, key=lambda record: record.seed):
        if record.task == task and record.info.get("courses"):
            first.setdefault(camera_key(record), record)
    plots = tuple(_plot(camera, record.info["courses"]) for camera, record in first.items())
    entry = results.entry(MAIN, task=task)
    return TaskGroup(task, results.tasks[task], results.primary.text(entry["mean"]), plots)


def _plot(camera: str, courses: Sequence[Mapping[str, Any]]) -> Plot:
    x = value_axis(error for course in courses for error in course["error"])
    y = value_axis(distance for course in courses for distance in course["distance"])
    dots = tuple(_points(course, x, y) for course in courses)
    return Plot(camera, x, y, dots=dots)


def _points(course: Mapping[str, Any], x: Axis, y: Axis) -> Shape:
    pairs = np.array([course["error"], course["distance"]], dtype=np.float64).T.tolist()
    path = "".join(dot(error, distance, x, y) for error, distance in pairs)
    return Shape(path, f"{SOLVED if course['solved'] else UNSOLVED} fine", course["name"])
