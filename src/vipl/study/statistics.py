"""Intervals over trainings and samples: how a figure would vary with other seeds and other clips.

Shapes: S trainings (seeds) of an encoder, G samples that each of them was evaluated on (tasks, or
demonstrations), R resamples.
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from vipl.evaluation.intervals import CONFIDENCE, RESAMPLES, Interval, bootstrap_mean

Table: TypeAlias = NDArray[np.float64]
"""Values of an encoder, finite: [S, G]."""


def mean(table: Table, *, binary: bool) -> Interval:
    """Return the mean over trainings and samples, with an interval over both.

    Trainings and samples are resampled independently of each other (the crossed, or "pigeonhole",
    bootstrap: Owen, 2007), since samples are the same for all trainings. With one training the
    interval is over samples alone. Where no value differs, it is that of `bootstrap_mean`.

    Args:
        table: [S, G].
        binary: Whether a value can only be 0 or 1.
    """
    if table.size == 0:
        return Interval(None, None, None, 0)
    if np.ptp(table) == 0:
        return bootstrap_mean(table.ravel().tolist(), binary=binary)
    rng = np.random.default_rng(0)
    samples = _resample(rng, table.shape[1])
    return _interval(float(table.mean()), _means(table, samples, rng), table.size)


def difference(ours: Table, theirs: Table) -> Interval:
    """Return mean(ours - theirs): samples are resampled in pairs, trainings independently.

    Args:
        ours: [S, G].
        theirs: [S', G], on the same samples in the same order.

    Raises:
        ValueError: If the numbers of samples differ.
    """
    if ours.shape[1] != theirs.shape[1]:
        raise ValueError(f"{ours.shape[1]} samples against {theirs.shape[1]}")
    number = min(ours.size, theirs.size)
    if not number:
        return Interval(None, None, None, 0)
    mean = float(ours.mean() - theirs.mean())
    if np.ptp(ours) == 0 and np.ptp(theirs) == 0:  # resampling tells nothing
        return Interval(mean, None, None, number)
    rng = np.random.default_rng(0)
    samples = _resample(rng, ours.shape[1])
    return _interval(mean, _means(ours, samples, rng) - _means(theirs, samples, rng), number)


def paired(ours: Table, theirs: Table) -> tuple[Table, Table]:
    """Leave out what either table lacks (NaN), samples first."""
    known = np.isfinite(ours).all(axis=0) & np.isfinite(theirs).all(axis=0)
    return ours[:, known], theirs[:, known]


def _resample(rng: np.random.Generator, number: int) -> NDArray[np.int64]:
    return rng.integers(number, size=(RESAMPLES, number))


def _means(table: Table, samples: NDArray[np.int64], rng: np.random.Generator) -> Table:
    """Return [R] means of a table under resampled samples [R, G] and trainings."""
    trainings = _resample(rng, len(table))  # [R, S]
    weights = np.zeros((RESAMPLES, len(table)))
    np.add.at(weights, (np.arange(RESAMPLES)[:, None], trainings), 1 / len(table))
    counts = np.zeros((RESAMPLES, table.shape[1]))
    np.add.at(counts, (np.arange(RESAMPLES)[:, None], samples), 1 / table.shape[1])
    result: Table = np.einsum("rs,sg,rg->r", weights, table, counts, optimize=True)
    return result


def _interval(mean: float, draws: Table, number: int) -> Interval:
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(draws, [tail, 100 - tail])
    return Interval(mean, float(low), float(high), number)
