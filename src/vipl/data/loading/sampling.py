"""Which frames the n-th sample of a run takes: a pure function of (seed, n, attempt).

Nothing else enters: not the number of workers, not the rank, not what ran before. Rank and step
only decide which n a process draws, so a run resumes exactly, and on any number of processes.
"""

from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vipl.data.manifests.validation import MIN_FRAMES

Tuples = Literal["paper", "dense"]

# One number a purpose keeps the streams of one (seed, n) independent of each other.
_EPOCH, _REDRAW, _FRAMES, _CROP, _PERMUTATIONS, _NOISE = range(6)


def draw_clip(seed: int, n: int, *, attempt: int, num_clips: int) -> int:
    """Return the row of the clip of sample n.

    The first attempt walks through a fresh permutation of the clips in every epoch of
    `num_clips` samples. Later attempts, made when the clip before could not be read, are uniform.
    """
    if attempt == 0:
        epoch, position = divmod(n, num_clips)
        return int(_epoch_order(seed, epoch, num_clips)[position])
    return int(_rng(seed, _REDRAW, n, attempt).integers(num_clips))


def draw_frames(
    seed: int,
    n: int,
    *,
    attempt: int,
    num_frames: int,
    tuples: Tuples,
    tuples_per_clip: int = 1,
    pairs_per_clip: int,
) -> NDArray[np.int64]:
    """Return the frame numbers of sample n, relative to its clip's first frame.

    Args:
        seed: Of the run.
        n: Number of the sample in the run.
        attempt: 0, or how often the sample has been redrawn.
        num_frames: T >= 3, of the clip.
        tuples: "paper" or "dense".
        tuples_per_clip: K, for "paper"; the first is the same for every K.
        pairs_per_clip: P, for "dense".

    Returns:
        int64 [K, 4], (start, goal, current, next), or int64 [1, P, 2], pairs (current, next).
    """
    rng = _rng(seed, _FRAMES, n, attempt)
    if tuples == "paper":
        return np.stack([draw_tuple(rng, num_frames) for _ in range(tuples_per_clip)])
    return draw_pairs(rng, num_frames, pairs_per_clip)[None]


def draw_tuple(rng: np.random.Generator, num_frames: int) -> NDArray[np.int64]:
    """Draw (start, goal, current, next), each uniform in what those before it leave.

    start in [0, T-3], goal in [start+1, T-1], current in [start, goal-1], next = current + 1.
    """
    if num_frames < MIN_FRAMES:
        raise ValueError(f"a clip of {num_frames} frames, expected at least {MIN_FRAMES}")
    start = rng.integers(0, num_frames - 2)
    goal = rng.integers(start + 1, num_frames)
    current = rng.integers(start, goal)
    return np.array([start, goal, current, current + 1], np.int64)


def draw_pairs(rng: np.random.Generator, num_frames: int, pairs: int) -> NDArray[np.int64]:
    """Draw pairs (current, next) in time order, without repeats while the clip has enough.

    Returns:
        int64 [P, 2].
    """
    if num_frames < MIN_FRAMES:
        raise ValueError(f"a clip of {num_frames} frames, expected at least {MIN_FRAMES}")
    current = rng.choice(num_frames - 1, pairs, replace=pairs > num_frames - 1)
    current.sort()
    return np.stack([current, current + 1], axis=1).astype(np.int64)


def crop_seed(seed: int, n: int, *, attempt: int) -> tuple[int, ...]:
    """Return the seed of sample n's crop."""
    return (seed, _CROP, n, attempt)


def draw_permutations(seed: int, number: int, *, count: int, batch: int) -> NDArray[np.int64]:
    """Return int64 [N, B] permutations of the run's n-th global batch, for negatives."""
    rng = _rng(seed, _PERMUTATIONS, number)
    return np.stack([rng.permutation(batch) for _ in range(count)]).astype(np.int64)


def noise_seed(seed: int, number: int, *, rank: int) -> int:
    """Return the seed of what is random in the network at the run's n-th batch."""
    return int(_rng(seed, _NOISE, number, rank).integers(2**63))


@lru_cache(maxsize=4)
def _epoch_order(seed: int, epoch: int, num_clips: int) -> NDArray[np.int64]:
    return _rng(seed, _EPOCH, epoch).permutation(num_clips)


def _rng(*key: int) -> np.random.Generator:
    return np.random.default_rng(key)
