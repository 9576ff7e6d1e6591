"""The demonstrations that come with the package: verified state trajectories.

`data/README.md` says how they were made.
"""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vipl_evaluators.frankakitchen.tasks import TASKS, Task

FPS_HZ = 12.5
"""One state an action: 40 simulation steps of 2 ms."""

_FOLDER = Path(__file__).parent / "data"


@dataclass(frozen=True)
class Demonstration:
    """One trajectory that solves a task.

    Attributes:
        name: Such as "sdoor_open/start_00".
        task_name: A key of `TASKS`.
        kind: "start": from the usual start pose; "recovery": the arm starts elsewhere, near the
            goal's own pose for instance, with the object untouched.
        frames: T + 1, number of states.
        first_success: First state in which the task is solved.
        actions: Whether the actions are known.
        split: "train" or "val"; every fourth of each kind is held out where there are several.
    """

    name: str
    task_name: str
    kind: str
    frames: int
    first_success: int
    actions: bool
    split: str

    @property
    def task(self) -> Task:
        """What it solves."""
        return TASKS[self.task_name]

    @cached_property
    def arrays(self) -> dict[str, NDArray[np.float64]]:
        """Arrays qpos [T+1, 30], qvel [T+1, 29], and, if known, action [T, 9] in [-1, 1]."""
        with np.load(_FOLDER / f"{self.name}.npz", allow_pickle=False) as file:
            return {name: file[name] for name in file.files}


def load_index() -> list[Demonstration]:
    """Return every demonstration; its arrays are read when they are asked for."""
    entries: list[dict[str, Any]] = json.loads((_FOLDER / "index.json").read_text())
    return [Demonstration(task_name=entry.pop("task"), **entry) for entry in entries]
