"""The suite `frankakitchen`."""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from vipl.control.environment import ControlEnv
from vipl.control.trajectories import Trajectory
from vipl.evaluation import ControlEvaluator, Dataset, Goal
from vipl_evaluators.frankakitchen.demonstrations import load_index
from vipl_evaluators.frankakitchen.environment import KitchenEnv
from vipl_evaluators.frankakitchen.qualities import KitchenGuide
from vipl_evaluators.frankakitchen.scene import CAMERAS
from vipl_evaluators.frankakitchen.tasks import TASKS
from vipl_evaluators.qualities import follow


class FrankaKitchen(ControlEvaluator):
    """The twelve tasks and three cameras of the VIP paper, on gymnasium-robotics' kitchen.

    A task's goal is the last state of the first demonstration that encoders are not trained on.
    """

    version = 1
    cameras = tuple(CAMERAS)
    higher_is_better: ClassVar[Mapping[str, bool]] = {
        **ControlEvaluator.higher_is_better,
        "object_error": False,
        "robot_error": False,
    }
    labels: ClassVar[Mapping[str, str]] = {
        **ControlEvaluator.labels,
        "object_error": "object error (share of the joint's range)",
        "robot_error": "arm error (radians, mean over joints)",
    }

    def tasks(self) -> Mapping[str, str]:
        """Return the twelve tasks."""
        return {task.name: task.label for task in TASKS.values()}

    def make_env(self, task: str) -> KitchenEnv:
        """Make the kitchen with one task."""
        return KitchenEnv(TASKS[task], **self.env_options)

    def make_trajectories(
        self, task: str, env: ControlEnv, dataset: Dataset, *, seed: int = 0
    ) -> list[Trajectory]:
        """Follow demonstrations as well as `dataset.quality` says."""
        assert isinstance(env, KitchenEnv)
        return follow(KitchenGuide(env), dataset, task=task, seed=seed)

    def goal(self, task: str, env: ControlEnv) -> Goal:
        """Return the first held-out demonstration from the usual start."""
        assert isinstance(env, KitchenEnv)
        starts = [d for d in load_index() if d.task_name == task and d.kind == "start"]
        demo = next((d for d in starts if d.split == "val"), starts[0])
        arrays = demo.arrays
        pairs = zip(arrays["qpos"], arrays["qvel"], strict=True)
        return Goal(demo.name, np.array([env.state(qpos, qvel) for qpos, qvel in pairs]))
