"""What a protocol is: one way of using an encoder in a cell of a control suite.

Shapes: N episodes, T steps, S state size, D embedding size, I inputs of a policy.
"""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from vipl.control.environment import ControlEnv, Floats
from vipl.control.trajectories import Trajectory
from vipl.evaluation.evaluator import Cell, Outcome
from vipl.evaluation.protocols.dataset import Dataset
from vipl.models.encoder import Encoder
from vipl.rewards.goal import GoalReward, as_images

Begin: TypeAlias = Callable[[int, np.random.Generator], Floats]
"""Gives so many states [N, S] to begin in."""


@dataclass(frozen=True)
class Goal:
    """A verified trajectory that ends where the task is solved.

    Attributes:
        name: For the records.
        states: [T, S], the task's start first; the last one is the goal.
    """

    name: str
    states: Floats


@dataclass(frozen=True)
class View:
    """What a policy sees.

    Attributes:
        env: Where it acts.
        camera: That it looks through.
        encoder: Of its pictures; None: it sees the state instead.
    """

    env: ControlEnv
    camera: str
    encoder: Encoder | None

    def inputs(self, states: Floats) -> Floats:
        """Return what it sees of states [N, S]: [N, I], embedded in one batch."""
        if self.encoder is None:
            return self.env.observe(states)
        return self.join(self.embed(states), states)

    def embed(self, states: Floats) -> Tensor:
        """Return the embeddings of states [N, S]: float32 [N, D], in one batch."""
        assert self.encoder is not None
        return self.encoder.embed(as_images(self.env.render(states, self.camera)))

    def join(self, embeddings: Tensor, states: Floats) -> Floats:
        """Return what it sees, [N, I], of states [N, S] whose embeddings are known."""
        seen = embeddings.double().cpu().numpy()
        return np.concatenate([seen, self.env.proprioception(states)], axis=-1)


class Suite(Protocol):
    """What a protocol may ask of its suite, a `ControlEvaluator`.

    Attributes:
        steps: Length of an episode.
        checkpoint: A file for a long cell to keep what it needs to go on, or None.
    """

    steps: int
    checkpoint: Path | None

    def reward(self, cell: Cell, view: View, goal: Goal) -> tuple[GoalReward | None, str]:
        """Return the encoder's reward, None for the oracle, and the name of its goal."""

    def goal_picture(
        self, cell: Cell, env: ControlEnv, goal: Goal
    ) -> tuple[NDArray[np.uint8], str]:
        """Return the picture [1, H, W, 3] that the encoder is shown as the goal, and its name."""

    def shows_own_goal(self, cell: Cell) -> bool:
        """Tell whether the goal is that of the task, as the suite renders it."""

    def trajectories(
        self, cell: Cell, env: ControlEnv, dataset: Dataset, *, seed: int = 0
    ) -> list[Trajectory]:
        """Return the trajectories of a cell's task, the suite's own or a Minari data set's."""

    def rendering(self, task: str) -> str:
        """Return what pictures of a state depend on, beside the camera."""

    def begin(self, env: ControlEnv, goal: Goal) -> Begin:
        """Return where policies that act begin."""

    def start(self, env: ControlEnv, goal: Goal) -> Floats:
        """Return the state [S] in which a planned episode begins."""


class ControlProtocol(ABC):
    """One way of using an encoder. A suite's `more_protocols` adds one of your own.

    Attributes:
        name: What `protocol=` chooses it by.
        summary: One line of help.
        metrics: Of its own, name to whether higher is better; the first is the one that tables
            show. Empty: those of the suite.
        unit: What reports call one run of a task, such as "training"; empty: the suite's word.
        labels: Metrics in words, with their units.
        settings: A frozen dataclass, or None. Its fields stand under the protocol's name in the
            configuration; the values here are the defaults.
        unheeded: Arguments of the suite that do not bear on it; records do not depend on them.
        plans: Whether it plans, so that `budgets` are of its `settings.samples`.
        acts_for_reward: Whether a policy learns by acting, so that the controls `sparse_reward` and
            `true_reward` make sense.
        has_goal: Whether the encoder is shown one, so that the control `random_goal` makes sense.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    metrics: ClassVar[Mapping[str, bool]] = {}
    unit: ClassVar[str] = ""
    labels: ClassVar[Mapping[str, str]] = {}
    settings: Any = None
    unheeded: ClassVar[Sequence[str]] = ()
    plans: ClassVar[bool] = False
    acts_for_reward: ClassVar[bool] = False
    has_goal: ClassVar[bool] = True

    def with_settings(self, settings: Any) -> "ControlProtocol":
        """Return the same protocol with other settings."""
        changed = copy.copy(self)
        changed.settings = settings
        return changed

    @abstractmethod
    def run(
        self, suite: Suite, cell: Cell, view: View, goal: Goal, rng: np.random.Generator
    ) -> Outcome:
        """Run one cell.

        Args:
            suite: Whose cell it is.
            cell: Task, camera, seed and variant.
            view: The task's environment, the camera, and the encoder; None for the oracle.
            goal: Of the task.
            rng: The only source of randomness.
        """
