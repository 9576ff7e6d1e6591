"""`vipl label`: a copy of a Minari data set whose rewards are those of an encoder and a goal.

Only rewards change; what they were stays in `infos["task_reward"]`. Libraries of offline learning
read the copy as it is.

Shapes: T steps of an episode, H x W pixels, G pictures of a goal.
"""

import argparse
import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from vipl.console import progress, say
from vipl.data.decoding.pictures import read_picture
from vipl.data.decoding.video import VideoError
from vipl.errors import UserError
from vipl.files import locked
from vipl.models.checkpoint import load_encoder
from vipl.models.collapse import Extent
from vipl.models.encoder import Encoder
from vipl.processes.signals import terminated_by_exit
from vipl.rewards.curves import SAME
from vipl.rewards.goal import GoalReward, Mode, as_images, step_reward
from vipl.rewards.minari_files import DATA, damage, find_dataset, find_pictures, open_dataset

Pictures: TypeAlias = NDArray[np.uint8]

LAST = "last"
"""The goal of an episode is its own last picture."""


def run(args: argparse.Namespace) -> None:
    """Label a data set, and say where the copy is."""
    source = find_dataset(args.dataset)
    encoder = load_encoder(args.encoder, args.device, weights=args.weights)
    episodes = label(source, args.out, encoder, args.goal, image_key=args.image_key, mode=args.mode)
    say(
        f"{args.out}: {episodes} episodes with the rewards of {args.encoder}; "
        f"minari.MinariDataset({str(args.out / 'data')!r}) loads them"
    )


def label(
    source: Path,
    out: Path,
    encoder: Encoder,
    goal: Sequence[str],
    *,
    image_key: str | None = None,
    mode: Mode = "difference",
) -> int:
    """Copy a data set, and put visual rewards in the place of its own.

    Args:
        source: Its folder.
        out: A new folder; it is there when it is whole.
        encoder: In evaluation mode.
        goal: Pictures' files; or "last", each episode's own last picture.
        image_key: Of the pictures in observations that are dicts, uint8 [T + 1, H, W, 3]; found if
            None, where there is one.
        mode: As for `GoalReward.reward`.

    Returns:
        Number of episodes.

    Raises:
        UserError: If there are no such pictures, the folder is not new, or embeddings are not
            finite.
    """
    _check_new(out)
    dataset = open_dataset(source)
    if not (source / "data" / DATA).is_file():
        form = dataset.storage.metadata.get("data_format")
        raise UserError(f"{source} is stored as {form!r}, expected 'hdf5'")
    key = find_pictures(dataset.observation_space, image_key)
    make, extent = _goals(encoder, goal), Extent()
    with _unfinished(out) as folder:
        shutil.copytree(source, folder, dirs_exist_ok=True)
        total = int(dataset.total_episodes)
        with progress("labelling episodes", total=total) as bar:
            for episode in dataset.iterate_episodes():
                pictures = episode.observations if key == "" else episode.observations[key]
                images = as_images(np.asarray(pictures))
                embeddings, reward = encoder.embed(images), make(images)
                extent.add(embeddings)
                values = reward.value_of(embeddings)
                rewards = step_reward(values[:-1], values[1:], values[:1], mode=mode)
                _write(folder, int(episode.id), rewards.double().cpu().numpy())
                bar.advance(bar.task_ids[0])
        _describe(folder, encoder, goal, mode)
    if extent.is_a_point:
        print(f"{SAME} from picture to picture: the rewards say nothing")
    return total


def _goals(encoder: Encoder, goal: Sequence[str]) -> Callable[[torch.Tensor], GoalReward]:
    """Return what gives the reward of an episode's images, uint8 [T + 1, 3, H, W]."""
    if list(goal) == [LAST]:
        return lambda images: GoalReward(encoder, images[-1])
    try:
        pictures = [as_images(read_picture(Path(name))) for name in goal]
    except VideoError as error:
        raise UserError(f"{error} Expected pictures of the goal, or {LAST!r}") from error
    reward = GoalReward(encoder, pictures)
    return lambda images: reward


def _write(folder: Path, episode: int, rewards: NDArray[np.float64]) -> None:
    import h5py

    with h5py.File(folder / "data" / DATA, "a") as file:
        group = file[f"episode_{episode}"]
        before = group["rewards"][()]
        if "infos/task_reward" not in group:  # of a data set that was labelled before, it stays
            # Infos begin with that of the reset, which has no reward.
            group["infos/task_reward"] = np.concatenate([[np.nan], before])
        group["rewards"][...] = rewards


def _describe(folder: Path, encoder: Encoder, goal: Sequence[str], mode: Mode) -> None:
    file = folder / "data" / "metadata.json"
    metadata = json.loads(file.read_text())
    metadata["dataset_size"] = round((folder / "data" / DATA).stat().st_size / 1e6, 1)
    config = {"encoder": encoder.config, "goal": list(goal), "mode": mode}
    metadata["visual_reward"] = json.dumps(config)
    file.write_text(json.dumps(metadata))


def _check_new(out: Path) -> None:
    if out.exists():
        raise UserError(f"{out} is there already: name a new folder as --out")


@contextmanager
def _unfinished(out: Path) -> Iterator[Path]:
    """Give a folder beside the one that is meant, and rename it at the end.

    It is always the same, and held by a lock: what a killed process left is cleared by the next.
    """
    work = out.parent / f".{out.name}.unfinished"
    refusal = f"another process labels to {out}: wait for it, or name another --out"
    with locked(work, refusal), terminated_by_exit():
        folder = work / out.name
        shutil.rmtree(folder, ignore_errors=True)
        try:
            _check_new(out)  # since a moment ago
            folder.mkdir()
            yield folder
            os.replace(folder, out)
        except (shutil.Error, OSError, RuntimeError) as error:  # of HDF5, without a number
            if os.strerror(errno.ENOSPC) not in str(error):
                if isinstance(error, OSError) and not error.errno:  # HDF5's
                    raise UserError(f"the data set cannot be read: {damage(error)}") from error
                raise
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(out)) from error
        finally:
            shutil.rmtree(work)
