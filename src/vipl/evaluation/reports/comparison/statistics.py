"""Figures that tell two runs of the same cells apart, with their intervals.

They are those of Agarwal et al., "Deep Reinforcement Learning at the Edge of the Statistical
Precipice" (NeurIPS 2021, arXiv 2108.13264). What they call a run of a task is here an episode of
it: one camera and seed. Tasks need not have equally many.

Shapes: M tasks, N_m episodes of task m, R resamples.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import numpy as np
from scipy import stats

from vipl.evaluation.intervals import (
    BATCH_VALUES,
    CONFIDENCE,
    RESAMPLES,
    Interval,
    Values,
    bootstrap_mean,
)

Scores: TypeAlias = Sequence[Values]
"""The episodes' values of each task: M arrays [N_m], N_m >= 1, finite."""

_EXACT = 13  # pairs, of which all signs are tried
_TRIMMED = 0.25  # from each end


def mean(scores: Scores, *, binary: bool) -> Interval:
    """Return the mean over tasks of the tasks' means.

    Episodes are resampled within their task, or together where that does not tell: see
    `bootstrap_mean`, of which this differs only in claiming no interval for one episode, nor one
    without width.

    Args:
        scores: Of one run.
        binary: Whether a value can only be 0 or 1.
    """
    values, strata = _flat(scores)
    return _told(bootstrap_mean(values, strata=strata, binary=binary))


def interquartile_mean(scores: Scores, *, binary: bool, seed: int = 0) -> Interval:
    """Return the mean of the middle half: a quarter of the scores is left out at each end.

    The scores are all episodes of all tasks. Of values that are 0 or 1, whose middle half says no
    more than their mean, they are the tasks' means instead. Episodes are resampled within their
    task; where that tells no spread, the scores are resampled together.

    Args:
        scores: Of one run.
        binary: Whether a value can only be 0 or 1.
        seed: Of the resampling.
    """
    rng = np.random.default_rng(seed)
    pooled = _scored(scores, binary)

    def within(count: int) -> Values:
        drawn = [values[rng.integers(len(values), size=(count, len(values)))] for values in scores]
        return _middle(_scored(drawn, binary))

    def together(count: int) -> Values:
        return _middle(pooled[rng.integers(len(pooled), size=(count, len(pooled)))])

    sizes = [len(values) for values in scores]
    draws = _draws(within if min(sizes) > 1 else None, together, size=sum(sizes))
    return _interval(float(_middle(pooled)), draws, n=sum(sizes))


def difference(ours: Scores, theirs: Scores, *, binary: bool) -> Interval:
    """Return the mean over tasks of (ours - theirs), paired: episodes are resampled in pairs.

    Resampling equal differences gives no interval. There a binary metric gets the one that
    follows from both rates' Wilson intervals (Newcombe, "Interval estimation for the difference
    between independent proportions", 1998, method 10).

    Args:
        ours: Of one run.
        theirs: Of another, the same episodes in the same order.
        binary: Whether a value can only be 0 or 1.

    Raises:
        ValueError: If the numbers of episodes differ.
    """
    pairs = [one - other for one, other in zip(ours, theirs, strict=True)]
    values, strata = _flat(pairs)
    if binary and len(values) > 1 and np.ptp(values) == 0:
        return _newcombe(values[0], _flat(ours)[0], _flat(theirs)[0])
    return _told(bootstrap_mean(values, strata=strata, binary=False))


def p_value(ours: Scores, theirs: Scores, *, seed: int = 0) -> float:
    """Return the two-sided p of a sign-flip test of `difference` (Fisher, 1935, section 21).

    If the two runs were alike, each pair's difference could as well have the other sign: p is how
    often signs at random bring the mean over tasks as far from 0. It is exact up to 13 pairs. It
    keeps its level however few episodes there are, as bootstrap intervals do not.

    Args:
        ours: Of one run.
        theirs: Of another, the same episodes in the same order.
        seed: Of the signs.
    """
    pairs = [one - other for one, other in zip(ours, theirs, strict=True)]
    parts = np.concatenate([pair / (len(pair) * len(pairs)) for pair in pairs])
    parts = parts[parts != 0]
    observed = abs(parts.sum()) * (1 - 1e-9)
    if len(parts) <= _EXACT:
        signs = 1 - 2 * (np.arange(2 ** len(parts))[:, None] >> np.arange(len(parts)) & 1)
        return float((abs(signs @ parts) >= observed).mean())
    rng = np.random.default_rng(seed)

    def flipped(count: int) -> Values:
        return np.asarray((1 - 2 * rng.integers(2, size=(count, len(parts)))) @ parts)

    (draws,) = _draws(flipped, size=len(parts))
    return float((1 + (abs(draws) >= observed).sum()) / (1 + len(draws)))


def outcomes(ours: Scores, theirs: Scores, *, higher_is_better: bool) -> tuple[int, int, int]:
    """Return in how many paired episodes ours is better, equal and worse."""
    pairs = zip(ours, theirs, strict=True)
    signs = np.concatenate([np.sign(one - other) for one, other in pairs])
    signs = signs if higher_is_better else -signs
    return int((signs > 0).sum()), int((signs == 0).sum()), int((signs < 0).sum())


def probability_of_improvement(
    ours: Scores, theirs: Scores, *, higher_is_better: bool, seed: int = 0
) -> Interval:
    """Return how probably an episode of ours is better than one of theirs on a task of all.

    For each task it is the share, among all N_m x N'_m pairs of an episode of ours and one of
    theirs, of those in which ours is better; equal ones count half. Then the mean over tasks.
    Episodes of both are resampled independently within their task; where that tells no spread,
    tasks are resampled.

    Args:
        ours: Of one run.
        theirs: Of another; the numbers of episodes may differ.
        higher_is_better: The metric's direction.
        seed: Of the resampling.
    """
    rng = np.random.default_rng(seed)
    beaten = _beaten(ours, theirs, higher_is_better)
    tasks = np.array([table.mean() for table in beaten])

    def weights(length: int, count: int) -> Values:
        """Return how often each of some episodes is drawn, as shares: [count, length]."""
        drawn = rng.integers(length, size=(count, length)) + length * np.arange(count)[:, None]
        return np.bincount(drawn.ravel(), minlength=count * length).reshape(count, length) / length

    def within(count: int) -> Values:
        drawn = [
            ((weights(len(table), count) @ table) * weights(table.shape[1], count)).sum(axis=1)
            for table in beaten
        ]
        means: Values = np.mean(drawn, axis=0)
        return means

    def together(count: int) -> Values:
        means: Values = tasks[rng.integers(len(tasks), size=(count, len(tasks)))].mean(axis=1)
        return means

    enough = min(min(table.shape) for table in beaten) > 1
    total = sum(table.shape[0] for table in beaten)
    draws = _draws(within if enough else None, together, size=2 * total)
    return _interval(float(tasks.mean()), draws, n=total)


def share_of_wins(ours: Scores, theirs: Scores, *, higher_is_better: bool) -> float:
    """Return `probability_of_improvement` without its interval."""
    return float(np.mean([t.mean() for t in _beaten(ours, theirs, higher_is_better)]))


def _beaten(ours: Scores, theirs: Scores, higher_is_better: bool) -> list[Values]:
    """Return for each task 1, 1/2 or 0 for each pair of ours and theirs: [N_m, N'_m]."""
    sign = 1 if higher_is_better else -1
    return [
        0.5 + 0.5 * np.sign(sign * (one[:, None] - other[None, :]))
        for one, other in zip(ours, theirs, strict=True)
    ]


def _flat(scores: Scores) -> tuple[list[float], list[int]]:
    values = [value for task in scores for value in task.tolist()]
    return values, [number for number, task in enumerate(scores) for _ in task]


def _scored(scores: Scores, binary: bool) -> Values:
    """Return what the middle half is taken of, from arrays [..., N_m]: [..., scores]."""
    if binary:
        return np.stack([values.mean(axis=-1) for values in scores], axis=-1)
    return np.concatenate(scores, axis=-1)


def _middle(scores: Values) -> Values:
    return np.asarray(stats.trim_mean(scores, _TRIMMED, axis=-1), dtype=np.float64)


def _draws(*ways: Callable[[int], Values] | None, size: int) -> Iterator[Values]:
    """Yield the statistic of R resamples, one way after another; each draws `size` values."""
    batch = max(1, BATCH_VALUES // size)
    for way in ways:
        if way is not None:
            counts = [min(batch, RESAMPLES - done) for done in range(0, RESAMPLES, batch)]
            yield np.concatenate([way(count) for count in counts])


def _interval(estimate: float, draws: Iterator[Values], *, n: int) -> Interval:
    """Return the percentile interval of the first draws that differ, if any do."""
    tail = 50 * (1 - CONFIDENCE)
    for values in draws:
        low, high = np.percentile(values, (tail, 100 - tail)).tolist()
        if high - low > 1e-12 * max(abs(low), abs(high)):
            return Interval(estimate, low, high, n)
    return Interval(estimate, None, None, n)


def _newcombe(estimate: float, ours: Sequence[float], theirs: Sequence[float]) -> Interval:
    (one, low, high), (other, other_low, other_high) = (_wilson(ours), _wilson(theirs))
    below = math.hypot(one - low, other_high - other)
    above = math.hypot(high - one, other - other_low)
    return Interval(estimate, max(-1, estimate - below), min(1, estimate + above), len(ours))


def _wilson(values: Sequence[float]) -> tuple[float, float, float]:
    test = stats.binomtest(int(sum(values)), len(values))
    limits = test.proportion_ci(CONFIDENCE, method="wilson")
    return test.statistic, float(limits.low), float(limits.high)


def _told(interval: Interval) -> Interval:
    """Claim no interval for one episode, nor one without width."""
    if interval.n == 1 or interval.low == interval.high:
        return Interval(interval.mean, None, None, interval.n)
    return interval
