"""Trajectories of mixed quality, made in seconds from the demonstrations that solve a task.

A tracked one begins at another pose of the arm, and follows the arm of a demonstration by its own
actions and a correction; whether it solves the task is for the simulator to say.

Shapes: T steps, S state size, A actions.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from vipl.console import Console
from vipl.control.environment import Floats
from vipl.errors import UserError
from vipl.names import choose
from vipl_evaluators.frankakitchen.anywhere import Shares
from vipl_evaluators.frankakitchen.anywhere_clips import KIND as ANYWHERE
from vipl_evaluators.frankakitchen.anywhere_clips import write_clips
from vipl_evaluators.frankakitchen.demonstrations import load_index, write_arrays, write_index
from vipl_evaluators.frankakitchen.environment import ARM_JOINTS, KitchenEnv
from vipl_evaluators.frankakitchen.tasks import TASKS
from vipl_evaluators.qualities import QUALITIES, Guide, Way, make_trajectories

_CORRECTION = 4.0  # of an action, for a radian that a joint is off
_POSE_RADIANS, _POSE_STEPS = 0.6, 14  # wandering: how far poses are from the start's, how long each


class KitchenGuide(Guide):
    """Follows the shortest demonstration from the usual start.

    One way of doing it: the mean of two may be none.

    Args:
        env: Of the task.
    """

    env: KitchenEnv

    def __init__(self, env: KitchenEnv) -> None:
        self.env = env
        starts = [d for d in load_index() if d.task_name == env.task.name and d.kind == "start"]
        shortest = min((d for d in starts if d.split == "train"), key=lambda d: d.frames)
        self._arm = shortest.arrays["qpos"][:, :ARM_JOINTS]
        self._actions = shortest.arrays["action"]

    def follow(self, rng: np.random.Generator, *, noise: float = 0.0) -> Way:
        """Repeat its actions, corrected towards its poses, from another pose of the arm."""
        state = self.env.start_states(1, rng)[0]
        states, actions = [state], []
        for aim, action in zip(self._arm, self._actions, strict=False):
            corrected = action.copy()
            corrected[:ARM_JOINTS] += _CORRECTION * (aim - self.env.qpos(state)[:ARM_JOINTS])
            if noise:
                corrected += rng.normal(scale=noise, size=len(corrected))
            actions.append(np.clip(corrected, -1, 1))
            state = self.env.rollout(state, actions[-1][None, None])[0, 0]
            states.append(state)
        return np.array(states), np.array(actions)

    def begin_wandering(self, rng: np.random.Generator) -> tuple[Floats, int]:
        """Draw a start, and take as long as the demonstration."""
        return self.env.start_states(1, rng)[0], len(self._actions)

    def wander(self, start: Floats, steps: int, rng: np.random.Generator) -> Way:
        """Move the arm from pose to pose around the usual start, whatever it meets."""
        states, actions = [start], []
        for aim in self._poses(steps, rng):
            action = np.zeros(self.env.action_size)
            off = aim - self.env.qpos(states[-1])[:ARM_JOINTS]
            action[:ARM_JOINTS] = np.clip(_CORRECTION * off, -1, 1)
            states.append(self.env.rollout(states[-1], action[None, None])[0, 0])
            actions.append(action)
        return np.array(states), np.array(actions).reshape(-1, self.env.action_size)

    def _poses(self, steps: int, rng: np.random.Generator) -> Iterator[Floats]:
        home = self.env.start_qpos()[:ARM_JOINTS]
        for step in range(steps):
            if step % _POSE_STEPS == 0:
                aim = home + rng.uniform(-_POSE_RADIANS, _POSE_RADIANS, ARM_JOINTS)
            yield aim


def write_trajectories(
    out: Path,
    *,
    quality: str,
    tasks: Sequence[str] | None = None,
    number: int = 20,
    first: int | None = None,
    seed: int = 0,
    runs: Sequence[Path] = (),
    knocked: float | None = None,
    far: float | None = None,
    workers: int = 1,
) -> Path:
    """Write trajectories to `out/<task>/<kind>_NN.npz`, and list them in `out/index.json`.

    Args:
        out: Folder to write to; files of the same names are replaced.
        quality: As for `make_trajectories`, or "anywhere": as
            `vipl_evaluators.frankakitchen.anywhere` says.
        tasks: Names, or None for all twelve.
        number: Of trajectories a task.
        first: For "anywhere": NN of the first of them, so that those that are there are added to;
            None: 0.
        seed: Of all that is random.
        runs: Folders of evaluations, for "anywhere": half of the clips begin in states that they
            came by.
        knocked: For "anywhere": share of the other clips in which other things than the task's
            have been moved; None: half.
        far: For "anywhere": share of those that do not begin at the usual start in which the arm is
            far from every pose of a demonstration; None: in none.
        workers: Processes, for "anywhere".

    Returns:
        The index's path.

    Raises:
        UserError: If a name is unknown, a number too small, a run without states, or a task was
            not solved; the trajectories of other tasks are listed all the same.
    """
    for name, value, least in (
        ("number", number, 1),
        ("first", first or 0, 0),
        ("seed", seed, 0),
        ("workers", workers, 1),
    ):
        if value < least:
            raise UserError(f"--{name} is {value}, expected {least} or more")
    choose("quality", [quality], (*QUALITIES, ANYWHERE))
    chosen = {
        name: share for name, share in (("knocked", knocked), ("far", far)) if share is not None
    }
    for name in (*(["visited"] if runs else []), *([] if first is None else ["first"]), *chosen):
        if quality != ANYWHERE:
            raise UserError(f"--{name} is of --quality {ANYWHERE}, not of {quality}")
    for name, share in chosen.items():
        if not 0 <= share <= 1:
            raise UserError(f"--{name} is {share:g}, expected a share from 0 to 1")
    console = Console(highlight=False, soft_wrap=True)
    unsolved = []
    for task in choose("task", tasks, list(TASKS)):
        if quality != ANYWHERE:
            _write(out, quality, task, number=number, seed=seed)
            continue
        made, tries = write_clips(
            out,
            task,
            number=number,
            first=first or 0,
            seed=seed,
            runs=runs,
            shares=Shares(**chosen),
            workers=workers,
        )
        console.print(f"{task}: {made} of {number} clips, in {tries} tries")
        if not made:
            unsolved.append(f"{task} in {tries} tries")
    index = write_index(out)
    console.print(f"{index}: {len(load_index(out))} trajectories")
    if unsolved:
        raise UserError(
            f"following a demonstration from elsewhere never solved {', '.join(unsolved)}: leave "
            "it out of --tasks, or plan with --recoveries and --detours"
        )
    return index


def _write(out: Path, quality: str, task: str, *, number: int, seed: int) -> None:
    env = KitchenEnv(TASKS[task])
    made = make_trajectories(KitchenGuide(env), quality, number, task=task, seed=seed)
    for name, states, actions in made:
        write_arrays(
            out / task / f"{name}.npz",
            qpos=env.qpos(states),
            qvel=env.qvel(states),
            action=actions,
            seed=[seed],
            samples=0,
        )
    env.close()
