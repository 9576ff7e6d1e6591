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

from vipl.errors import UserError
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
        split: "train" or "val"; every fourth of each kind is held out.
        seed: Of the planner that made it.
        samples: That the planner tried at every step.
        folder: Where its arrays are.
    """

    name: str
    task_name: str
    kind: str
    frames: int
    first_success: int
    split: str
    seed: tuple[int, ...]
    samples: int
    folder: Path

    @property
    def task(self) -> Task:
        """What it solves."""
        return TASKS[self.task_name]

    @cached_property
    def arrays(self) -> dict[str, NDArray[np.float64]]:
        """Arrays qpos [T+1, 30], qvel [T+1, 29] and action [T, 9] in [-1, 1]."""
        with np.load(self.folder / f"{self.name}.npz", allow_pickle=False) as file:
            return {name: file[name] for name in file.files}


def load_index(folder: Path | None = None) -> list[Demonstration]:
    """Return every demonstration of a folder, by default those that ship with the package.

    Their arrays are read when they are asked for.

    Raises:
        UserError: If the folder has no index.
    """
    folder = folder or _FOLDER
    index = folder / "index.json"
    if not index.is_file():
        raise UserError(
            f"{folder} holds no index.json: expected a folder that `vipl demos generate` wrote"
        )
    entries: list[dict[str, Any]] = json.loads(index.read_text())
    return [
        Demonstration(
            task_name=entry.pop("task"), seed=tuple(entry.pop("seed")), folder=folder, **entry
        )
        for entry in entries
    ]
