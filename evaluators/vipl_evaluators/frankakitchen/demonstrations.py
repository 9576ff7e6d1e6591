"""The demonstrations that come with the package: verified state trajectories.

`data/README.md` says how they were made.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vipl.errors import UserError
from vipl.files import write_atomically
from vipl_evaluators.frankakitchen.tasks import TASKS, Task

FPS_HZ = 12.5
"""One state an action: 40 simulation steps of 2 ms."""

KINDS = ("start", "recovery", "detour", "knock", "halfway")
"""Of demonstrations, all of which solve their task."""

QUALITY_KINDS = ("expert", "half", "wandering", "noisy")
"""Of trajectories whose quality was asked for: `qualities.py`."""

_FOLDER = Path(__file__).parent / "data"
_HOLD_OUT_EVERY = 4


@dataclass(frozen=True)
class Demonstration:
    """One trajectory; it solves its task, unless it is of a quality that does not.

    Attributes:
        name: Such as "sdoor_open/start_00".
        task_name: A key of `TASKS`.
        kind: "start": from the usual start pose; "recovery": the arm starts elsewhere, near the
            goal's own pose for instance, with the object untouched; "detour": from the usual
            start pose, the arm first goes by poses that are of no use; "knock": a detour on which
            it pushes something else away; "halfway": a recovery in which the object has gone a part
            of its way. Or one of `QUALITY_KINDS`.
        frames: T + 1, number of states.
        first_success: First state in which the task is solved, None where it never is.
        split: "train" or "val"; every fourth of each kind is held out.
        seed: Of what made it.
        samples: That a planner tried at every step, 0 where there was none.
        folder: Where its arrays are.
    """

    name: str
    task_name: str
    kind: str
    frames: int
    first_success: int | None
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
        return read_arrays(self.folder / f"{self.name}.npz")

    @property
    def ends_solved(self) -> bool:
        """Whether the task is solved in the last state."""
        return bool(self.task.is_success(self.arrays["qpos"][-1, self.task.qpos_index]))


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


def read_arrays(path: Path) -> dict[str, NDArray[np.float64]]:
    """Read the arrays of a demonstration's file."""
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def write_arrays(
    path: Path,
    *,
    qpos: NDArray[np.float64],
    qvel: NDArray[np.float64],
    action: NDArray[np.float64],
    seed: Sequence[int],
    samples: int,
) -> None:
    """Write a demonstration's file, which `read_arrays` and `describe` read."""
    save = partial(
        np.savez_compressed,
        qpos=qpos,
        qvel=qvel,
        action=action,
        seed=np.array(seed),
        samples=np.array(samples),
    )
    write_atomically(path, save)


def describe(path: Path) -> dict[str, object]:
    """Return the entry of a demonstration's file in the index."""
    arrays = read_arrays(path)
    kind, number = path.stem.split("_")
    task = TASKS[path.parent.name]
    solved = task.is_success(arrays["qpos"][:, task.qpos_index])
    return {
        "name": f"{task.name}/{path.stem}",
        "task": task.name,
        "kind": kind,
        "frames": len(arrays["qpos"]),
        "first_success": int(solved.argmax()) if solved.any() else None,
        "split": "val" if int(number) % _HOLD_OUT_EVERY == _HOLD_OUT_EVERY - 1 else "train",
        "seed": arrays["seed"].tolist(),
        "samples": int(arrays["samples"]),
    }


def write_index(out: Path, describe: Callable[[Path], dict[str, object]] = describe) -> Path:
    """List the demonstrations that a folder holds in its `index.json`; return its path."""
    tasks = list(TASKS)

    def place(path: Path) -> tuple[int, int, str]:
        kind = path.stem.split("_")[0]
        kinds = (*KINDS, *QUALITY_KINDS)
        return tasks.index(path.parent.name), kinds.index(kind), path.stem

    lines = [json.dumps(describe(path)) for path in sorted(out.glob("*/*.npz"), key=place)]
    text = "[\n" + ",\n".join(f"  {line}" for line in lines) + "\n]\n"
    index = out / "index.json"
    write_atomically(index, lambda path: path.write_text(text))
    return index
