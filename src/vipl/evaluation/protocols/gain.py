"""The protocol `gain`: whether a distance picks the good ones of the plans that a planner tries.

An episode of trajectory optimisation is one yes or no at the end of a hundred choices, each of
which led to the next. Here each choice stands for itself: in states drawn from trajectories, plans
are sampled as the planner samples them, and weighed twice, by the distance of their last frame and
by the true reward. What the former wins is told as a share of what the latter wins.

Shapes: N states, S state size, A states that are drawn, K sampled plans, H horizon.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from vipl.control.environment import ControlEnv, Floats
from vipl.control.mppi import Planner, plan_weights, sample_plans, still_plan
from vipl.control.planning import StateScore, oracle_score
from vipl.control.trajectories import Trajectory, known_states
from vipl.evaluation.evaluator import GAIN as PROTOCOL
from vipl.evaluation.evaluator import Cell, Outcome
from vipl.evaluation.protocols.dataset import Dataset
from vipl.evaluation.protocols.protocol import ControlProtocol, Goal, Suite, View
from vipl.evaluation.protocols.ranks import UndefinedError, rank_correlation
from vipl.evaluation.protocols.trajopt import visual_score

GAIN, PLAN_CORRELATION = "gain", "plan_correlation"

METRICS = {GAIN: True, PLAN_CORRELATION: True}
"""All of the protocol's; higher is better."""

LABELS = {
    GAIN: "gain (share of what the true reward gains)",
    PLAN_CORRELATION: "plan correlation (of ranks, -1 to 1)",
}

STATES = 16
"""A, in which plans are tried."""


_LEAST = 1e-9  # won by the true reward: less is rounding


@dataclass(frozen=True)
class GainSettings(Planner):
    """How plans are sampled and weighed, and in which states.

    Attributes:
        dataset: The trajectories that states are drawn from.
    """

    dataset: Dataset = field(default_factory=Dataset)


class Gain(ControlProtocol):
    """Weigh plans twice."""

    name = PROTOCOL
    summary = "weigh sampled plans by the distance, and tell what the true reward gains by that"
    metrics = METRICS
    labels = LABELS
    unit = "data set"
    settings: GainSettings = GainSettings()
    unheeded = ("setting", "steps")

    def run(
        self, suite: Suite, cell: Cell, view: View, goal: Goal, rng: np.random.Generator
    ) -> Outcome:
        """Try plans in some states of a task's trajectories."""
        reward, shown = suite.reward(cell, view, goal)
        measured = measure(
            view.env,
            suite.trajectories(cell, view.env, self.settings.dataset, seed=cell.seed),
            visual_score(view.env, view.camera, reward) if reward else None,
            planner=self.settings,
            rng=rng,
        )
        return replace(measured, info={"goal": shown, **measured.info})


class Tried(NamedTuple):
    """The plans of one state.

    Attributes:
        scores: By the distance [K].
        truths: By the true reward [K], summed along each plan.
    """

    scores: Floats
    truths: Floats


def measure(
    env: ControlEnv,
    trajectories: Sequence[Trajectory],
    score: StateScore | None,
    *,
    planner: Planner,
    rng: np.random.Generator,
) -> Outcome:
    """Try plans in states of trajectories, and compare two ways of weighing them.

    `gain` is 1 for the true reward itself, 0 for weighing all plans alike, and below 0 for a
    distance that prefers worse ones; states in which much can be won count for more.
    `plan_correlation` is Spearman's correlation of scores with true rewards within a state,
    averaged over states.

    Args:
        env: Of the task.
        trajectories: To draw states from.
        score: Of plans by the distance; None: the true reward's own.
        planner: How plans are sampled and weighed.
        rng: Draws states and plans.

    Raises:
        UserError: If the states of a trajectory are unknown.
    """
    pool = np.concatenate(known_states(trajectories, "gain"))
    drawn = np.sort(rng.permutation(len(pool))[:STATES])
    tried = [_try(env, pool[index], score, planner, rng) for index in drawn]
    metrics, undefined = {}, {}
    share = gain(tried, planner)
    if share is None:
        undefined[GAIN] = "no plan does better than another by the true reward"
    else:
        metrics[GAIN] = share
    known = []
    for each in tried:
        with suppress(UndefinedError):
            known.append(rank_correlation(each.scores, each.truths))
    if known:
        metrics[PLAN_CORRELATION] = float(np.mean(known))
    else:
        undefined[PLAN_CORRELATION] = "all plans score the same in every state"
    info = {"states": len(tried), "undefined_states": len(tried) - len(known)}
    return Outcome(metrics=metrics, info=info, undefined=undefined)


def gain(tried: Sequence[Tried], planner: Planner) -> float | None:
    """Return what weighing by scores wins, as a share of what weighing by true rewards wins.

    To win is to raise the weighted mean of true rewards above their plain mean. Sums run over
    states. None where the true reward itself wins nothing.
    """
    ours = sum(_won(each.scores, each.truths, planner) for each in tried)
    theirs = sum(_won(each.truths, each.truths, planner) for each in tried)
    return ours / theirs if theirs > _LEAST else None


def _won(scores: Floats, truths: Floats, planner: Planner) -> float:
    return float(plan_weights(scores, planner) @ truths - truths.mean())


def _try(
    env: ControlEnv,
    state: Floats,
    score: StateScore | None,
    planner: Planner,
    rng: np.random.Generator,
) -> Tried:
    plans = sample_plans(still_plan(planner, env.action_size), planner, rng)
    states = env.rollout(state, plans)
    truths = oracle_score(env)(states)
    return Tried(truths if score is None else score(states), truths)
