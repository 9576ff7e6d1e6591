"""The distances that value functions are trained on: of transitions to goals.

The paper's frame tuples and dense ones differ in which (transition, goal) a batch holds, and in
nothing else; an objective that is written on `GoalDistances` knows neither.

Shapes: B clips of a batch, P pairs of a clip, N permutations, D embedding size; M is any shape.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from vipl.objectives.distances import distance, full_precision, pairwise_distances


class GoalDistances(NamedTuple):
    """Distances to goals; V(o; g) is their negative.

    Attributes:
        start: [M], ||phi(o_0) - phi(g)||, of first frames to their goals.
        current: [M], ||phi(o_k) - phi(g)||, of transitions to goals of their own clip.
        following: [M], ||phi(o_{k+1}) - phi(g)||.
        counted: bool [M]: which of these there are; None: all.
        other_current: [M'], of transitions of other clips, or None without negatives.
        other_following: [M'], or None.
    """

    start: Tensor
    current: Tensor
    following: Tensor
    counted: Tensor | None
    other_current: Tensor | None
    other_following: Tensor | None


def goal_distances(embeddings: Tensor, times: Tensor, permutations: Tensor | None) -> GoalDistances:
    """Return the distances of a batch; the shape of its embeddings says which tuples it holds.

    Args:
        embeddings: [B, 4, D] or [B, P, 2, D].
        times: int64 [B, 4] or [B, P, 2].
        permutations: int64 [N, B] or None.

    Raises:
        ValueError: On a wrong shape or type.
    """
    if embeddings.ndim == 4:
        return dense_distances(embeddings, times, permutations)
    return paper_distances(embeddings, permutations)


def paper_distances(embeddings: Tensor, permutations: Tensor | None) -> GoalDistances:
    """Return the distances of the paper's tuples: one transition and one goal a clip.

    Args:
        embeddings: [B, 4, D] in the order (start, goal, current, next). Half precision is
            computed in float32, float64 in float64.
        permutations: int64 [N, B] or None. Goal i also meets the transition of clip
            permutations[n, i], for every n.

    Raises:
        ValueError: On a wrong shape or type.
    """
    check_tuple(embeddings)
    check_permutations(len(embeddings), permutations)
    start, goal, current, following = full_precision(embeddings).unbind(1)
    others: tuple[Tensor | None, Tensor | None] = (None, None)
    if permutations is not None and len(permutations):
        others = (distance(current[permutations], goal), distance(following[permutations], goal))
    own = distance(start, goal), distance(current, goal), distance(following, goal)
    return GoalDistances(*own, None, *others)


def dense_distances(
    embeddings: Tensor, times: Tensor, permutations: Tensor | None
) -> GoalDistances:
    """Return the distances of every (pair, goal) that a draw of pairs contains.

    Each of the P pairs (o_k, o_{k+1}) of a clip is set against every frame of the same draw that
    lies after o_k, so 2P encoded images give on the order of P^2 transitions with a goal where the
    paper's tuple gives one for four. Start frames are the same o_k.

    Args:
        embeddings: [B, P, 2, D], the pairs (current, next).
        times: int64 [B, P, 2], their frame numbers in the clip.
        permutations: int64 [N, B] or None: goals of clip i meet the pairs of permutations[n, i].

    Raises:
        ValueError: On a wrong shape or type.
    """
    check_pairs(embeddings, times)
    check_permutations(len(embeddings), permutations)
    embeddings = full_precision(embeddings)
    current, following = embeddings.unbind(2)  # [B, P, D]
    goals = embeddings.flatten(1, 2)  # [B, 2P, D]
    later = times.flatten(1, 2)[:, None, :] > times[:, :, 0, None]  # [B, P, 2P]
    to_current = pairwise_distances(current, goals)
    others: tuple[Tensor | None, Tensor | None] = (None, None)
    if permutations is not None and len(permutations):
        others = (
            pairwise_distances(current[permutations], goals),
            pairwise_distances(following[permutations], goals),
        )
    following_distances = pairwise_distances(following, goals)
    return GoalDistances(to_current, to_current, following_distances, later, *others)


def check_tuple(embeddings: Tensor) -> None:
    """Refuse what is not [B, 4, D].

    Raises:
        ValueError: On another shape.
    """
    if embeddings.ndim != 3 or embeddings.shape[1] != 4:
        raise ValueError(
            f"embeddings have the shape {list(embeddings.shape)}, expected [B, 4, D] with the "
            "frames (start, goal, current, next)"
        )


def check_pairs(embeddings: Tensor, times: Tensor) -> None:
    """Refuse what is not [B, P, 2, D] with times [B, P, 2].

    Raises:
        ValueError: On other shapes.
    """
    if embeddings.ndim != 4 or embeddings.shape[2] != 2 or times.shape != embeddings.shape[:3]:
        raise ValueError(
            f"embeddings {list(embeddings.shape)} and times {list(times.shape)}, expected "
            "[B, P, 2, D] and [B, P, 2]: pairs (current, next)"
        )


def check_permutations(batch: int, permutations: Tensor | None) -> None:
    """Refuse an empty batch, and permutations that are not int64 [N, B].

    Raises:
        ValueError: On either.
    """
    if batch == 0:
        raise ValueError("the batch is empty: expected at least one clip")
    if permutations is None:
        return
    shape_fits = permutations.ndim == 2 and permutations.shape[1] == batch
    if permutations.dtype != torch.int64 or not shape_fits:
        raise ValueError(
            f"permutations are {permutations.dtype} {list(permutations.shape)}, expected int64 "
            f"[N, {batch}]"
        )
