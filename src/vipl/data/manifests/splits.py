"""Which clips are held out, where the data set itself does not say."""

import hashlib
from collections.abc import Mapping
from typing import TypeVar

from vipl.errors import UserError

Key = TypeVar("Key")


def check_fraction(val_fraction: float) -> None:
    """Refuse a share of held-out videos that is none.

    Raises:
        UserError: Unless 0 <= share < 1.
    """
    if not 0 <= val_fraction < 1:
        raise UserError(f"the held-out share is {val_fraction}, expected 0 <= share < 1")


def name_fingerprint(name: str) -> str:
    """Return the SHA-256 of a video's name, for `assign_splits`."""
    return hashlib.sha256(name.encode()).hexdigest()


def assign_splits(fingerprints: Mapping[Key, str], val_fraction: float) -> dict[Key, str]:
    """Return "train" or "val" for every video, by its fingerprint alone.

    Held out are those whose first 64 bits, as a share of 2^64, are below `val_fraction`. With few
    videos chance may leave one side empty; the video of the lowest fingerprint is then held out,
    or that of the highest trained on. A single video is trained on.

    Args:
        fingerprints: SHA-256 in hexadecimal, of every video.
        val_fraction: Share that is held out.
    """
    distinct = sorted(set(fingerprints.values()))
    held_out = {value for value in distinct if int(value[:16], 16) < val_fraction * 2**64}
    if not held_out and val_fraction > 0:
        held_out = set(distinct[:1])
    if distinct and len(held_out) == len(distinct):
        held_out.discard(distinct[-1])
    return {key: "val" if value in held_out else "train" for key, value in fingerprints.items()}
