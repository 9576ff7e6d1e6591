"""Planning step by step on a score of states.

Shapes: S state size, A actions, N sampled plans, H horizon.
"""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from vipl.control.environment import ControlEnv, Floats
from vipl.control.mppi import Planner, improve, next_mean, still_plan

StateScore = Callable[[Floats], Floats]
"""States [N, H, S] of plans to their scores [N]."""


def plan_steps(
    env: ControlEnv, start: Floats, score: StateScore, *, planner: Planner, rng: np.random.Generator
) -> Iterator[tuple[Floats, Floats]]:
    """Plan and act without end: yield each action [A] and the state [S] that it leads to.

    Args:
        env: Where to act; plans are tried in it as well.
        start: State [S].
        score: Of plans.
        planner: How to plan.
        rng: Source of the planner's noise.
    """
    state, plan = start, still_plan(planner, env.action_size)
    while True:
        plan = improve(plan, partial(_plan_score, env, state, score), planner, rng)
        state = env.rollout(state, plan[None, :1])[0, 0]
        yield plan[0], state
        plan = next_mean(plan, planner)


def _plan_score(env: ControlEnv, state: Floats, score: StateScore, plans: Floats) -> Floats:
    return score(env.rollout(state, plans))


def oracle_score(env: ControlEnv) -> StateScore:
    """Return the score by the ground-truth state: the sum of its rewards along the plan."""
    return lambda states: np.asarray(env.true_reward(states).sum(axis=1))
