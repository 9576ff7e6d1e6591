"""Means and their bootstrap intervals."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Values: TypeAlias = NDArray[np.float64]


CONFIDENCE = 0.95


RESAMPLES = 9999


BATCH_VALUES = 4_000_000  # resampled at a time: 32 MB


@dataclass(frozen=True)
class Interval:
    """A mean and its confidence interval.

    Attributes:
        mean: None where there is no value.
        low: None where the values do not tell.
        high: None where the values do not tell.
        n: How many values.
    """

    mean: float | None
    low: float | None
    high: float | None
    n: int


def bootstrap_mean(
    values: Sequence[float],
    *,
    strata: Sequence[Hashable] | None = None,
    binary: bool | None = None,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> Interval:
    """Return the mean and its percentile bootstrap interval (Efron and Tibshirani, 1993, ch. 13).

    With strata it is the mean of the strata's means, and values are resampled within their
    stratum. Where that cannot tell the spread (a stratum has one value, or none of them varies)
    all values are resampled together, each with the weight that it has in that mean.

    Resampling one value, or equal ones, gives no interval at all. There a binary metric gets the
    Wilson score interval (Wilson, 1927); for any other metric low and high are None if there is
    one value, and the value itself if there are several.

    Args:
        values: One an episode, finite.
        strata: The stratum of each value, such as its task.
        binary: Whether the metric can only be 0 or 1; None: if all the values are.
        confidence: Between 0 and 1.
        seed: Of the resampling: equal arguments give equal intervals.

    Raises:
        ValueError: If a value is not finite, or the lengths differ.
    """
    array = np.asarray(values, dtype=np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"values must be finite, got {array[~np.isfinite(array)].tolist()}")
    labels = [0] * len(array) if strata is None else list(strata)
    if len(labels) != len(array):
        raise ValueError(f"{len(array)} values have {len(labels)} strata, expected one for each")
    groups: dict[Hashable, list[float]] = defaultdict(list)
    for label, value in zip(labels, array.tolist(), strict=True):
        groups[label].append(value)
    if not len(array):
        return Interval(None, None, None, 0)
    samples = [np.array(group) for group in groups.values()]
    mean = float(np.mean([sample.mean() for sample in samples]))
    if len(array) == 1 or np.ptp(array) == 0:
        low, high = _degenerate(array, binary, confidence)
    elif min(map(len, samples)) > 1 and any(np.ptp(sample) > 0 for sample in samples):
        low, high = _percentiles(samples, _mean_of_means, confidence, seed)
    else:
        weights = np.array([1 / (len(groups) * len(groups[label])) for label in labels])
        low, high = _percentiles([array, weights], _weighted, confidence, seed, paired=True)
    return Interval(mean, low, high, len(array))


def _percentiles(
    samples: Sequence[Values],
    statistic: Callable[..., Values],
    confidence: float,
    seed: int,
    *,
    paired: bool = False,
) -> tuple[float, float]:
    result = stats.bootstrap(
        samples,
        statistic,
        n_resamples=RESAMPLES,
        batch=max(1, BATCH_VALUES // sum(map(len, samples))),
        vectorized=True,
        paired=paired,
        confidence_level=confidence,
        method="percentile",
        random_state=np.random.default_rng(seed),
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def _mean_of_means(*samples: Values, axis: int) -> Values:
    means: Values = np.mean([sample.mean(axis=axis) for sample in samples], axis=0)
    return means


def _weighted(values: Values, weights: Values, axis: int) -> Values:
    means: Values = (values * weights).sum(axis=axis) / weights.sum(axis=axis)
    return means


def _degenerate(
    array: Values, binary: bool | None, confidence: float
) -> tuple[float | None, float | None]:
    if binary is None:
        binary = bool(np.isin(array, (0, 1)).all())
    if binary:
        test = stats.binomtest(int(array.sum()), len(array))
        wilson = test.proportion_ci(confidence, method="wilson")
        return float(wilson.low), float(wilson.high)
    return (None, None) if len(array) == 1 else (float(array[0]), float(array[0]))
