"""Trajectories out of a Minari data set.

Shapes: T steps, S state size, A actions, H x W pixels.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vipl.control.environment import ControlEnv, Floats
from vipl.control.trajectories import Trajectory, from_states
from vipl.errors import UserError
from vipl.rewards.minari_files import find_dataset, find_pictures, open_dataset


def load_trajectories(
    name: str,
    number: int,
    env: ControlEnv,
    *,
    image_key: str | None = None,
    section: str = "dataset",
) -> list[Trajectory]:
    """Return the first trajectories of a data set.

    Where its infos hold full states of this environment, as `vipl demos export` writes them, or
    its observations tell them, pictures are rendered from them, through any camera. Otherwise its
    observations must hold pictures, which are seen through no other camera than its own; what else
    they hold is what the robot feels of itself.

    Args:
        name: A Minari id, or the folder of a data set.
        number: Of trajectories.
        env: That the policy will act in.
        image_key: Of the pictures in observations, where there are several.
        section: Of the configuration, where the data set is chosen; messages name it.

    Raises:
        UserError: If there is no such data set, it holds fewer trajectories, its actions are of
            another size, or it has no states and neither pictures nor infos["success"].
    """
    folder = find_dataset(name)
    dataset = open_dataset(folder)
    if dataset.total_episodes < number:
        raise UserError(
            f"{name} holds {dataset.total_episodes} trajectories, {number} are asked for: "
            f"{section}.trajectories={dataset.total_episodes}"
        )
    size = int(np.prod(dataset.action_space.shape or (0,)))
    if size != env.action_size:
        raise UserError(f"{name} has actions of {size} numbers, the environment {env.action_size}")
    episodes = dataset.iterate_episodes(range(number))

    def find_key() -> str:
        space = dataset.observation_space
        return find_pictures(space, image_key, option=f"{section}.image_key")

    return [_trajectory(episode, env, folder, find_key) for episode in episodes]


def _trajectory(
    episode: Any, env: ControlEnv, folder: Path, find_key: Callable[[], str]
) -> Trajectory:
    name = f"{folder.name}/{episode.id}"
    infos = episode.infos or {}
    actions = np.asarray(episode.actions, dtype=np.float64)
    states: Floats | None = np.asarray(infos.get("state", ()), dtype=np.float64)
    if states is None or states.shape != (len(actions) + 1, len(env.start_state())):
        states = env.recorded_states(episode.observations)
    if states is not None:
        return from_states(env, name, states, actions)
    if "success" not in infos:
        raise UserError(f"{folder} has no infos['success'], bool [T + 1]: which frames are solved?")
    key = find_key()
    pictures = np.asarray(episode.observations[key] if key else episode.observations)
    rest = {k: v for k, v in episode.observations.items() if k != key} if key else {}
    return Trajectory(
        name=name,
        actions=actions,
        proprioception=_felt(rest, len(actions) + 1, env, folder),
        observations=None,
        true_rewards=np.asarray(episode.rewards, dtype=np.float64),
        success=np.asarray(infos["success"], dtype=bool),
        pictures=lambda camera: pictures,
        sha256=hashlib.sha256(np.ascontiguousarray(pictures).tobytes()).hexdigest(),
    )


def _felt(rest: dict[str, NDArray[Any]], frames: int, env: ControlEnv, folder: Path) -> Floats:
    """Return [T + 1, P], all observations but the pictures."""
    parts = [np.asarray(rest[key], dtype=np.float64).reshape(frames, -1) for key in sorted(rest)]
    felt = np.concatenate([np.empty((frames, 0)), *parts], axis=1)
    expected = env.proprioception(env.start_state()).shape[-1]
    if felt.shape[1] != expected:
        raise UserError(
            f"{folder} has {felt.shape[1]} numbers beside its pictures, and the environment feels "
            f"{expected}: a policy that learns from the one cannot act in the other"
        )
    return felt
