"""Trajectories that policies are learnt from, and that distances are compared on.

Shapes: T steps, S state size, A actions, P proprioception, O observation of the state, H x W
pixels.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vipl.control.environment import ControlEnv, Floats
from vipl.errors import UserError


@dataclass(frozen=True)
class Trajectory:
    """What was done, and what was seen.

    Attributes:
        name: For the records.
        actions: [T, A], within [-1, 1].
        proprioception: [T + 1, P], as `ControlEnv.proprioception` gives it.
        observations: [T + 1, O], as `ControlEnv.observe` does; None where states are unknown.
        true_rewards: [T], of the ground-truth state, the last of a step's two minus the first.
        success: Whether the task is solved, bool [T + 1].
        pictures: Gives uint8 [T + 1, H, W, 3], seen through a camera.
        sha256: Of what the pictures show.
        states: [T + 1, S]; None where they are unknown.
    """

    name: str
    actions: Floats
    proprioception: Floats
    observations: Floats | None
    true_rewards: Floats
    success: NDArray[np.bool_]
    pictures: Callable[[str], NDArray[np.uint8]]
    sha256: str
    states: Floats | None = None


def known_states(trajectories: Sequence[Trajectory], protocol: str) -> list[Floats]:
    """Return the states [T + 1, S] of each trajectory.

    Raises:
        UserError: If those of one are unknown.
    """
    states = []
    for each in trajectories:
        if each.states is None:
            raise UserError(
                f"{each.name} has no states, which protocol={protocol} starts from: it needs the "
                "suite's own trajectories, or infos['state'] in the data set"
            )
        states.append(each.states)
    return states


def from_states(env: ControlEnv, name: str, states: Floats, actions: Floats) -> Trajectory:
    """Return the trajectory of states [T + 1, S] and actions [T, A] in an environment."""
    return Trajectory(
        name=name,
        actions=actions,
        proprioception=env.proprioception(states),
        observations=env.observe(states),
        true_rewards=np.diff(env.true_reward(states)),
        success=env.is_success(states),
        pictures=lambda camera: env.render(states, camera),
        sha256=hashlib.sha256(np.ascontiguousarray(states).tobytes()).hexdigest(),
        states=states,
    )
