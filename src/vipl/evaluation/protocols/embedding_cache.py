"""Embeddings of trajectories, kept on disk: a data set goes through an encoder once.

Shapes: T + 1 frames, D the embedding size.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vipl.control.trajectories import Trajectory
from vipl.files import write_atomically
from vipl.models.encoder import Encoder
from vipl.models.identity import encoder_sha256
from vipl.models.zoo.download import home
from vipl.rewards.goal import as_images


def embed_trajectories(
    encoder: Encoder, trajectories: Sequence[Trajectory], camera: str, *, rendering: str
) -> list[NDArray[np.float32]]:
    """Return the embeddings [T + 1, D] of each trajectory's pictures, computed or found.

    Args:
        encoder: That embeds.
        trajectories: Of one data set.
        camera: That they are seen through.
        rendering: Whatever else the pictures depend on.

    Raises:
        OSError: If the folder of what is kept cannot be written.
    """
    digest = hashlib.sha256(f"{encoder_sha256(encoder)} {camera} {rendering}".encode())
    for trajectory in trajectories:
        digest.update(trajectory.sha256.encode())
    file = home() / "embeddings" / f"{digest.hexdigest()}.npy"
    lengths = [len(trajectory.success) for trajectory in trajectories]
    found = _read(file, sum(lengths))
    if found is None:
        parts = [encoder.embed(as_images(t.pictures(camera))).cpu().numpy() for t in trajectories]
        found = np.concatenate(parts)
        write_atomically(file, lambda path: np.save(path, found))
    return np.split(found, np.cumsum(lengths)[:-1])


def _read(file: Path, rows: int) -> NDArray[np.float32] | None:
    """Return what is kept, or None where there is nothing, or nothing whole."""
    try:
        kept: NDArray[np.float32] = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    whole = kept.ndim == 2 and len(kept) == rows and bool(np.isfinite(kept).all())
    return kept if whole else None
