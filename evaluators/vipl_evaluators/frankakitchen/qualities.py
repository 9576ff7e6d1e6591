"""Trajectories of mixed quality, made in seconds from the demonstrations that solve a task.

A tracked one begins at another pose of the arm, and follows the arm of a demonstration by its own
actions and a correction; whether it solves the task is for the simulator to say.

Shapes: T steps, S state size, A actions.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from rich.console import Console

from vipl.control.environment import Floats
from vipl.errors import UserError
from vipl.names import choose
from vipl_evaluators.frankakitchen.demonstrations import load_index, write_arrays, write_index
from vipl_evaluators.frankakitchen.environment import ARM_JOINTS, KitchenEnv
from vipl_evaluators.frankakitchen.tasks import TASKS

_CORRECTION = 4.0  # of an action, for a radian that a joint is off
_NOISE = 0.4  # standard deviation of what "noisy" adds to every action
_POSE_RADIANS, _POSE_STEPS = 0.6, 14  # wandering: how far poses are from the start's, how long each
_TRIALS = 10  # for each trajectory that is to be solved

Way: TypeAlias = tuple[Floats, Floats]
"""States [T + 1, S] and actions [T, A]."""


def make_trajectories(
    env: KitchenEnv, quality: str, number: int, *, seed: int = 0
) -> list[tuple[str, Floats, Floats]]:
    """Make trajectories of a task.

    Args:
        env: Of the task.
        quality: "expert": all solve it. "mixed": a third does, a third leaves off half-way and
            wanders about, a third wanders from the start. "noisy": demonstrations are followed
            with noise on every action, to whatever end.
        number: Of trajectories.
        seed: Of all that is random.

    Returns:
        Names such as "expert_00", states [T + 1, S] and actions [T, A].

    Raises:
        UserError: If the quality is unknown, or the demonstrations cannot be followed here.
    """
    choose("quality", [quality], _MAKERS)
    chosen = _MAKERS[quality]
    rng = np.random.default_rng([seed, *f"{env.task.name} {quality}".encode()])
    made = []
    for index in range(number):
        maker = chosen[index % len(chosen)]
        made.append((f"{maker.__name__.strip('_')}_{index:02d}", *maker(env, rng)))
    return made


def write_trajectories(
    out: Path,
    *,
    quality: str,
    tasks: Sequence[str] | None = None,
    number: int = 20,
    seed: int = 0,
) -> Path:
    """Write trajectories to `out/<task>/<kind>_NN.npz`, and list them in `out/index.json`.

    Args:
        out: Folder to write to; files of the same names are replaced.
        quality: As for `make_trajectories`.
        tasks: Names, or None for all twelve.
        number: Of trajectories a task.
        seed: Of all that is random.

    Returns:
        The index's path.

    Raises:
        UserError: As `make_trajectories` does, or if a name is unknown.
    """
    if number < 1:
        raise UserError(f"--number is {number}, expected 1 or more")
    for task in choose("task", tasks, list(TASKS)):
        env = KitchenEnv(TASKS[task])
        for name, states, actions in make_trajectories(env, quality, number, seed=seed):
            write_arrays(
                out / task / f"{name}.npz",
                qpos=env.qpos(states),
                qvel=env.qvel(states),
                action=actions,
                seed=[seed],
                samples=0,
            )
        env.close()
    index = write_index(out)
    Console(highlight=False, soft_wrap=True).print(f"{index}: {len(load_index(out))} trajectories")
    return index


def _expert(env: KitchenEnv, rng: np.random.Generator) -> Way:
    for _ in range(_TRIALS):
        states, actions = _follow(env, rng, noise=0.0)
        if env.is_success(states[-1]):
            return states, actions
    raise UserError(
        f"{env.task.name}: none of {_TRIALS} ways along its demonstrations solved it; with another "
        "MuJoCo than theirs, name trajectories made with it by dataset.path"
    )


def _noisy(env: KitchenEnv, rng: np.random.Generator) -> Way:
    return _follow(env, rng, noise=_NOISE)


def _half(env: KitchenEnv, rng: np.random.Generator) -> Way:
    states, actions = _expert(env, rng)
    solved = int(env.is_success(states).argmax())
    left_at = int(rng.integers(solved // 3, max(solved - 2, solved // 3 + 1)))
    more, more_actions = _wander(env, states[left_at], len(actions) - left_at, rng)
    return (
        np.concatenate([states[:left_at], more]),
        np.concatenate([actions[:left_at], more_actions]),
    )


def _wandering(env: KitchenEnv, rng: np.random.Generator) -> Way:
    _, actions = _reference(env)
    return _wander(env, env.start_states(1, rng)[0], len(actions), rng)


def _reference(env: KitchenEnv) -> Way:
    """Return the arm's positions [T + 1, 7] and the actions of the shortest demonstration.

    One way of doing it: the mean of two may be none.
    """
    starts = [d for d in load_index() if d.task_name == env.task.name and d.kind == "start"]
    shortest = min((d for d in starts if d.split == "train"), key=lambda d: d.frames)
    return shortest.arrays["qpos"][:, :ARM_JOINTS], shortest.arrays["action"]


def _follow(env: KitchenEnv, rng: np.random.Generator, *, noise: float) -> Way:
    arm, recorded = _reference(env)
    state = env.start_states(1, rng)[0]
    states, actions = [state], []
    for aim, action in zip(arm, recorded, strict=False):
        corrected = action.copy()
        corrected[:ARM_JOINTS] += _CORRECTION * (aim - env.qpos(state)[:ARM_JOINTS])
        if noise:
            corrected += rng.normal(scale=noise, size=len(corrected))
        actions.append(np.clip(corrected, -1, 1))
        state = env.rollout(state, actions[-1][None, None])[0, 0]
        states.append(state)
    return np.array(states), np.array(actions)


def _wander(env: KitchenEnv, start: Floats, steps: int, rng: np.random.Generator) -> Way:
    """Move the arm from pose to pose around the usual start, whatever it meets."""
    states, actions = [start], []
    for aim in _poses(env, steps, rng):
        action = np.zeros(env.action_size)
        off = aim - env.qpos(states[-1])[:ARM_JOINTS]
        action[:ARM_JOINTS] = np.clip(_CORRECTION * off, -1, 1)
        states.append(env.rollout(states[-1], action[None, None])[0, 0])
        actions.append(action)
    return np.array(states), np.array(actions).reshape(-1, env.action_size)


def _poses(env: KitchenEnv, steps: int, rng: np.random.Generator) -> Iterator[Floats]:
    home = env.start_qpos()[:ARM_JOINTS]
    for step in range(steps):
        if step % _POSE_STEPS == 0:
            aim = home + rng.uniform(-_POSE_RADIANS, _POSE_RADIANS, ARM_JOINTS)
        yield aim


_MAKERS: dict[str, Sequence[Callable[[KitchenEnv, np.random.Generator], Way]]] = {
    "expert": (_expert,),
    "mixed": (_expert, _half, _wandering),
    "noisy": (_noisy,),
}

QUALITIES = tuple(_MAKERS)
