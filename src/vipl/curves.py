"""Distance curves: how far each frame of a video is from its last one, and what that tells.

An encoder whose distance is a useful reward gives a curve that falls steadily.

Shapes: T frames, D embedding size.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy.stats
from numpy.typing import NDArray

Distances = NDArray[np.floating]


@dataclass(frozen=True)
class CurveMetrics:
    """Figures of one distance curve.

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
        float [T].
    """
    if distance == "cosine":
        embeddings = embeddings / np.linalg.norm(embeddings, axis=-1, keepdims=True)
        return np.asarray(1 - embeddings @ (goal / np.linalg.norm(goal)))
    result: Distances = np.linalg.norm(embeddings - goal, axis=-1)
    return result


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
    it is all frames given.

    Raises:
        ValueError: If there are fewer than two frames.
    """
    _check(distances)
    return float(np.mean(np.diff(distances) > 0))


def value_order_correlation(distances: Distances) -> float:
    """Return Spearman's rank correlation of -distance and time, in [-1, 1].

    A constant curve orders nothing: 0.

    Raises:
        ValueError: If there are fewer than two frames.
    """
    _check(distances)
    if np.ptp(distances) == 0:
        return 0.0
    return float(scipy.stats.spearmanr(-distances, np.arange(len(distances))).statistic)


def normalised_distance(distances: Distances) -> float:
    """Return the mean distance over the curve, as a share of the first frame's.

    Raises:
        ValueError: If there are fewer than two frames.
    """
    _check(distances)
    return float(distances.mean() / distances[0]) if distances[0] > 0 else 0.0


def _check(distances: Distances) -> None:
    if distances.ndim != 1 or len(distances) < 2:
        raise ValueError(f"a curve of the shape {distances.shape}, expected [T] with T >= 2")
