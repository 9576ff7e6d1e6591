"""Distance curves: how far each frame of a video is from its last one, and what that tells.

An encoder whose distance is a useful reward gives a curve that falls steadily.

Shapes: T frames, D embedding size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import scipy.stats
from numpy.typing import NDArray

from vipl.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

Distances = NDArray[np.floating]

SAME = "the embeddings do not differ"
"""Why a curve has no figures."""

_ROUNDING = 1e-6  # of the largest: what differs by less differs by rounding


class Curve(NamedTuple):
    """The distance curve of one held-out clip.

    Attributes:
        clip_id: Of the clip.
        times: [T], frame numbers in the clip.
        distances: [T], to the last frame.
        frames: uint8 [T, 3, S, S].
    """

    clip_id: str
    times: NDArray[np.int64]
    distances: NDArray[np.floating]
    frames: Tensor


@dataclass(frozen=True)
class CurveMetrics:
    """Figures of one distance curve; nan where it does not change, and so tells nothing.

    Attributes:
        bumps: Share of steps on which the distance grows; 0 is best.
        value_order_correlation: Spearman's rank correlation of -distance and time; 1 is best.
        normalised_distance: Mean distance over the curve, as a share of the first frame's; a
            straight fall gives 0.5.
    """

    bumps: float
    value_order_correlation: float
    normalised_distance: float


def distances_to_last(embeddings: Distances, distance: Literal["l2", "cosine"] = "l2") -> Distances:
    """Return how far each frame is from the last one.

    Args:
        embeddings: float [T, D].
        distance: "l2", ||phi(o_t) - phi(o_last)||; or "cosine", 1 - cos.

    Returns:
        float [T].

    Raises:
        UserError: As `distances_to`.
    """
    return distances_to(embeddings, embeddings[-1], distance)


def distances_to(
    embeddings: Distances, goal: Distances, distance: Literal["l2", "cosine"] = "l2"
) -> Distances:
    """Return how far each frame is from a goal.

    Args:
        embeddings: float [T, D].
        goal: float [D].
        distance: As in `distances_to_last`.

    Returns:
        float [T]; 0 everywhere where embeddings and goal differ by rounding errors only.

    Raises:
        UserError: If a distance is not finite.
    """
    if distance == "cosine":
        size, result = 1.0, 1 - _unit(embeddings) @ _unit(goal)
    else:
        size = float(np.linalg.norm(goal))
        result = np.linalg.norm(embeddings - goal, axis=-1)
    if not np.isfinite(result).all():
        wrong = int((~np.isfinite(result)).sum())
        raise UserError(
            f"{wrong} of {len(result)} distances are not finite, expected embeddings that are: "
            "take an encoder from before its training went wrong, such as an earlier checkpoint"
        )
    if np.abs(result).max(initial=0) <= _ROUNDING * size:
        return np.zeros_like(result)
    return np.asarray(result)


def is_constant(distances: Distances) -> bool:
    """Return whether a curve [T] stays as it is, but for rounding errors."""
    return bool(np.ptp(distances) <= _ROUNDING * np.abs(distances).max(initial=0))


def curve_metrics(distances: Distances) -> CurveMetrics:
    """Return the figures of a curve.

    Args:
        distances: [T], T >= 2, in time order; the last is 0.

    Raises:
        ValueError: If there are fewer than two.
    """
    return CurveMetrics(
        bumps=bumps(distances),
        value_order_correlation=value_order_correlation(distances),
        normalised_distance=normalised_distance(distances),
    )


def bumps(distances: Distances) -> float:
    """Return the share of steps on which the distance to the last frame grows.

    Source: arXiv 2210.00030, section 6. The paper takes the first 50 frames of each video; here
    it is all frames given. A curve that does not change has no bumps to count, and is not a good
    one: nan, as with a distance that is not finite.

    Raises:
        ValueError: If there are fewer than two frames.
    """
    if not _changes(distances):
        return math.nan
    return float(np.mean(np.diff(distances) > 0))


def value_order_correlation(distances: Distances) -> float:
    """Return Spearman's rank correlation of -distance and time, in [-1, 1].

    A curve that does not change orders nothing: nan, as with a distance that is not finite.

    Raises:
        ValueError: If there are fewer than two frames.
    """
    if not _changes(distances):
        return math.nan
    return float(scipy.stats.spearmanr(-distances, np.arange(len(distances))).statistic)


def normalised_distance(distances: Distances) -> float:
    """Return the mean distance over the curve, as a share of the first frame's.

    Where the first is 0 there is no such share: nan, as with a curve that does not change.

    Raises:
        ValueError: If there are fewer than two frames.
    """
    if not _changes(distances) or not distances[0] > 0:
        return math.nan
    return float(distances.mean() / distances[0])


def mean_of_known(values: Sequence[float]) -> float:
    """Return the mean of those that are not nan; nan where none is."""
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan


def _unit(vectors: Distances) -> Distances:
    """Return vectors [..., D] of the length 1; one without a direction stays 0."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, np.finfo(np.float32).tiny))


def _changes(distances: Distances) -> bool:
    """Return whether there is a curve at all: finite, and not the same everywhere."""
    if distances.ndim != 1 or len(distances) < 2:
        raise ValueError(f"a curve of the shape {distances.shape}, expected [T] with T >= 2")
    return bool(np.isfinite(distances).all()) and not is_constant(distances)
