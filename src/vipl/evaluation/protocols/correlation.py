"""The protocol `correlation`: how well an encoder's distance agrees with the true error.

Nothing is planned and nothing is trained. Trajectories, some of which fail, are measured twice: by
the encoder's distance to the goal's picture, and by the simulator's own error
(`ControlEnv.true_errors`). Ranks are correlated, so that scale and shape do not matter.

True errors are counted in hundredths of the task's way that are left, 100 at its start and 0 at
its goal: things that nobody touches still settle by less than that, and are not to be ranked by it.

Shapes: N states, T steps of a trajectory, S state size, P poses of the robot, K places of the
object, H x W pixels.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from vipl.control.environment import ControlEnv, Floats
from vipl.control.trajectories import Trajectory, known_states
from vipl.errors import UserError
from vipl.evaluation.evaluator import CORRELATION, Cell, Outcome
from vipl.evaluation.protocols.dataset import Dataset
from vipl.evaluation.protocols.embedding_cache import embed_trajectories
from vipl.evaluation.protocols.protocol import ControlProtocol, Goal, Suite, View
from vipl.evaluation.protocols.ranks import (
    Course,
    UndefinedError,
    changes,
    object_sensitivity,
    rank_correlation,
)
from vipl.rewards.goal import GoalReward, as_images

VALUE, REWARD, OBJECT = "value_correlation", "reward_correlation", "object_sensitivity"

METRICS = {VALUE: True, REWARD: True, OBJECT: True}
"""All of the protocol's; higher is better."""

LABELS = {
    VALUE: "value correlation (of ranks, -1 to 1)",
    REWARD: "reward correlation (of ranks, -1 to 1)",
    OBJECT: "object sensitivity (correlation of ranks, -1 to 1)",
}

POSES = 16
"""P, of the robot, in which the object is put in different places."""

PLACES = 6
"""K, of the object: evenly from where the task begins to where it ends, both included."""

_LAG = 0.1  # of the length of the goal's trajectory
_DRAWN, _DRAWN_POINTS = 6, 40  # trajectories, and points of each, that are kept to be drawn

Measure: TypeAlias = Callable[[Floats], Floats]
"""States [N, S] to what is measured of each, [N]."""


@dataclass(frozen=True)
class CorrelationSettings:
    """What is measured.

    Attributes:
        dataset: The trajectories.
    """

    dataset: Dataset = field(default_factory=Dataset)


class Correlation(ControlProtocol):
    """Compare the distance with the true error."""

    name = CORRELATION
    summary = "compare the distance with the true error along trajectories"
    metrics = METRICS
    labels = LABELS
    unit = "data set"
    settings: CorrelationSettings = CorrelationSettings()
    unheeded = ("setting", "steps")

    def run(
        self, suite: Suite, cell: Cell, view: View, goal: Goal, rng: np.random.Generator
    ) -> Outcome:
        """Measure a task's trajectories."""
        picture, shown = None, goal.name
        if view.encoder is not None:
            picture, shown = suite.goal_picture(cell, view.env, goal)
        measured = correlate(
            view,
            suite.trajectories(cell, view.env, self.settings.dataset, seed=cell.seed),
            goal.states,
            picture=picture,
            rendering=suite.rendering(cell.task),
            rng=rng,
        )
        return replace(measured, info={"goal": shown, **measured.info})


def correlate(
    view: View,
    trajectories: Sequence[Trajectory],
    goal: Floats,
    *,
    picture: NDArray[np.uint8] | None,
    rendering: str,
    rng: np.random.Generator,
) -> Outcome:
    """Compare an encoder's distances with true errors.

    `value_correlation` is Spearman's correlation over all frames of all trajectories together, and
    `reward_correlation` that of the changes over a tenth of the goal's trajectory: over a single
    step hardly anything changes, and over the whole it would be the former again.
    `object_sensitivity` tells whether the encoder sees the object rather than the arm: the robot is
    left as it is in some frame, the object is put in several places, and what is correlated there
    is averaged over frames. It is left out where the environment cannot place an object.

    Args:
        view: Encoder, camera and environment; without an encoder, the true error is its distance.
        trajectories: To measure.
        goal: States [T, S] from the task's start to its goal, which true errors are measured to.
        picture: Pictures [N, H, W, 3] of what distances are measured to; None without an encoder.
        rendering: What pictures depend on, beside state and camera.
        rng: Draws the frames whose robot is kept.

    Raises:
        UserError: If the states of a trajectory are unknown, and so its true errors, or these
            measure something else than the task.
    """
    states = known_states(trajectories, "correlation")
    errors = true_error(view.env, goal)
    reward = _goal_reward(view, picture)
    distances = _distances(view, trajectories, reward, errors, rendering)
    courses = [
        Course(each.name, bool(each.success[-1]), seen, errors(own))
        for each, own, seen in zip(trajectories, states, distances, strict=True)
    ]
    lag = max(1, round(_LAG * len(goal)))
    swept = sweep(view.env, np.concatenate(states), rng)
    metrics, undefined, told = _metrics(view, courses, lag, swept, reward, errors)
    return Outcome(metrics=metrics, info={**_info(view, courses, lag), **told}, undefined=undefined)


def true_error(env: ControlEnv, goal: Floats) -> Measure:
    """Return the measure of true errors: whole hundredths of the task's way that are left.

    Args:
        env: Of the task.
        goal: States [T, S] from its start to its goal.

    Raises:
        UserError: If the goal is no nearer to done than the start.
    """
    start, end = env.true_errors(goal[[0, -1]], goal[-1])
    if not end < start:
        raise UserError(
            f"the true error is {end:g} at the task's goal and {start:g} at its start: "
            "true_errors of the environment must measure what the task is about"
        )

    def measure(states: Floats) -> Floats:
        # From the start, so that what stays there is in the middle of a hundredth.
        gone = (start - env.true_errors(states, goal[-1])) / (start - end)
        return np.asarray(100 - np.round(100 * gone))

    return measure


def sweep(env: ControlEnv, states: Floats, rng: np.random.Generator) -> Floats | None:
    """Return states [P, K, S]: P of states [N, S], drawn, with the object in K places.

    None where the environment cannot tell the object from the rest.
    """
    drawn = np.sort(rng.permutation(len(states))[:POSES])
    return env.place_object(states[drawn], np.linspace(0, 1, PLACES))


def _metrics(
    view: View,
    courses: Sequence[Course],
    lag: int,
    swept: Floats | None,
    reward: GoalReward | None,
    errors: Measure,
) -> tuple[dict[str, float], dict[str, str], dict[str, Any]]:
    """Return the metrics, those that are undefined with the reasons, and what else is known."""
    told: dict[str, Any] = {}

    def of_object() -> float:
        assert swept is not None
        flat = swept.reshape(-1, swept.shape[-1])
        seen = errors(flat) if reward is None else _seen(reward, view.embed(flat))
        mean, told["undefined_poses"] = object_sensitivity(
            seen.reshape(swept.shape[:2]), errors(flat).reshape(swept.shape[:2])
        )
        told["poses"] = len(swept)
        return mean

    computed: dict[str, Callable[[], float]] = {
        VALUE: lambda: rank_correlation(
            np.concatenate([each.distances for each in courses]),
            np.concatenate([each.errors for each in courses]),
        ),
        REWARD: lambda: rank_correlation(*changes(courses, lag)),
    }
    if swept is not None:
        computed[OBJECT] = of_object
    metrics, undefined = {}, {}
    for name, compute in computed.items():
        try:
            metrics[name] = compute()
        except UndefinedError as reason:
            undefined[name] = str(reason)
    return metrics, undefined, told


def _goal_reward(view: View, picture: NDArray[np.uint8] | None) -> GoalReward | None:
    if view.encoder is None:
        return None
    assert picture is not None
    aim = view.encoder.embed(as_images(picture)).cpu()  # where what is kept on disk is, too
    return GoalReward.of_embeddings(view.encoder, aim)


def _distances(
    view: View,
    trajectories: Sequence[Trajectory],
    reward: GoalReward | None,
    errors: Measure,
    rendering: str,
) -> list[Floats]:
    """Return the distances [T + 1] of each trajectory."""
    if reward is None:
        return [errors(each.states) for each in trajectories if each.states is not None]
    embedded = embed_trajectories(reward.encoder, trajectories, view.camera, rendering=rendering)
    return [_seen(reward, torch.from_numpy(each)) for each in embedded]


def _seen(reward: GoalReward, embeddings: torch.Tensor) -> Floats:
    return -reward.value_of(embeddings.cpu()).double().numpy()


def _info(view: View, courses: Sequence[Course], lag: int) -> dict[str, Any]:
    """Return what was measured, and some trajectories to draw."""
    drawn = []
    for each in courses[:_DRAWN]:
        points = np.unique(np.linspace(0, len(each.errors) - 1, _DRAWN_POINTS).round().astype(int))
        distances, errors = each.distances[points], each.errors[points] / 100
        drawn.append(
            {
                "name": each.name,
                "solved": each.solved,
                "distance": [float(f"{value:.6g}") for value in distances],
                "error": [round(float(value), 4) for value in errors],
            }
        )
    return {
        "trajectories": len(courses),
        "solved": sum(each.solved for each in courses),
        "frames": sum(len(each.errors) for each in courses),
        "lag_steps": lag,
        "lag_s": round(lag / view.env.fps_hz, 3),
        "courses": drawn,
    }
