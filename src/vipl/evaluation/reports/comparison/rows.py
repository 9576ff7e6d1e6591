"""Rows of a page: means, and differences from a baseline, with their intervals on a track."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from vipl.evaluation.intervals import Interval
from vipl.evaluation.reports.comparison.text import signed
from vipl.evaluation.reports.data import Measure
from vipl.evaluation.reports.plots import Axis, rate_axis, value_axis
from vipl.evaluation.reports.success import Row, Rows

_POINTS = 100  # in which differences of rates are drawn


def make_row(name: str, kind: str, texts: tuple[str, str], interval: Interval, axis: Axis) -> Row:
    """Return a row; its texts are the figure, and what stands under it."""

    def at(value: float | None) -> float | None:
        return None if value is None else axis.at(value)

    text, _, limits = texts[0].partition(" ")
    return Row(
        name=name,
        kind=kind,
        text=text,
        interval=limits,
        count=texts[1],
        mean=at(interval.mean),
        low=at(interval.low),
        high=at(interval.high),
    )


def mean_axis(measure: Measure, intervals: Iterable[Interval]) -> Axis:
    """Return the axis that holds means of a metric: from 0 to 100 % for rates."""
    return rate_axis() if measure.binary else value_axis(_ends(intervals))


def difference_rows(
    measure: Measure, lines: Sequence[tuple[str, str, Interval, str]], axis: Axis | None = None
) -> Rows:
    """Return differences from a baseline as rows; those of rates in percentage points.

    Args:
        measure: The metric.
        lines: Each a name, a kind, the difference, and what stands under it.
        axis: That other rows share, or None for one of their own.
    """
    axis = axis or difference_axis(measure, [line[2] for line in lines])
    rows = (
        make_row(name, kind, (signed(measure, one), count), _drawn(measure, one), axis)
        for name, kind, one, count in lines
    )
    return Rows(axis, tuple(rows))


def difference_axis(measure: Measure, intervals: Iterable[Interval]) -> Axis:
    """Return the axis that holds differences of a metric."""
    return value_axis(_ends(_drawn(measure, one) for one in intervals))


def _drawn(measure: Measure, one: Interval) -> Interval:
    """Return a difference in the unit in which it is drawn."""
    if not measure.binary:
        return one
    mean, low, high = (
        None if end is None else _POINTS * end for end in (one.mean, one.low, one.high)
    )
    return replace(one, mean=mean, low=low, high=high)


def _ends(intervals: Iterable[Interval]) -> list[float]:
    ends = [end for one in intervals for end in (one.mean, one.low, one.high)]
    return [end for end in ends if end is not None]
