"""Shapes that a page draws in its own colours: axes, curves, bands and dots.

A plot here knows positions only. The page's style sheet gives each `kind` its colour, so that a
plot follows the theme; its text is the page's own, so that it stays legible at any width.

Shapes: N episodes, T steps.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from vipl.evaluation.intervals import Values

SIZE = 1000  # of a plot's own square coordinates, which the page stretches
MAX_POINTS = 101


@dataclass(frozen=True)
class Tick:
    """A mark on an axis: its text, and where it is, in per cent of the axis."""

    text: str
    at: float


@dataclass(frozen=True)
class Axis:
    """A range of values and its marks."""

    low: float
    high: float
    ticks: tuple[Tick, ...]

    def at(self, value: float) -> float:
        """Return where a value is, in per cent of the axis."""
        return round(100 * (value - self.low) / (self.high - self.low), 2)

    def scale(self, values: Values) -> Values:
        """Return where values are, in plot coordinates from the axis's low end."""
        scaled: Values = SIZE * (values - self.low) / (self.high - self.low)
        return scaled


@dataclass(frozen=True)
class Shape:
    """Something drawn: an SVG path, the kind that styles it, and what it says when pointed at."""

    path: str
    kind: str
    title: str = ""


@dataclass(frozen=True)
class Plot:
    """One plot: bands below lines below dots.

    `label` says what its values are, and `kinds` names the kinds of its lines.
    """

    label: str
    x: Axis
    y: Axis
    bands: tuple[Shape, ...] = ()
    lines: tuple[Shape, ...] = ()
    dots: tuple[Shape, ...] = ()
    kinds: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Curve:
    """The mean over episodes and their quartiles, at steps where any has a value."""

    steps: Values
    mean: Values
    lower: Values
    upper: Values


def value_axis(values: Iterable[float], *, ticks: int = 4) -> Axis:
    """Return an axis that holds zero and the values, with round marks."""
    finite = [value for value in values if np.isfinite(value)]
    low, high = min([0.0, *finite]), max([0.0, *finite])
    high = high if high > low else low + 1
    marks = MaxNLocator(nbins=ticks, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    margin = 0.04 * (high - low)
    low, high = low - margin if low < 0 else 0.0, high + margin
    return _axis(low, high, [mark for mark in marks if low <= mark <= high])


def rate_axis() -> Axis:
    """Return an axis from 0 to 100 %."""
    marks = (0.0, 0.25, 0.5, 0.75, 1.0)
    return Axis(0, 1, tuple(Tick(f"{mark:.0%}", 100 * mark) for mark in marks))


def step_axis(last: int, *, ticks: int = 4) -> Axis:
    """Return an axis of steps, from 0 to the last."""
    high = max(last, 1)
    marks = MaxNLocator(nbins=ticks, integer=True, steps=[1, 2, 5, 10]).tick_values(0, high)
    return _axis(0, high, [mark for mark in marks if 0 <= mark <= high])


def budget_axis(budgets: Sequence[int]) -> Axis:
    """Return a logarithmic axis of numbers of samples; its values are their `log2`."""
    places = np.log2(budgets)
    low, high = places.min() - 0.4, places.max() + 0.4
    marks = [
        Tick(str(budget), round(100 * (place - low) / (high - low), 2))
        for budget, place in zip(budgets, places.tolist(), strict=True)
    ]
    return Axis(low, high, tuple(marks))


def stack(traces: Sequence[Sequence[float | None]]) -> Values:
    """Return traces as [N, T], NaN where one has ended or holds no number."""
    length = max(map(len, traces), default=0)
    values = np.full((len(traces), length), np.nan)
    for row, trace in zip(values, traces, strict=True):
        row[: len(trace)] = np.array(trace, dtype=np.float64)
    values[~np.isfinite(values)] = np.nan
    return values


def average(traces: Sequence[Sequence[float | None]]) -> Curve:
    """Return the mean and quartiles over the traces that have a value at a step."""
    values = stack(traces)
    known = np.flatnonzero(np.isfinite(values).any(axis=0))
    steps = known[thinned(len(known))]
    values = values[:, steps]
    lower, upper = np.nanpercentile(values, (25, 75), axis=0)
    return Curve(steps.astype(np.float64), np.nanmean(values, axis=0), lower, upper)


def thinned(length: int) -> NDArray[np.int64]:
    """Return which of a number of points to draw: first and last, and evenly between them."""
    return np.unique(np.linspace(0, length - 1, min(length, MAX_POINTS)).round()).astype(np.int64)


def line(x: Values, y: Values, plot_x: Axis, plot_y: Axis) -> str:
    """Return the SVG path through points; it is broken where y is NaN."""
    columns, rows = plot_x.scale(x), SIZE - plot_y.scale(y)
    parts, pen = [], "M"
    for column, row in zip(columns.tolist(), rows.tolist(), strict=True):
        if np.isnan(row):
            pen = "M"
            continue
        parts.append(f"{pen}{column:.0f} {row:.0f}")
        pen = "L"
    return "".join(parts)


def band(curve: Curve, plot_x: Axis, plot_y: Axis) -> str:
    """Return the SVG path around the area between a curve's quartiles."""
    steps = np.concatenate([curve.steps, curve.steps[::-1]])
    edges = np.concatenate([curve.upper, curve.lower[::-1]])
    return line(steps, edges, plot_x, plot_y) + "Z"


def bar(x: float, low: float, high: float, plot_x: Axis, plot_y: Axis) -> str:
    """Return the SVG path of an upright interval."""
    return line(np.array([x, x]), np.array([low, high]), plot_x, plot_y)


def dot(x: float, y: float, plot_x: Axis, plot_y: Axis) -> str:
    """Return the SVG path of a point, which a round line cap makes a disc."""
    return line(np.array([x]), np.array([y]), plot_x, plot_y) + "h0"


def _axis(low: float, high: float, marks: Iterable[float]) -> Axis:
    empty = Axis(float(low), float(high), ())
    ticks = (Tick(_mark(float(mark)), empty.at(float(mark))) for mark in marks)
    return Axis(empty.low, empty.high, tuple(ticks))


def _mark(value: float) -> str:
    text = f"{value:,.0f}" if 1000 <= abs(value) < 1e6 else f"{round(value, 12):g}"
    return text.replace("-", "\N{MINUS SIGN}")
