"""The VIP objective: a dual form of goal-conditioned offline RL on action-free video.

Source: Ma et al., "VIP: Towards Universal Visual Reward and Representation via Value-Implicit
Pre-Training", ICLR 2023, arXiv 2210.00030, equation 5 and algorithm 1.

With the value V(o; g) = -||phi(o) - phi(g)||_2 and the reward r = -1 of every step that does not
start at the goal, the loss of a batch is

    (1 - gamma) * mean(-V(o_0; g)) + log(epsilon + mean(exp(-residual)))
    residual = r + gamma * V(o_{k+1}; g) - V(o_k; g)

Everything is computed in the log domain: distances of 1e3 do not overflow.

Shapes: B clips of a batch, D embedding size, N permutations, P pairs of a clip.
"""

import math
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from vipl.errors import UserError
from vipl.objectives.goal_distances import (
    GoalDistances,
    dense_distances,
    goal_distances,
    paper_distances,
)
from vipl.objectives.objective import STEP_REWARD, Objective, check_gamma

Negatives = Literal["separate", "joint"]


class VIP(Objective):
    """Value-implicit pre-training (arXiv 2210.00030, equation 5).

    Args:
        gamma: Discount.
        num_negatives: How often each goal is paired with the frames of other clips.
        negatives: "separate": in a second log-mean-exp, as the released weights were trained;
            "joint": inside the first, as the paper writes.
        epsilon: Added inside the logarithm.
    """

    def __init__(
        self,
        *,
        gamma: float = 0.98,
        num_negatives: int = 3,
        negatives: Negatives = "separate",
        epsilon: float = 1e-8,
    ) -> None:
        super().__init__(num_negatives=num_negatives)
        _check(gamma, negatives)
        if not 0 <= epsilon < math.inf:
            raise UserError(f"epsilon is {epsilon}, expected 0 or more")
        self.gamma = gamma
        self.negatives: Negatives = negatives
        self.epsilon = epsilon

    def terms(
        self, embeddings: Tensor, times: Tensor, permutations: Tensor | None
    ) -> dict[str, Tensor]:
        """Return `attraction` and `repulsion`, see `VIPTerms`."""
        distances = goal_distances(embeddings, times, permutations)
        return vip_terms(
            distances, gamma=self.gamma, negatives=self.negatives, epsilon=self.epsilon
        )._asdict()


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
    distances = paper_distances(embeddings, permutations)
    return vip_terms(distances, gamma=gamma, negatives=negatives, epsilon=epsilon)


def dense_terms(
    embeddings: Tensor,
    times: Tensor,
    *,
    gamma: float = 0.98,
    permutations: Tensor | None = None,
    negatives: Negatives = "separate",
    epsilon: float = 1e-8,
) -> VIPTerms:
    """Return the two terms over every (pair, goal) of dense tuples, see `dense_distances`.

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
    distances = dense_distances(embeddings, times, permutations)
    return vip_terms(distances, gamma=gamma, negatives=negatives, epsilon=epsilon)


def vip_terms(
    distances: GoalDistances, *, gamma: float, negatives: Negatives, epsilon: float
) -> VIPTerms:
    """Combine distances into the two terms of the loss.

    Args:
        distances: Of a batch.
        gamma: Discount in (0, 1).
        negatives: "separate" adds a second log-mean-exp over the negatives (the released
            weights were trained so); "joint" puts them into the first one (the paper's text).
        epsilon: Added inside the logarithm.

    Raises:
        ValueError: On a wrong value.
    """
    _check(gamma, negatives)
    start, counted = distances.start, distances.counted
    if counted is None:
        attraction = (1 - gamma) * start.mean()
    else:
        attraction = (1 - gamma) * (start * counted).sum() / counted.sum()
    own = exponents(distances.current, distances.following, gamma=gamma)
    others = None
    if distances.other_current is not None and distances.other_following is not None:
        others = exponents(distances.other_current, distances.other_following, gamma=gamma)
    if others is not None and negatives == "joint":
        if counted is not None:
            counted = torch.cat([counted.flatten(), torch.ones_like(others.flatten()).bool()])
        own, others = torch.cat([own.flatten(), others.flatten()]), None
    repulsion = log_mean_exp(own, epsilon=epsilon, counted=counted)
    if others is not None:
        repulsion = repulsion + log_mean_exp(others, epsilon=epsilon)
    return VIPTerms(attraction, repulsion)


def exponents(current: Tensor, following: Tensor, *, gamma: float) -> Tensor:
    """Return -(r + gamma * V(o_{k+1}; g) - V(o_k; g)) from distances to the goal.

    Args:
        current: Distances ||phi(o_k) - phi(g)||, any shape.
        following: Distances ||phi(o_{k+1}) - phi(g)||, the same shape.
        gamma: Discount in (0, 1).
    """
    return -STEP_REWARD + gamma * following - current


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


def _check(gamma: float, negatives: str) -> None:
    check_gamma(gamma)
    if negatives not in get_args(Negatives):
        raise UserError(f"negatives is {negatives!r}, expected 'separate' or 'joint'")
