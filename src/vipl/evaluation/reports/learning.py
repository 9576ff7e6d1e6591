"""The part of a report about how policies came to what they do: success and return over training.

Shapes: K evaluations.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vipl.evaluation.evaluator import MAIN
from vipl.evaluation.intervals import Values
from vipl.evaluation.reports.data import VARIANTS, Results
from vipl.evaluation.reports.plots import (
    Axis,
    Plot,
    Shape,
    dot,
    line,
    rate_axis,
    step_axis,
    value_axis,
)
from vipl.evaluation.results import Record

PROGRESS = "progress"

_MAX_DOTS = 60


@dataclass(frozen=True)
class TaskLearning:
    """One task's curves, each variant a line."""

    name: str
    label: str
    plot: Plot


@dataclass(frozen=True)
class Learning:
    """Success over training, and the encoder's own return.

    Attributes:
        success: The mean over all trainings of each variant.
        returns: Of the trainings of the encoder under test, one line each; None where the data
            are given and nothing is acted out.
        tasks: Success, task by task.
        kinds: Of the lines, with their names.
    """

    success: Plot
    returns: Plot | None
    tasks: tuple[TaskLearning, ...]
    kinds: Mapping[str, str]


def learning(results: Results) -> Learning | None:
    """Return the learning curves, or None where nothing was learnt."""
    trained = {variant: _trained(results.of(variant)) for variant in VARIANTS}
    trained = {variant: records for variant, records in trained.items() if records}
    if not trained:
        return None
    everything = [record for records in trained.values() for record in records]
    x = step_axis(max(int(record.info[PROGRESS][-1]["step"]) for record in everything))
    tasks = [
        TaskLearning(task, label, _success(_of_task(trained, task), x))
        for task, label in results.tasks.items()
        if _of_task(trained, task)
    ]
    return Learning(
        success=_success(trained, x),
        returns=_returns(trained.get(MAIN, []), x),
        tasks=tuple(tasks) if len(tasks) > 1 else (),
        kinds={variant: results.variant_label(variant) for variant in trained},
    )


def _trained(records: Sequence[Record]) -> list[Record]:
    return [record for record in records if record.info.get(PROGRESS)]


def _of_task(trained: Mapping[str, Sequence[Record]], task: str) -> dict[str, list[Record]]:
    found = {v: [r for r in records if r.task == task] for v, records in trained.items()}
    return {variant: records for variant, records in found.items() if records}


def _success(trained: Mapping[str, Sequence[Record]], x: Axis) -> Plot:
    y = rate_axis()
    lines, dots = [], []
    for variant, records in trained.items():
        steps, rates = _mean(records, "success")
        lines.append(Shape(line(steps, rates, x, y), variant))
        if len(steps) <= _MAX_DOTS:
            dots += [
                Shape(dot(step, rate, x, y), variant, f"{step:,.0f} steps: {rate:.0%}")
                for step, rate in zip(steps.tolist(), rates.tolist(), strict=True)
            ]
    return Plot("success", x, y, lines=tuple(lines[::-1]), dots=tuple(dots[::-1]))


def _returns(records: Sequence[Record], x: Axis) -> Plot | None:
    curves = [_values([record], "mean_return") for record in records]
    curves = [(steps, values) for steps, values in curves if len(values)]
    if not curves:
        return None
    y = value_axis(value for _, values in curves for value in values.tolist())
    lines = tuple(Shape(line(steps, values, x, y), MAIN) for steps, values in curves)
    return Plot("return of an episode of training", x, y, lines=lines)


def _mean(records: Sequence[Record], name: str) -> tuple[Values, Values]:
    """Return the steps [K] at which any training was evaluated, and the means [K]."""
    steps, values = _values(records, name)
    unique = np.unique(steps)
    return unique, np.array([values[steps == step].mean() for step in unique])


def _values(records: Sequence[Record], name: str) -> tuple[Values, Values]:
    points = [
        (float(each["step"]), float(each[name]))
        for record in records
        for each in record.info[PROGRESS]
        if each.get(name) is not None
    ]
    steps, values = np.array(points).reshape(-1, 2).T
    return steps, values
