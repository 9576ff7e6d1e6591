"""Correlations of ranks: of distances with true errors, which scale and shape do not change.

Shapes: N states, T steps of a trajectory, P poses of the robot, K places of the object.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import scipy.stats

from vipl.control.environment import Floats

_SAME = 1e-6  # of the largest: distances that differ by less differ by rounding errors


class UndefinedError(ValueError):
    """A correlation with something that is the same everywhere; the message says what."""


@dataclass(frozen=True)
class Course:
    """A trajectory, measured twice.

    Attributes:
        name: Of the trajectory.
        solved: Whether it ends solved.
        distances: To the goal's picture, as the encoder sees it [T + 1].
        errors: The true ones [T + 1], in hundredths of the task's way.
    """

    name: str
    solved: bool
    distances: Floats
    errors: Floats


def rank_correlation(distances: Floats, errors: Floats) -> float:
    """Return Spearman's correlation of distances [N] with true errors [N]; 1 is best.

    It is that of value with true value, which are minus these. Equal ones share their mean rank.

    Raises:
        UndefinedError: If either is the same everywhere.
    """
    largest = float(np.abs(distances).max(initial=0))
    for name, values, least in (
        ("the distance", distances, _SAME * largest),
        ("the true error", errors, 0.0),
    ):
        if len(values) < 2 or np.ptp(values) <= least:
            raise UndefinedError(f"{name} is the same in all of {len(values)}")
    return round(float(scipy.stats.spearmanr(distances, errors).statistic), 12)


def changes(courses: Iterable[Course], lag: int) -> tuple[Floats, Floats]:
    """Return how distances and true errors change over so many steps, of all trajectories."""
    pairs = [
        (one[lag:] - one[:-lag])
        for each in courses
        for one in (each.distances, each.errors)
        if len(one) > lag
    ]
    if not pairs:
        raise UndefinedError(f"no trajectory is longer than {lag} steps")
    return np.concatenate(pairs[::2]), np.concatenate(pairs[1::2])


def object_sensitivity(distances: Floats, errors: Floats) -> tuple[float, int]:
    """Return the mean over poses of the correlation within a pose, and how many poses have none.

    Args:
        distances: [P, K], of K places of the object in each of P poses of the robot.
        errors: [P, K], the true ones.

    Raises:
        UndefinedError: If no pose has any.
    """
    known = []
    for pair in zip(distances, errors, strict=True):
        try:
            known.append(rank_correlation(*pair))
        except UndefinedError:
            continue
    if not known:
        raise UndefinedError(f"moving the object changes nothing in any of {len(distances)} poses")
    return float(np.mean(known)), len(distances) - len(known)
