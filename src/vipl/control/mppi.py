"""Model predictive path integral control, as pure functions over a score.

Source: Williams et al., "Information theoretic MPC", ICRA 2017; the settings are those of the
VIP paper (arXiv 2210.00030, appendix on trajectory optimisation).

Shapes: N samples, H horizon in steps, A action size.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from vipl.errors import UserError

Floats = NDArray[np.float64]
Score = Callable[[Floats], Floats]
"""Plans [N, H, A] within [-1, 1] to their scores [N]; higher is better."""

ScoreMode: TypeAlias = Literal["raw", "normalised"]

_SPREAD_FLOOR = 1e-9


@dataclass(frozen=True)
class Planner:
    """How to plan.

    Attributes:
        samples: N, plans tried in an iteration.
        horizon_steps: H, actions looked ahead.
        iterations: Times a plan is sampled around and improved before its first action is taken.
        temperature: A plan weighs exp(temperature * (score - best score)).
        noise_std: Standard deviation of the noise before its filter, in actions' units.
        noise_filter: (a, b): from the third step on, noise is a * fresh + b * the step before's.
        warm_start: Start from the last plan, shifted by a step; else from no motion.
        score: "raw": as it is (the paper's). "normalised": divided by its standard deviation
            over the samples, so that one temperature suits encoders of any scale.

    Raises:
        UserError: If a number is out of range.
    """

    samples: int = 32
    horizon_steps: int = 12
    iterations: int = 1
    temperature: float = 5.0
    noise_std: float = 1.0
    noise_filter: tuple[float, float] = (0.25, 0.8)
    warm_start: bool = True
    score: ScoreMode = "raw"

    def __post_init__(self) -> None:
        for name in ("samples", "horizon_steps", "iterations"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}, expected 1 or more")
        for name in ("temperature", "noise_std"):
            if not 0 < getattr(self, name) < math.inf:
                raise UserError(f"{name} is {getattr(self, name)}, expected above 0")
        if len(self.noise_filter) != 2:
            raise UserError(f"noise_filter is {self.noise_filter}, expected two numbers")
        if self.score not in get_args(ScoreMode):
            raise UserError(f"score is {self.score!r}, expected raw or normalised")


def still_plan(planner: Planner, action_size: int) -> Floats:
    """Return the plan [H, A] of no motion."""
    return np.zeros((planner.horizon_steps, action_size))


def improve(mean: Floats, score: Score, planner: Planner, rng: np.random.Generator) -> Floats:
    """Return a better plan [H, A] than `mean`, of that shape.

    Args:
        mean: The plan to sample around.
        score: Of plans.
        planner: How.
        rng: Source of the noise.

    Raises:
        ValueError: If a score is not a number.
    """
    for _ in range(planner.iterations):
        plans = sample_plans(mean, planner, rng)
        scores = np.asarray(score(plans), dtype=np.float64)
        if scores.shape != (planner.samples,) or not np.isfinite(scores).all():
            raise ValueError(f"scores must be {planner.samples} numbers, got {scores}")
        weights = plan_weights(scores, planner)
        # A mean of actions within [-1, 1] may round to a little more.
        mean = np.clip(np.einsum("n,nha->ha", weights, plans), -1, 1)
    return mean


def sample_plans(mean: Floats, planner: Planner, rng: np.random.Generator) -> Floats:
    """Return plans [N, H, A] around one [H, A], within [-1, 1]."""
    return np.clip(mean + filtered_noise(rng, planner, mean.shape[1]), -1, 1)


def next_mean(plan: Floats, planner: Planner) -> Floats:
    """Return where to start when a plan's first action has been taken.

    That is the plan shifted by a step, its last action 0; without a warm start, no motion.
    """
    if not planner.warm_start:
        return np.zeros_like(plan)
    return np.concatenate([plan[1:], np.zeros_like(plan[:1])])


def filtered_noise(rng: np.random.Generator, planner: Planner, action_size: int) -> Floats:
    """Return noise [N, H, A], independent for every plan, correlated along its steps."""
    shape = (planner.samples, planner.horizon_steps, action_size)
    noise = rng.normal(scale=planner.noise_std, size=shape)
    fresh, before = planner.noise_filter
    for step in range(2, planner.horizon_steps):
        noise[:, step] = fresh * noise[:, step] + before * noise[:, step - 1]
    return noise


def plan_weights(scores: Floats, planner: Planner) -> Floats:
    """Return each plan's weight: float64 [N], they add up to 1."""
    advantages = scores - scores.max()
    if planner.score == "normalised":
        advantages = advantages / (scores.std() + _SPREAD_FLOOR)
    weights = np.exp(planner.temperature * advantages)
    return np.asarray(weights / weights.sum())
