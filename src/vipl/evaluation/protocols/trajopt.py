"""Trajectory optimisation: planning an episode on a score of states.

Source: arXiv 2210.00030, appendix: a plan's score is -||phi(o_H) - phi(g)|| of its last frame,
to which the sum of the rewards R along the plan telescopes.

Shapes: S state size, N sampled plans, H horizon, T steps of the episode.
"""

from dataclasses import replace
from itertools import islice

import numpy as np

from vipl.control.environment import ControlEnv, Floats
from vipl.control.mppi import Planner
from vipl.control.planning import StateScore, oracle_score, plan_steps
from vipl.evaluation.evaluator import BUDGET, TRAJOPT, Cell, Outcome
from vipl.evaluation.protocols.protocol import ControlProtocol, Goal, Suite, View
from vipl.rewards.goal import GoalReward, as_images


class TrajectoryOptimisation(ControlProtocol):
    """Plan an episode with MPPI."""

    name = TRAJOPT
    summary = "plan with MPPI on the embedding distance of each plan's last frame"
    settings: Planner = Planner()
    plans = True

    def run(
        self, suite: Suite, cell: Cell, view: View, goal: Goal, rng: np.random.Generator
    ) -> Outcome:
        """Plan and act for an episode."""
        env, planner = view.env, self.settings
        if cell.variant.startswith(BUDGET):
            planner = replace(planner, samples=int(cell.variant.removeprefix(BUDGET)))
        start = suite.start(env, goal)
        reward, shown = suite.reward(cell, view, goal)
        score = visual_score(env, view.camera, reward) if reward else oracle_score(env)
        states = run_episode(env, start, score, planner=planner, steps=suite.steps, rng=rng)
        return outcome(view, states, goal.states[-1], reward=reward, shown=shown)


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
    taken = islice(plan_steps(env, start, score, planner=planner, rng=rng), steps)
    return np.array([start, *(state for _, state in taken)])


def visual_score(env: ControlEnv, camera: str, reward: GoalReward) -> StateScore:
    """Return the score by images: the value of each plan's last frame, in one batch."""

    def score(states: Floats) -> Floats:
        pictures = env.render(states[:, -1], camera)
        return reward.value(as_images(pictures)).double().cpu().numpy()

    return score


def outcome(
    view: View, states: Floats, goal: Floats, *, reward: GoalReward | None, shown: str
) -> Outcome:
    """Return how an episode went.

    Args:
        view: How it was seen.
        states: [T + 1, S], that were visited.
        goal: The state [S] that errors are measured to.
        reward: Of the encoder; None for the oracle.
        shown: Name of the goal, as the encoder saw it.
    """
    env, frames = view.env, view.env.render(states, view.camera)
    solved = env.is_success(states)
    errors = env.pose_errors(states, goal)
    traces = {name: values.tolist() for name, values in errors.items()}
    if reward is not None:
        traces["distance"] = (-reward.value(as_images(frames))).tolist()
    return Outcome(
        metrics={
            "success": float(solved[-1]),
            "ever_success": float(solved.any()),
            **{name: float(values[-1]) for name, values in errors.items()},
        },
        traces=traces,
        info={"goal": shown},
        frames=frames,
        fps_hz=env.fps_hz,
        states=states,
    )
