"""The demonstrations that come with the package: verified state trajectories.

`data/README.md` says how they were made.
"""

import json
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vipl.errors import UserError
from vipl.files import write_atomically
from vipl.names import choose
from vipl_evaluators.frankakitchen.tasks import TASKS, Task

FPS_HZ = 12.5
"""One state an action: 40 simulation steps of 2 ms."""

KINDS = ("start", "recovery", "detour", "knock", "halfway")
"""Of demonstrations, all of which solve their task."""

QUALITY_KINDS = ("expert", "half", "wandering", "noisy", "anywhere")
"""Of trajectories whose quality was asked for: `qualities.py`, `anywhere.py`."""

_FOLDER = Path(__file__).parent / "data"
_MUJOCO = "3.11.0"  # that made the demonstrations whose files do not say so: those that ship
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
            of its way. Or one of `QUALITY_KINDS`, of which "anywhere" solves the task too, and may
            begin where it is solved.
        frames: T + 1, number of states.
        first_success: First state in which the task is solved, None where it never is.
        split: "train" or "val"; every fourth of each kind is held out.
        seed: Of what made it.
        samples: That a planner tried at every step, 0 where there was none.
        folder: Where its arrays are.
        mujoco: Version whose physics it records; another leads elsewhere where things touch.
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
    mujoco: str = _MUJOCO

    @property
    def task(self) -> Task:
        """What it solves."""
        return TASKS[self.task_name]

    @cached_property
    def arrays(self) -> dict[str, NDArray[np.float64]]:
        """Arrays qpos [T+1, 30], qvel [T+1, 29] and action [T, 9] in [-1, 1]."""
        return read_arrays(self.path)

    @property
    def path(self) -> Path:
        """Its file."""
        return self.folder / f"{self.name}.npz"

    @property
    def ends_solved(self) -> bool:
        """Whether the task is solved in the last state."""
        return bool(self.task.is_success(self.arrays["qpos"][-1, self.task.qpos_index]))


def load_index(folder: Path | None = None) -> list[Demonstration]:
    """Return every demonstration of a folder, by default those that ship with the package.

    Their arrays are read when they are asked for.

    Raises:
        UserError: If the folder has no index, or none that can be read.
    """
    folder = folder or _FOLDER
    index = folder / "index.json"
    if not index.is_file():
        raise UserError(
            f"{folder} holds no index.json: expected a folder that `vipl demos generate` wrote"
        )
    try:
        entries: list[dict[str, Any]] = json.loads(index.read_text())
        if not isinstance(entries, list):
            raise ValueError("it is no list")
        return [
            Demonstration(
                task_name=entry.pop("task"), seed=tuple(entry.pop("seed")), folder=folder, **entry
            )
            for entry in entries
        ]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{index} is damaged, or of another version of vipl ({error}): delete it, and "
            "`vipl demos generate` writes it again"
        ) from error


def select(
    *,
    tasks: Sequence[str] | None = None,
    kinds: Sequence[str] | None = None,
    folder: Path | None = None,
    with_shipped: bool = False,
    number: int | None = None,
) -> list[Demonstration]:
    """Return some of the demonstrations of a folder.

    Args:
        tasks: Names, or None for all twelve.
        kinds: Some of `KINDS` and `QUALITY_KINDS`, or None for all.
        folder: As for `load_index`.
        with_shipped: Add those that ship with the package to the folder's.
        number: The first so many of each kind of each task, None for all.

    Raises:
        UserError: On an unknown name, where a task that is named has none, or where two have one
            name.
    """
    task_names = choose("task", tasks, TASKS)
    kind_names = choose("kind", kinds, (*KINDS, *QUALITY_KINDS))
    if number is not None and number < 1:
        raise UserError(f"--number is {number}, expected 1 or more")
    found = load_index(folder)
    if with_shipped and folder is not None:
        found = _without_doubles([*load_index(), *found])
    found = [demo for demo in found if demo.task_name in task_names and demo.kind in kind_names]
    there = {demo.task_name for demo in found}
    lacking = [name for name in tasks or () if name not in there]
    if lacking or not found:
        raise UserError(
            f"no demonstrations of the kind {' or '.join(kind_names)} for "
            f"{', '.join(lacking or task_names)}: name other --tasks or --kinds"
        )
    return found if number is None else _first(found, number)


def _first(demos: Sequence[Demonstration], number: int) -> list[Demonstration]:
    counts: Counter[tuple[str, str]] = Counter()
    first = []
    for demo in demos:
        key = (demo.task_name, demo.kind)
        counts[key] += 1
        if counts[key] <= number:
            first.append(demo)
    return first


def _without_doubles(demos: Sequence[Demonstration]) -> list[Demonstration]:
    name, times = Counter(demo.name for demo in demos).most_common(1)[0]
    if times > 1:
        raise UserError(
            f"{name} is in the folder and among those that ship: rename the folder's file and call "
            "`vipl demos generate` again, or leave out --with-shipped"
        )
    return list(demos)


def read_arrays(path: Path) -> dict[str, NDArray[np.float64]]:
    """Read the arrays of a demonstration's file.

    Raises:
        UserError: If it is damaged, or holds something else.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        steps = len(arrays["action"])
        shapes = {"qpos": (steps + 1, 30), "qvel": (steps + 1, 29), "action": (steps, 9)}
        for name, shape in shapes.items():
            if arrays[name].shape != shape:
                raise ValueError(f"{name} is {list(arrays[name].shape)}, expected {list(shape)}")
    except OSError as error:
        if error.errno:
            raise
        raise UserError(f"{path} is damaged: make it again by `vipl demos generate`") from error
    except (ValueError, LookupError, EOFError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        reason = str(error).partition("allow_pickle")[0].strip() or type(error).__name__
        raise UserError(
            f"{path} is damaged ({reason}): make it again by `vipl demos generate`"
        ) from error
    return arrays


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
        mujoco=np.array(version("mujoco")),
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
        "mujoco": str(arrays.get("mujoco", _MUJOCO)),
    }


def write_index(out: Path, describe: Callable[[Path], dict[str, object]] = describe) -> Path:
    """List the demonstrations that a folder holds in its `index.json`; return its path."""
    tasks = list(TASKS)

    def place(path: Path) -> tuple[int, int, int]:
        kind, number = path.stem.split("_")
        kinds = (*KINDS, *QUALITY_KINDS)
        return tasks.index(path.parent.name), kinds.index(kind), int(number)

    lines = [json.dumps(describe(path)) for path in sorted(out.glob("*/*.npz"), key=place)]
    text = "[\n" + ",\n".join(f"  {line}" for line in lines) + "\n]\n"
    index = out / "index.json"
    write_atomically(index, lambda path: path.write_text(text))
    return index
