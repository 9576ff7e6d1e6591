"""The suite `metaworld`."""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from vipl.control.environment import ControlEnv
from vipl.control.trajectories import Trajectory
from vipl.evaluation import ControlEvaluator, Dataset, Goal
from vipl_evaluators.metaworld.environment import SawyerEnv
from vipl_evaluators.metaworld.scene import CAMERAS, model_path
from vipl_evaluators.metaworld.script import make_guide
from vipl_evaluators.metaworld.tasks import TASKS
from vipl_evaluators.qualities import follow


class MetaWorld(ControlEvaluator):
    """Five tasks of a Sawyer arm at a table, by MetaWorld (pip install 'vipl[metaworld]').

    A task's goal is the end of what the package's script does from the usual start.
    """

    version = 1
    cameras = tuple(CAMERAS)
    default_steps: ClassVar[Mapping[str, int]] = {"easy": 100, "hard": 150}
    higher_is_better: ClassVar[Mapping[str, bool]] = {
        **ControlEvaluator.higher_is_better,
        "object_error": False,
        "hand_error": False,
    }
    labels: ClassVar[Mapping[str, str]] = {
        **ControlEvaluator.labels,
        "object_error": "distance of the object to the goal's (metres)",
        "hand_error": "distance of the hand to the goal's (metres)",
    }

    def prepare(self) -> None:
        """Find out what to render with, and whether the package is installed."""
        for task in TASKS.values():
            model_path(task)
        super().prepare()

    def tasks(self) -> Mapping[str, str]:
        """Return the five tasks."""
        return {task.name: task.label for task in TASKS.values()}

    def make_env(self, task: str) -> SawyerEnv:
        """Make the table with one task."""
        return SawyerEnv(TASKS[task], **self.env_options)

    def make_trajectories(
        self, task: str, env: ControlEnv, dataset: Dataset, *, seed: int = 0
    ) -> list[Trajectory]:
        """Follow the package's script as well as `dataset.quality` says."""
        assert isinstance(env, SawyerEnv)
        return follow(make_guide(env), dataset, task=task, seed=seed)

    def goal(self, task: str, env: ControlEnv) -> Goal:
        """Return what the script does from the usual start."""
        assert isinstance(env, SawyerEnv)
        states, _ = make_guide(env, anywhere=False).follow(np.random.default_rng(0))
        return Goal(f"{task}/script", states)
