"""Trajectory optimisation: planning an episode on a score of states.

Source: arXiv 2210.00030, appendix: a plan's score is -||phi(o_H) - phi(g)|| of its last frame,
to which the sum of the rewards R along the plan telescopes.

Shapes: S state size, N sampled plans, H horizon, T steps of the episode.
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from vipl.control.environment import ControlEnv, Floats
from vipl.control.mppi import Planner, improve, next_mean, still_plan
from vipl.rewards import GoalReward, as_images

StateScore = Callable[[Floats], Floats]
"""States [N, H, S] of plans to their scores [N]."""


def run_episode(
    env: ControlEnv,
    start: Floats,
    score: StateScore,
    *,
    planner: Planner,
    steps: int,
    rng: np.random.Generator,
) -> Floats:
    """Plan and act for a number of steps.

    Args:
        env: Where to act; plans are tried in it as well.
        start: State [S].
        score: Of plans.
        planner: How to plan.
        steps: T.
        rng: Source of the planner's noise.

    Returns:
        The states [T + 1, S] that were visited, the start included.
    """
    states = [start]
    plan = still_plan(planner, env.action_size)
    for _ in range(steps):
        state = states[-1]
        plan = improve(plan, partial(_plan_score, env, state, score), planner, rng)
        states.append(env.rollout(state, plan[None, :1])[0, 0])
        plan = next_mean(plan, planner)
    return np.array(states)


def _plan_score(env: ControlEnv, state: Floats, score: StateScore, plans: Floats) -> Floats:
    return score(env.rollout(state, plans))


def oracle_score(env: ControlEnv) -> StateScore:
    """Return the score by the true state: the sum of its rewards along the plan."""
    return lambda states: np.asarray(env.true_reward(states).sum(axis=1))


def visual_score(env: ControlEnv, camera: str, reward: GoalReward) -> StateScore:
    """Return the score by images: the value of each plan's last frame, in one batch."""

    def score(states: Floats) -> Floats:
        pictures = env.render(states[:, -1], camera)
        return reward.value(as_images(pictures)).double().cpu().numpy()

    return score
