"""The VIP objective: a dual form of goal-conditioned offline RL on action-free video.

Source: Ma et al., "VIP: Towards Universal Visual Reward and Representation via Value-Implicit
Pre-Training", ICLR 2023, arXiv 2210.00030, equation 5 and algorithm 1.

With the value V(o; g) = -||phi(o) - phi(g)||_2 and the reward r = -1 of every step that does not
start at the goal, the loss of a batch is

    (1 - gamma) * mean(-V(o_0; g)) + log(epsilon + mean(exp(-residual)))
    residual = r + gamma * V(o_{k+1}; g) - V(o_k; g)

Both parts are functions of distances alone, so the paper's frame tuples and the dense ones share
`vip_terms`. Everything is computed in the log domain: distances of 1e3 do not overflow.

Shapes: B clips of a batch, D embedding size, N permutations, P pairs of a clip.
"""

import math
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

Negatives = Literal["separate", "joint"]

STEP_REWARD = -1.0
"""Reward of a transition that does not start at the goal (section 4 of the paper)."""


class VIPTerms(NamedTuple):
    """The parts of the loss, scalars.

    `attraction` pulls a clip's first frame towards its goal; `repulsion` is the log-mean-exp of
    the temporal-difference residuals, the negatives' included.
    """

    attraction: Tensor
    repulsion: Tensor

    @property
    def loss(self) -> Tensor:
        """Their sum."""
        return self.attraction + self.repulsion


def log_mean_exp(exponents: Tensor, *, epsilon: float, counted: Tensor | None = None) -> Tensor:
    """Return log(epsilon + mean(exp(exponents))) without overflow.

    Args:
        exponents: Any shape.
        epsilon: Added inside the logarithm.
        counted: bool, the same shape: the elements that the mean runs over; None: all. (To pick
            them out would make the host wait for a GPU: it must know how many there are.)
    """
    if counted is None:
        mean = torch.logsumexp(exponents.flatten(), dim=0) - math.log(exponents.numel())
    else:
        rest = exponents.masked_fill(~counted, -torch.inf)
        mean = torch.logsumexp(rest.flatten(), dim=0) - counted.sum().log()
    return torch.logaddexp(mean, torch.full_like(mean, epsilon).log())


def residuals(current: Tensor, following: Tensor, *, gamma: float) -> Tensor:
    """Return -(r + gamma * V(o_{k+1}; g) - V(o_k; g)) from distances to the goal.

    Args:
        current: Distances ||phi(o_k) - phi(g)||, any shape.
        following: Distances ||phi(o_{k+1}) - phi(g)||, the same shape.
        gamma: Discount in (0, 1).
    """
    return -STEP_REWARD + gamma * following - current


def vip_terms(
    start: Tensor,
    positive: Tensor,
    *,
    gamma: float,
    negative: Tensor | None = None,
    negatives: Negatives = "separate",
    epsilon: float = 1e-8,
    counted: Tensor | None = None,
) -> VIPTerms:
    """Combine distances and residuals into the two terms of the loss.

    Args:
        start: Distances of start frames to their goals, any shape.
        positive: Residuals of a clip's pairs against its own goals, any shape.
        gamma: Discount in (0, 1).
        negative: Residuals against the goals of other clips, any shape, or None.
        negatives: "separate" adds a second log-mean-exp over the negatives (the released
            weights were trained so); "joint" puts them into the first one (the paper's text).
        epsilon: Added inside the logarithm.
        counted: bool, of the shape of `start` and `positive`: which of them there are; None: all.
    """
    if counted is None:
        attraction = (1 - gamma) * start.mean()
    else:
        attraction = (1 - gamma) * (start * counted).sum() / counted.sum()
    if negative is not None and negatives == "joint":
        if counted is not None:
            counted = torch.cat([counted.flatten(), torch.ones_like(negative.flatten()).bool()])
        positive, negative = torch.cat([positive.flatten(), negative.flatten()]), None
    repulsion = log_mean_exp(positive, epsilon=epsilon, counted=counted)
    if negative is not None:
        repulsion = repulsion + log_mean_exp(negative, epsilon=epsilon)
    return VIPTerms(attraction, repulsion)


def distance(first: Tensor, second: Tensor) -> Tensor:
    """Return the Euclidean distance over the last dimension; its gradient at zero is zero."""
    result: Tensor = torch.linalg.vector_norm(first - second, dim=-1)
    return result


def embedding_norms(embeddings: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean L1 and the mean L2 norm of the embeddings of all frames.

    Args:
        embeddings: [..., D], any number of leading dimensions.

    Returns:
        Two scalars. The recipe penalises each with a weight of 0.001; the paper's table calls
        them weight penalties, but they act on embeddings.
    """
    embeddings = _full_precision(embeddings)
    l1 = torch.linalg.vector_norm(embeddings, ord=1, dim=-1).mean()
    l2 = torch.linalg.vector_norm(embeddings, ord=2, dim=-1).mean()
    return l1, l2


def vip_loss(
    embeddings: Tensor,
    *,
    gamma: float = 0.98,
    permutations: Tensor | None = None,
    negatives: Negatives = "separate",
    epsilon: float = 1e-8,
) -> Tensor:
    """Return the VIP loss of the paper's frame tuples (equation 5, without the norm penalties).

    Args:
        embeddings: [B, 4, D] in the order (start, goal, current, next). Half precision is
            computed in float32, float64 in float64.
        gamma: Discount in (0, 1).
        permutations: int64 [N, B] or None. Goal i is also paired with the (current, next) of
            clip permutations[n, i], for every n.
        negatives: Where those enter: a second log-mean-exp ("separate") or the first ("joint").
        epsilon: Added inside the logarithm; it bounds the loss from below.

    Returns:
        A scalar.

    Raises:
        ValueError: On a wrong shape, type or value.
    """
    return paper_terms(
        embeddings, gamma=gamma, permutations=permutations, negatives=negatives, epsilon=epsilon
    ).loss


def paper_terms(
    embeddings: Tensor,
    *,
    gamma: float = 0.98,
    permutations: Tensor | None = None,
    negatives: Negatives = "separate",
    epsilon: float = 1e-8,
) -> VIPTerms:
    """Return the two terms of `vip_loss`, whose arguments these are."""
    if embeddings.ndim != 3 or embeddings.shape[1] != 4:
        raise ValueError(
            f"embeddings have the shape {list(embeddings.shape)}, expected [B, 4, D] with the "
            "frames (start, goal, current, next)"
        )
    _check(len(embeddings), permutations, gamma=gamma, negatives=negatives)
    start, goal, current, following = _full_precision(embeddings).unbind(1)
    positive = residuals(distance(current, goal), distance(following, goal), gamma=gamma)
    negative = None
    if permutations is not None and len(permutations):
        negative = residuals(
            distance(current[permutations], goal),
            distance(following[permutations], goal),
            gamma=gamma,
        )
    return vip_terms(
        distance(start, goal),
        positive,
        gamma=gamma,
        negative=negative,
        negatives=negatives,
        epsilon=epsilon,
    )


def dense_terms(
    embeddings: Tensor,
    times: Tensor,
    *,
    gamma: float = 0.98,
    permutations: Tensor | None = None,
    negatives: Negatives = "separate",
    epsilon: float = 1e-8,
) -> VIPTerms:
    """Return the two terms over every (pair, goal) that a draw of pairs contains.

    Each of the P pairs (o_k, o_{k+1}) of a clip is set against every frame of the same draw that
    lies after o_k, so 2P encoded images give on the order of P^2 residuals where the paper's
    tuple gives one for four. The start term runs over the same (o_k, goal) pairs.

    Args:
        embeddings: [B, P, 2, D], the pairs (current, next).
        times: int64 [B, P, 2], their frame numbers in the clip.
        gamma: Discount in (0, 1).
        permutations: int64 [N, B] or None: goals of clip i meet the pairs of permutations[n, i].
        negatives: As in `vip_loss`.
        epsilon: As in `vip_loss`.

    Raises:
        ValueError: On a wrong shape, type or value.
    """
    if embeddings.ndim != 4 or embeddings.shape[2] != 2 or times.shape != embeddings.shape[:3]:
        raise ValueError(
            f"embeddings {list(embeddings.shape)} and times {list(times.shape)}, expected "
            "[B, P, 2, D] and [B, P, 2]: pairs (current, next)"
        )
    _check(len(embeddings), permutations, gamma=gamma, negatives=negatives)
    embeddings = _full_precision(embeddings)
    current, following = embeddings.unbind(2)  # [B, P, D]
    goals = embeddings.flatten(1, 2)  # [B, 2P, D]
    later = times.flatten(1, 2)[:, None, :] > times[:, :, 0, None]  # [B, P, 2P]
    to_current = _distances(current, goals)
    positive = residuals(to_current, _distances(following, goals), gamma=gamma)
    negative = None
    if permutations is not None and len(permutations):
        negative = residuals(
            _distances(current[permutations], goals),
            _distances(following[permutations], goals),
            gamma=gamma,
        )
    return vip_terms(
        to_current,
        positive,
        gamma=gamma,
        negative=negative,
        negatives=negatives,
        epsilon=epsilon,
        counted=later,
    )


def _distances(frames: Tensor, goals: Tensor) -> Tensor:
    """Return [..., P, G] distances of [..., P, D] to [..., G, D], exact for near frames."""
    return torch.cdist(frames, goals, compute_mode="donot_use_mm_for_euclid_dist")


def _full_precision(embeddings: Tensor) -> Tensor:
    return embeddings if embeddings.dtype == torch.float64 else embeddings.float()


def _check(batch: int, permutations: Tensor | None, *, gamma: float, negatives: str) -> None:
    if batch == 0:
        raise ValueError("the batch is empty: expected at least one clip")
    if not 0 < gamma < 1:
        raise ValueError(f"gamma is {gamma}, expected a discount between 0 and 1, e.g. 0.98")
    if negatives not in get_args(Negatives):
        raise ValueError(f"negatives is {negatives!r}, expected 'separate' or 'joint'")
    if permutations is None:
        return
    shape_fits = permutations.ndim == 2 and permutations.shape[1] == batch
    if permutations.dtype != torch.int64 or not shape_fits:
        raise ValueError(
            f"permutations are {permutations.dtype} {list(permutations.shape)}, expected int64 "
            f"[N, {batch}]"
        )
