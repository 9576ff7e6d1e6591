"""Trajectories of a chosen quality, from anything that solves a task.

Shapes: T steps, S state size, A actions.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from vipl.control.environment import ControlEnv, Floats
from vipl.control.trajectories import Trajectory, from_states
from vipl.errors import UserError
from vipl.names import choose

if TYPE_CHECKING:
    from vipl.evaluation import Dataset

Script: TypeAlias = Callable[[Floats], Floats]
"""A state [S] to an action [A] within [-1, 1]."""

Beginning: TypeAlias = Callable[[np.random.Generator], tuple[Floats, Script]]
"""Draws a state [S] to start from, and the script that solves the task from there."""

Way: TypeAlias = tuple[Floats, Floats]
"""States [T + 1, S] and actions [T, A]."""

_NOISE = 0.4  # standard deviation of what "noisy" adds to every action
_HELD_STEPS = 12  # wandering: for how long an action is kept
_TRIALS = 10  # for each trajectory that is to be solved


class Guide(ABC):
    """How a task is solved, and how time is wasted on it.

    Attributes:
        env: Of the task.
    """

    env: ControlEnv

    @abstractmethod
    def follow(self, rng: np.random.Generator, *, noise: float = 0.0) -> Way:
        """Do what solves the task, from a start that is drawn.

        Args:
            rng: Of the start, and of noise.
            noise: Standard deviation of what is added to every action.
        """

    def begin_wandering(self, rng: np.random.Generator) -> tuple[Floats, int]:
        """Draw a start [S], and for how many steps to wander from there."""
        states, actions = self.follow(rng)
        return states[0], len(actions)

    def wander(self, start: Floats, steps: int, rng: np.random.Generator) -> Way:
        """Do one thing after another from a state [S], for no reason."""
        drawn = rng.uniform(-1, 1, size=(steps // _HELD_STEPS + 1, self.env.action_size))
        actions = np.repeat(drawn, _HELD_STEPS, axis=0)[:steps]
        return np.concatenate([start[None], self.env.rollout(start, actions[None])[0]]), actions


@dataclass(frozen=True)
class ScriptGuide(Guide):
    """A task that a script solves.

    Attributes:
        env: Of the task.
        begin: Draws a start and a script.
        steps: After which it is given up.
        more_steps: To go on for once it is solved.
    """

    env: ControlEnv
    begin: Beginning
    steps: int
    more_steps: int

    def follow(self, rng: np.random.Generator, *, noise: float = 0.0) -> Way:
        """Follow a script from a start until the task has been solved for a while."""
        start, script = self.begin(rng)
        states: list[Floats] = [start]
        actions: list[Floats] = []
        left = self.more_steps
        while len(actions) < self.steps and left > 0:
            action = script(states[-1])
            if noise:
                action = np.clip(action + rng.normal(scale=noise, size=len(action)), -1, 1)
            states.append(self.env.step(states[-1][None], action[None])[0])
            actions.append(action)
            left -= bool(self.env.is_success(states[-1]))
        return np.array(states), np.array(actions)


def make_trajectories(
    guide: Guide, quality: str, number: int, *, task: str, seed: int = 0
) -> list[tuple[str, Floats, Floats]]:
    """Make trajectories of a task, each from another start.

    Args:
        guide: To follow.
        quality: "expert": all solve it. "mixed": a third does, a third leaves off half-way and
            wanders about, a third wanders from the start. "noisy": that is followed with
            noise on every action, to whatever end.
        number: Of trajectories.
        task: Its name.
        seed: Of all that is random.

    Returns:
        Names such as "expert_00", states [T + 1, S] and actions [T, A].

    Raises:
        UserError: If the quality is unknown, or what is followed does not solve the task.
    """
    choose("quality", [quality], _MAKERS)
    chosen = _MAKERS[quality]
    rng = np.random.default_rng([seed, *f"{task} {quality}".encode()])
    made = []
    for index in range(number):
        maker = chosen[index % len(chosen)]
        made.append((f"{maker.__name__.strip('_')}_{index:02d}", *maker(guide, rng)))
    return made


def follow(guide: Guide, dataset: "Dataset", *, task: str, seed: int = 0) -> list[Trajectory]:
    """Make the trajectories that a data set of the suite's own is to hold."""
    made = make_trajectories(guide, dataset.quality, dataset.trajectories, task=task, seed=seed)
    return [from_states(guide.env, f"{task}/{name}", *way) for name, *way in made]


def _expert(guide: Guide, rng: np.random.Generator) -> Way:
    for _ in range(_TRIALS):
        states, actions = guide.follow(rng)
        if guide.env.is_success(states[-1]):
            return states, actions
    raise UserError(
        f"none of {_TRIALS} tries solved the task; with another MuJoCo than the one that it was "
        "tried with, name trajectories by the protocol's dataset.path"
    )


def _noisy(guide: Guide, rng: np.random.Generator) -> Way:
    return guide.follow(rng, noise=_NOISE)


def _half(guide: Guide, rng: np.random.Generator) -> Way:
    states, actions = _expert(guide, rng)
    solved = int(guide.env.is_success(states).argmax())
    left_at = int(rng.integers(solved // 3, max(solved - 2, solved // 3 + 1)))
    more, more_actions = guide.wander(states[left_at], len(actions) - left_at, rng)
    return (
        np.concatenate([states[:left_at], more]),
        np.concatenate([actions[:left_at], more_actions]),
    )


def _wandering(guide: Guide, rng: np.random.Generator) -> Way:
    return guide.wander(*guide.begin_wandering(rng), rng)


_MAKERS: dict[str, Sequence[Callable[[Guide, np.random.Generator], Way]]] = {
    "expert": (_expert,),
    "mixed": (_expert, _half, _wandering),
    "noisy": (_noisy,),
}

QUALITIES = tuple(_MAKERS)
