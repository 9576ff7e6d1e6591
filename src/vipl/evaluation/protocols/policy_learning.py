"""The protocols that learn a policy from trajectories: imitation and offline RL.

Both see the encoder's embedding of a picture, and what the robot feels of itself; the oracle sees
the state. Offline RL weights every transition by its reward, imitation does not.

Shapes: N episodes, T steps, S state size, A actions, D embedding size, I inputs of the policy,
M transitions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from vipl.control.environment import Floats
from vipl.control.policies import Acts, PolicyTraining, reward_weights, train_policy
from vipl.control.trajectories import Trajectory
from vipl.errors import UserError
from vipl.evaluation.evaluator import IMITATION, OFFLINE_RL, Cell, Outcome
from vipl.evaluation.protocols.dataset import Dataset
from vipl.evaluation.protocols.embedding_cache import embed_trajectories
from vipl.evaluation.protocols.protocol import ControlProtocol, Goal, Suite, View
from vipl.rewards.goal import GoalReward, as_images


@dataclass(frozen=True)
class CloningSettings(PolicyTraining):
    """How a policy is learnt from trajectories, and from which.

    Attributes:
        dataset: The trajectories.
    """

    dataset: Dataset = field(default_factory=Dataset)


class OfflineRL(ControlProtocol):
    """Clone trajectories, and heed the good steps more."""

    name = OFFLINE_RL
    summary = "clone trajectories, each step weighted by exp(temperature x reward)"
    unit = "training"
    settings: CloningSettings = CloningSettings()
    weighted: ClassVar[bool] = True

    def run(
        self, suite: Suite, cell: Cell, view: View, goal: Goal, rng: np.random.Generator
    ) -> Outcome:
        """Learn a policy, and run episodes with it."""
        picture, shown = None, "the ends of the trajectories"
        if view.encoder is not None and not suite.shows_own_goal(cell):
            picture, shown = suite.goal_picture(cell, view.env, goal)
        trajectories = suite.trajectories(cell, view.env, self.settings.dataset)
        data = make_data(view, trajectories, goal=picture, rendering=suite.rendering(cell.task))
        final, progress = learn(
            view, data, self.settings, weighted=self.weighted, steps=suite.steps, rng=rng
        )
        info = {"goal": shown, "trajectories": [trajectory.name for trajectory in trajectories]}
        return outcome(view, final, progress, goal=goal.states[-1], info=info)


class Imitation(OfflineRL):
    """Clone trajectories, all steps alike."""

    name = IMITATION
    summary = "clone trajectories"
    unit = "training"
    weighted = False
    has_goal = False


@dataclass(frozen=True)
class Data:
    """Transitions of several trajectories.

    Attributes:
        inputs: [M, I].
        actions: [M, A].
        rewards: [M], of the encoder; of the ground-truth state for the oracle.
    """

    inputs: Floats
    actions: Floats
    rewards: Floats


def make_data(
    view: View,
    trajectories: Sequence[Trajectory],
    *,
    rendering: str,
    goal: NDArray[np.uint8] | None = None,
) -> Data:
    """Return the transitions of trajectories, with the rewards of the view's encoder.

    Args:
        view: What the policy sees.
        trajectories: To learn from.
        rendering: What pictures depend on, beside state and camera.
        goal: Pictures [N, H, W, 3] of it. By default the goal's embedding is the mean of the last
            frames of those trajectories that end solved, as in the paper.

    Raises:
        UserError: If none ends solved and a goal is needed, or states are needed and unknown.
    """
    actions = np.concatenate([trajectory.actions for trajectory in trajectories])
    if view.encoder is None:
        known = [t.observations for t in trajectories if t.observations is not None]
        if len(known) < len(trajectories):
            raise UserError("the data set has no states, which the oracle sees: name an encoder")
        inputs = np.concatenate([observations[:-1] for observations in known])
        return Data(inputs, actions, np.concatenate([t.true_rewards for t in trajectories]))
    embedded = embed_trajectories(view.encoder, trajectories, view.camera, rendering=rendering)
    if goal is None:
        last = [e[-1] for e, t in zip(embedded, trajectories, strict=True) if t.success[-1]]
        if not last:
            raise UserError(f"none of {len(trajectories)} trajectories ends solved: no goal to see")
        aim = torch.from_numpy(np.stack(last))
    else:
        aim = view.encoder.embed(as_images(goal)).cpu()  # where what is kept on disk is, too
    reward = GoalReward.of_embeddings(view.encoder, aim)
    rewards, seen = [], []
    for embeddings, trajectory in zip(embedded, trajectories, strict=True):
        values = reward.value_of(torch.from_numpy(embeddings)).double().numpy()
        rewards.append(np.diff(values))
        seen.append(np.concatenate([embeddings, trajectory.proprioception], axis=-1)[:-1])
    return Data(np.concatenate(seen), actions, np.concatenate(rewards))


@dataclass(frozen=True)
class Evaluation:
    """What a policy did.

    Attributes:
        states: [T + 1, N, S].
        success: bool [T + 1, N].
    """

    states: Floats
    success: NDArray[np.bool_]

    @property
    def rate(self) -> float:
        """The share of episodes that end solved."""
        return float(self.success[-1].mean())


@dataclass(frozen=True)
class Progress:
    """How far a policy has come.

    Attributes:
        step: Of the optimiser; online, of the environment.
        success: Share of episodes that end solved.
        mean_return: Sum of an episode's rewards in training; None offline.
    """

    step: int
    success: float
    mean_return: float | None = None


def learn(
    view: View,
    data: Data,
    training: PolicyTraining,
    *,
    weighted: bool,
    steps: int,
    rng: np.random.Generator,
) -> tuple[Evaluation, list[Progress]]:
    """Train a policy, and evaluate it on the way.

    Args:
        view: What it sees.
        data: To learn from.
        training: How.
        weighted: By rewards.
        steps: T, of an episode.
        rng: Of initial weights, the order of transitions, and where episodes begin: in the same
            states at every evaluation.

    Returns:
        What the finished policy does, and how it came there.
    """
    weights = reward_weights(data.rewards, training) if weighted else np.ones(len(data.actions))
    seed = int(rng.integers(2**31))
    starts = view.env.start_states(training.episodes, rng)
    # Not under the evaluation's inference mode, in which nothing can be trained.
    with torch.inference_mode(False), torch.enable_grad():
        progress = []
        for step, policy in train_policy(
            data.inputs, data.actions, weights, training, seed=seed
        ):  # at least one
            latest = evaluate(view, policy, starts, steps=steps)
            progress.append(Progress(step, latest.rate))
    return latest, progress


def evaluate(view: View, policy: Acts, starts: Floats, *, steps: int) -> Evaluation:
    """Let a policy act in N episodes at once, from states [N, S]."""
    states = run_policy(view, policy, starts, steps=steps)
    return Evaluation(states, view.env.is_success(states))


def run_policy(view: View, policy: Acts, starts: Floats, *, steps: int) -> Floats:
    """Return the states [T + 1, N, S] of N episodes, which act step by step together."""
    states = [starts]
    for _ in range(steps):
        actions = policy.act(view.inputs(states[-1]))
        states.append(view.env.step(states[-1], actions))
    return np.array(states)


def outcome(
    view: View,
    final: Evaluation,
    progress: Sequence[Progress],
    *,
    goal: Floats,
    info: Mapping[str, Any],
) -> Outcome:
    """Return what the finished policy did, on average over its episodes.

    Args:
        view: What it sees.
        final: Of the finished policy.
        progress: On the way there, the end included.
        goal: The state [S] that distances are measured to.
        info: More to keep.
    """
    errors = [view.env.pose_errors(states, goal) for states in final.states.swapaxes(0, 1)]
    return Outcome(
        metrics={
            "success": final.rate,
            "ever_success": float(final.success.any(axis=0).mean()),
            "best_success": max(each.success for each in progress),
            **{name: float(np.mean([each[name][-1] for each in errors])) for name in errors[0]},
        },
        traces={name: values.tolist() for name, values in errors[0].items()},
        info={**info, "progress": [asdict(each) for each in progress]},
        frames=view.env.render(final.states[:, 0], view.camera),
        fps_hz=view.env.fps_hz,
    )
