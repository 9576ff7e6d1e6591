"""The report's parts where tasks are a sample, such as clips: their distribution, not each of them.

Distances of encoders differ by orders of magnitude; here they are shares of the largest in their
run, so that all can be drawn on one scale.

Shapes: N runs, T steps, P points, B bins.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vipl.evaluation.evaluator import MAIN, RANDOM, RANDOM_GOAL
from vipl.evaluation.intervals import Values
from vipl.evaluation.reports.data import Measure, Results
from vipl.evaluation.reports.plots import (
    MAX_POINTS,
    Axis,
    Curve,
    Plot,
    Shape,
    band,
    line,
    rate_axis,
    value_axis,
)
from vipl.evaluation.reports.statistics import metric_of
from vipl.evaluation.reports.success import Rows, comparison
from vipl.evaluation.reports.traces import DISTANCE, TaskGroup, episode_groups
from vipl.evaluation.results import Record

_VARIANTS = (MAIN, RANDOM, RANDOM_GOAL)
_EACH = 4  # of the best and of the worst
_BINS = 40  # an even number, so that zero is an edge
_SHOWN_STEPS = 99.0  # per cent of the steps that the axis of rewards holds


@dataclass(frozen=True)
class Compared:
    """A metric of all variants."""

    measure: Measure
    rows: Rows


@dataclass(frozen=True)
class Rewards:
    """The histogram of single steps' rewards.

    Attributes:
        plot: Shares of steps by their reward.
        below: Variant to the share of its steps below zero, and how many runs have steps.
    """

    plot: Plot
    below: Mapping[str, str]


@dataclass(frozen=True)
class Samples:
    """What there is to say of sampled tasks.

    Attributes:
        metrics: All of them, the primary one first.
        curve: The mean distance over the length of a task, or None where none was recorded.
        rewards: Or None likewise.
        best: Those of the encoder under test with the best values of the primary metric.
        worst: Those with the worst; empty where `best` holds all.
    """

    metrics: tuple[Compared, ...]
    curve: Plot | None
    rewards: Rewards | None
    best: tuple[TaskGroup, ...]
    worst: tuple[TaskGroup, ...]


def samples(results: Results) -> Samples:
    """Return the parts for a run whose tasks are a sample."""
    shares = {variant: _shares(results.of(variant)) for variant in _VARIANTS}
    shares = {variant: own for variant, own in shares.items() if own}
    best, worst = _extremes(results)
    return Samples(
        tuple(Compared(measure, comparison(results, measure)) for measure in results.measures),
        _mean_curves(results, shares) if shares else None,
        _rewards(results, shares) if shares else None,
        episode_groups(results, best),
        episode_groups(results, worst),
    )


def _shares(records: Sequence[Record]) -> list[Values]:
    """Return each run's distances [T] as shares of its largest, those that never move left out."""
    traces = [np.asarray(record.traces.get(DISTANCE, ()), dtype=np.float64) for record in records]
    known = [trace for trace in traces if len(trace) > 1 and np.isfinite(trace).all()]
    return [trace / trace.max() for trace in known if trace.max() > 0]


def _mean_curves(results: Results, shares: Mapping[str, Sequence[Values]]) -> Plot:
    curves = {variant: _curve(own) for variant, own in shares.items()}
    x = rate_axis()
    y = value_axis([1.0])
    return Plot(
        label=results.label(DISTANCE),
        x=x,
        y=y,
        bands=(Shape(band(curves[MAIN], x, y), MAIN),) if MAIN in curves else (),
        lines=tuple(
            Shape(line(curve.steps, curve.mean, x, y), variant, results.variant_label(variant))
            for variant, curve in reversed(curves.items())
        ),
        kinds={variant: results.variant_label(variant) for variant in curves},
    )


def _curve(shares: Sequence[Values]) -> Curve:
    """Return mean and quartiles over runs, at P points from their first to their last step."""
    points = np.linspace(0, 1, MAX_POINTS)
    values = np.array([np.interp(points, np.linspace(0, 1, len(own)), own) for own in shares])
    lower, upper = np.percentile(values, (25, 75), axis=0)
    return Curve(points, values.mean(axis=0), lower, upper)


def _rewards(results: Results, shares: Mapping[str, Sequence[Values]]) -> Rewards:
    """Return the histogram; every run counts alike, however many steps it has."""
    rewards = {variant: -np.concatenate(list(map(np.diff, own))) for variant, own in shares.items()}
    reach = float(np.percentile(np.abs(np.concatenate(list(rewards.values()))), _SHOWN_STEPS)) or 1
    edges = np.linspace(-reach, reach, _BINS + 1)
    weights = {
        variant: np.concatenate([np.full(len(o) - 1, 1 / (len(o) - 1) / len(own)) for o in own])
        for variant, own in shares.items()
    }
    heights = {
        variant: np.histogram(values.clip(-reach, reach), edges, weights=weights[variant])[0]
        for variant, values in rewards.items()
    }
    below = {
        results.variant_label(variant): f"{100 * weights[variant][values < 0].sum():.0f}%"
        for variant, values in rewards.items()
    }
    return Rewards(_histogram(results, edges, heights), below)


def _histogram(results: Results, edges: Values, heights: Mapping[str, Values]) -> Plot:
    x = value_axis(edges.tolist(), ticks=6)
    y = value_axis(height for own in heights.values() for height in own.tolist())
    outlines = {variant: _outline(edges, own, x, y) for variant, own in heights.items()}
    zero = line(np.zeros(2), np.array([y.low, y.high]), x, y)
    return Plot(
        label="share of steps",
        x=x,
        y=y,
        bands=(Shape(outlines[MAIN] + "Z", MAIN),) if MAIN in outlines else (),
        lines=(
            Shape(zero, "zero"),
            *(
                Shape(path, variant, results.variant_label(variant))
                for variant, path in reversed(outlines.items())
            ),
        ),
        kinds={variant: results.variant_label(variant) for variant in heights},
    )


def _outline(edges: Values, heights: Values, x: Axis, y: Axis) -> str:
    """Return the path around a histogram's bars, from its first edge to its last."""
    steps = np.concatenate([[0.0], np.repeat(heights, 2), [0.0]])
    return line(np.repeat(edges, 2), steps, x, y)


def _extremes(results: Results) -> tuple[list[str], list[str]]:
    """Return the tasks with the best and with the worst values of the primary metric."""
    values: dict[str, list[float]] = {}
    for record in results.of(MAIN):
        value = metric_of(record, results.primary.name)
        if value is not None and record.traces.get(DISTANCE):
            values.setdefault(record.task, []).append(value)
    sign = -1 if results.primary.higher_is_better else 1
    order = sorted(values, key=lambda task: (sign * float(np.mean(values[task])), task))
    if len(order) <= 2 * _EACH:
        return order, []
    return order[:_EACH], order[: -_EACH - 1 : -1]
