"""The suite `adroit`."""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from vipl.control.environment import ControlEnv
from vipl.control.trajectories import Trajectory
from vipl.evaluation import ControlEvaluator, Dataset, Goal
from vipl_evaluators.adroit.demonstrations import load_demonstrations
from vipl_evaluators.adroit.environment import ENVIRONMENTS, HandEnv, RelocateEnv
from vipl_evaluators.adroit.scene import CAMERAS, model_path
from vipl_evaluators.adroit.script import carry_guide, make_guide
from vipl_evaluators.qualities import follow


class Adroit(ControlEvaluator):
    """Two tasks of a hand with 24 joints, on gymnasium-robotics' models.

    A task's goal is the end of a demonstration from the usual start.
    """

    version = 1
    cameras = CAMERAS
    default_steps: ClassVar[Mapping[str, int]] = {"easy": 100, "hard": 200}
    higher_is_better: ClassVar[Mapping[str, bool]] = {
        **ControlEvaluator.higher_is_better,
        "pen_error": False,
        "ball_error": False,
    }
    labels: ClassVar[Mapping[str, str]] = {
        **ControlEvaluator.labels,
        "pen_error": "angle of the pen to the target (radians)",
        "ball_error": "distance of the ball to the target (metres)",
    }

    def prepare(self) -> None:
        """Find out what to render with, and whether the models are installed."""
        for task in ENVIRONMENTS:
            model_path(task)
        super().prepare()

    def tasks(self) -> Mapping[str, str]:
        """Return the two tasks."""
        return {name: env.label for name, env in ENVIRONMENTS.items()}

    def make_env(self, task: str) -> HandEnv:
        """Make the hand with one task."""
        return ENVIRONMENTS[task](**self.env_options)

    def make_trajectories(
        self, task: str, env: ControlEnv, dataset: Dataset, *, seed: int = 0
    ) -> list[Trajectory]:
        """Follow the script, or the pen's demonstrations, as well as `dataset.quality` says."""
        assert isinstance(env, HandEnv)
        return follow(make_guide(env), dataset, task=task, seed=seed)

    def goal(self, task: str, env: ControlEnv) -> Goal:
        """Return the first demonstration, or what the script does from the usual start."""
        if isinstance(env, RelocateEnv):
            states, _ = carry_guide(env, anywhere=False).follow(np.random.default_rng(0))
            return Goal("relocate/script", states)
        first = load_demonstrations()[0]
        return Goal(first.name, first.states)
