"""Writes demonstrations as Minari data sets: what other libraries of offline learning read."""

import importlib.util
import os
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeAlias

import gymnasium
import numpy as np

from vipl.console import Console, progress
from vipl.errors import UserError
from vipl.names import choose
from vipl_evaluators.frankakitchen.demonstrations import Demonstration, select
from vipl_evaluators.frankakitchen.gym_env import KitchenGymEnv
from vipl_evaluators.frankakitchen.tasks import TASKS
from vipl_evaluators.gym import env_id

GymEnv: TypeAlias = "gymnasium.Env[Any, Any]"

NAMESPACE = "vipl/frankakitchen"

_ROOT = "MINARI_DATASETS_PATH"


def dataset_id(task_name: str) -> str:
    """Return a task's Minari id: "vipl/frankakitchen/sdoor-open-v0" of "sdoor_open"."""
    return f"{NAMESPACE}/{task_name.replace('_', '-')}-v0"


def export_demonstrations(
    out: Path | None = None,
    *,
    tasks: Sequence[str] | None = None,
    kinds: Sequence[str] | None = None,
    folder: Path | None = None,
) -> list[str]:
    """Replay demonstrations in the Gymnasium environments, and write a Minari data set a task.

    Args:
        out: Folder of Minari data sets, None for Minari's own.
        tasks: Names, or None for all twelve.
        kinds: Some of `KINDS` and `QUALITY_KINDS`, or None for all.
        folder: Of demonstrations that `vipl demos generate` made, None for the package's.

    Returns:
        The data sets' ids.

    Raises:
        UserError: On an unknown name, where Minari is not installed, a data set is there already,
            there is nothing to write, or a demonstration does not replay here.
    """
    chosen = _choose_demonstrations(tasks, kinds, folder)
    root = _open_root(out)
    there = [dataset_id(name) for name in chosen if (root / dataset_id(name)).exists()]
    if there:
        raise UserError(
            f"already in {root}: {', '.join(there)}; delete them, or name another --out"
        )
    total, left_out = sum(map(len, chosen.values())), list[str]()
    with progress("replaying demonstrations", total=total) as bar:
        for name, demos in chosen.items():
            left_out += _export_task(root, name, demos)
            bar.advance(bar.task_ids[0], len(demos))
    ids = [dataset_id(name) for name in chosen]
    total -= len(left_out)
    console = Console(highlight=False, soft_wrap=True)
    if left_out:
        console.print(
            f"left out: {len(left_out)} that end otherwise with mujoco {version('mujoco')} "
            f"({', '.join(left_out)}); `vipl demos verify --replan DIR` makes others, for --folder"
        )
    console.print(
        f"{root}: {len(ids)} data sets of {total} demonstrations; "
        f"{f'with {_ROOT}={root}, ' if out else ''}minari.load_dataset({ids[0]!r}) loads one"
    )
    return ids


def _choose_demonstrations(
    tasks: Sequence[str] | None, kinds: Sequence[str] | None, folder: Path | None
) -> dict[str, list[Demonstration]]:
    names = choose("task", tasks, TASKS)
    demos = select(tasks=names, kinds=kinds, folder=folder)
    return {name: [demo for demo in demos if demo.task_name == name] for name in names}


def _open_root(out: Path | None) -> Path:
    """Return the folder of data sets.

    Raises:
        UserError: If Minari is not installed.
    """
    missing = [name for name in ("minari", "h5py") if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"{' and '.join(missing)} not installed: pip install 'vipl[minari]'")
    from minari.storage import get_dataset_path

    # Minari appends a relative path to itself.
    root = (out or Path(get_dataset_path())).absolute()
    root.mkdir(parents=True, exist_ok=True)
    return root


def _export_task(root: Path, name: str, demos: Sequence[Demonstration]) -> list[str]:
    """Write one data set under a temporary name, then rename it: nobody sees half of one.

    Returns:
        The names of demonstrations that end otherwise here, and are left out.

    Raises:
        UserError: If all of them do.
    """
    from minari.namespace import create_namespace, list_local_namespaces

    env = gymnasium.make(env_id(name))
    try:
        replayed = [(demo, _replay(env, demo)) for demo in demos]
        kept = [(demo, buffer) for demo, buffer in replayed if buffer is not None]
        if not kept:
            raise UserError(
                f"no demonstration of {name} ends as recorded with mujoco {version('mujoco')}: "
                "make others by `vipl demos verify --replan DIR`, and name --folder DIR"
            )
        with tempfile.TemporaryDirectory(dir=root, prefix=".export-") as temporary:
            with _minari_root(Path(temporary)):
                _create(env, name, [one for _, one in kept], [demo for demo, _ in kept])
            target = root / dataset_id(name)
            target.parent.mkdir(parents=True, exist_ok=True)
            (Path(temporary) / dataset_id(name)).rename(target)
    finally:
        env.close()
    with _minari_root(root):
        if NAMESPACE not in list_local_namespaces():
            create_namespace(NAMESPACE, description="The twelve FrankaKitchen tasks of vipl")
    return [demo.name for demo, buffer in replayed if buffer is None]


def _replay(limited: GymEnv, demo: Demonstration) -> Any:
    """Return a demonstration as a Minari episode; None if its actions lead to another end here."""
    from minari.data_collector import EpisodeBuffer

    env = limited.unwrapped  # a demonstration may be longer than an episode
    assert isinstance(env, KitchenGymEnv)
    arrays = demo.arrays
    options = {"state": env.kitchen.state(arrays["qpos"][0], arrays["qvel"][0])}
    observation, info = env.reset(options=options)
    observations, infos, rewards = [observation], [info], []
    for action in arrays["action"]:
        observation, reward, _, _, info = env.step(action)
        observations.append(observation)
        infos.append(info)
        rewards.append(reward)
    if info["success"] != demo.ends_solved:
        return None
    steps = len(rewards)
    return EpisodeBuffer(
        options=options,
        observations=observations,
        actions=arrays["action"],
        rewards=rewards,
        terminations=[False] * steps,
        truncations=[False] * (steps - 1) + [True],
        infos={key: np.array([info[key] for info in infos]) for key in info},
    )


def _create(env: GymEnv, name: str, buffers: Sequence[Any], demos: Sequence[Demonstration]) -> None:
    import minari

    with warnings.catch_warnings():
        # Minari asks for authors, links and another environment to evaluate in.
        warnings.filterwarnings("ignore", message=".*is set to None", category=UserWarning)
        dataset = minari.create_dataset_from_buffers(
            dataset_id(name),
            list(buffers),
            env=env,
            algorithm_name="model predictive path integral control on the ground-truth state",
            description=f"FrankaKitchen trajectories: {TASKS[name].label}. infos['success'] says "
            "which states are solved; options are what `reset` took, infos['state'] are full "
            "physics states.",
            requirements=["vipl", f"mujoco=={'.'.join(version('mujoco').split('.')[:2])}.*"],
        )
    labels = [{"name": demo.name, "kind": demo.kind, "split": demo.split} for demo in demos]
    dataset.storage.update_episode_metadata(labels)


@contextmanager
def _minari_root(root: Path) -> Iterator[None]:
    """Let Minari, which knows no other way to be told, use this folder."""
    before = os.environ.get(_ROOT)
    os.environ[_ROOT] = str(root)
    try:
        yield
    finally:
        del os.environ[_ROOT]
        if before is not None:
            os.environ[_ROOT] = before
