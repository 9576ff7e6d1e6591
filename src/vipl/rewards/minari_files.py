"""Data sets of Minari: where one is, and which of its observations are pictures."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces

from vipl.errors import UserError

DATA = "main_data.hdf5"
"""The file of episodes, in the folder `data` of a data set."""


def find_dataset(name: str) -> Path:
    """Return the folder of a data set: a path, or the id of one that Minari has here.

    Raises:
        UserError: If there is none.
    """
    missing = [module for module in ("minari", "h5py") if not importlib.util.find_spec(module)]
    if missing:
        raise UserError(f"{' and '.join(missing)} not installed: pip install 'vipl[minari]'")
    from minari.storage import get_dataset_path

    if (Path(name) / "data" / "metadata.json").is_file():
        return Path(name)
    if Path(name).is_dir():
        raise UserError(f"{name} is no Minari data set: it holds no data/metadata.json")
    try:
        path: Path = get_dataset_path(name)
    except ValueError as error:
        raise UserError(f"there is no data set {name!r}: {error}") from error
    if not (path / "data" / "metadata.json").is_file():
        raise UserError(
            f"there is no data set {name!r} in {path.parent}: expected the path of one, or an id "
            "that `minari list local` shows (MINARI_DATASETS_PATH names their folder)"
        )
    return path


def open_dataset(folder: Path) -> Any:
    """Return a `minari.MinariDataset`.

    Raises:
        UserError: If its files cannot be read.
    """
    import h5py
    import minari

    try:
        dataset = minari.MinariDataset(folder / "data")
        if (folder / "data" / DATA).is_file():
            h5py.File(folder / "data" / DATA, "r").close()
    except (OSError, ValueError, LookupError, TypeError) as error:  # damage shows in many ways
        if isinstance(error, OSError) and error.errno:
            raise
        raise UserError(
            f"{folder} cannot be read: {damage(error)}: make or fetch it again"
        ) from error
    return dataset


def damage(error: BaseException) -> str:
    """Return what a library says of a damaged file, in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]


def find_pictures(
    space: spaces.Space[Any], image_key: str | None, *, option: str = "--image-key"
) -> str:
    """Return the key of the pictures in observations, "" where they are the observations.

    Args:
        space: Of the observations.
        image_key: That the user chose.
        option: By which it is chosen, for the message.

    Raises:
        UserError: If there are none, or several and none is chosen.
    """
    if _is_picture(space) and not image_key:
        return ""
    inner = space.spaces if isinstance(space, spaces.Dict) else {}
    keys = [name for name, one in inner.items() if _is_picture(one)]
    if image_key is not None:
        if image_key not in keys:
            raise UserError(f"observations have no pictures {image_key!r}, but {keys}")
        return image_key
    if len(keys) != 1:
        found = f"several: {', '.join(keys)}; choose by {option}" if keys else f"none in {space}"
        raise UserError(f"which observations are pictures (uint8 [H, W, 3])? There are {found}")
    return keys[0]


def _is_picture(space: spaces.Space[Any]) -> bool:
    shape = space.shape or ()
    return space.dtype == np.uint8 and len(shape) == 3 and shape[2] == 3
