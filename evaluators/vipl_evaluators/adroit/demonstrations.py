"""The demonstrations of the pen's task that come with the package; `generate` made them.

Shapes: T steps, S state size, A actions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from vipl.control.environment import Floats
from vipl.errors import UserError
from vipl.files import write_atomically

_FOLDER = Path(__file__).parent / "data"


@dataclass(frozen=True)
class Demonstration:
    """One trajectory, which ends solved.

    Attributes:
        name: Such as "pen_00".
        states: [T + 1, S].
        actions: [T, A].
    """

    name: str
    states: Floats
    actions: Floats


def load_demonstrations(folder: Path = _FOLDER) -> Sequence[Demonstration]:
    """Return all demonstrations of a folder; the first is from the usual start.

    Raises:
        UserError: If it holds none.
    """
    paths = sorted(folder.glob("pen_*.npz"))
    if not paths:
        raise UserError(f"{folder} holds no demonstrations: expected pen_00.npz and more")
    return [_read(path) for path in paths]


def write_demonstration(path: Path, states: Floats, actions: Floats) -> None:
    """Write what `load_demonstrations` reads."""
    write_atomically(path, partial(np.savez_compressed, state=states, action=actions))


def _read(path: Path) -> Demonstration:
    with np.load(path, allow_pickle=False) as file:
        return Demonstration(path.stem, file["state"], file["action"])
