"""The memory by which loading processes hand over their batches: /dev/shm on Linux.

Containers are often given 64 MB of it. A batch that finds no room there never arrives.
"""

import os
from pathlib import Path

from vipl.errors import UserError

_FOLDER = Path("/dev/shm")
REMEDY = (
    "enlarge it (of a container by --shm-size=2g, say), or take fewer loading processes or smaller "
    "batches; none, by {option}=0, need none of it"
)


def held_bytes(batch_bytes: int, *, workers: int, prefetched: int = 2) -> int:
    """Return how much of it a loader holds at most.

    Args:
        batch_bytes: Of one batch.
        workers: Loading processes; 0: this one, which needs none.
        prefetched: Batches that each of them makes ahead.
    """
    # Beside what lies ready: the batch that is in use, and the one that takes its place.
    return batch_bytes * (workers * prefetched + 2) if workers else 0


def check_room(need_bytes: int, *, option: str) -> None:
    """Refuse to begin where batches would not find room.

    Args:
        need_bytes: That all loaders of this machine hold at most.
        option: That says how many processes load.

    Raises:
        UserError: With what there is, what is needed, and the remedies.
    """
    free = _free_bytes()
    if free is not None and need_bytes > free:
        raise UserError(
            f"{_FOLDER} has {_megabytes(free)} free, and loading processes hold up to "
            f"{_megabytes(need_bytes)} of batches there: {REMEDY.format(option=option)}"
        )


def _free_bytes() -> int | None:
    """Return what is free, None where the system has no such folder."""
    try:
        there = os.statvfs(_FOLDER)
    except OSError:
        return None
    return there.f_bavail * there.f_frsize


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.0f} MB" if size >= 10**7 else f"{size / 1e6:.1f} MB"
