"""Least-squares temporal difference: the ablation that keeps VIP's value and drops its dual form.

The value V(o; g) = -||phi(o) - phi(g)||_2 is fitted to its own Bellman equation by least squares:

    loss = mean((r + gamma * V(o_{k+1}; g) - V(o_k; g))^2),   r = -1

in which the target r + gamma * V(o_{k+1}; g) is held constant (no gradient flows through it), as in
semi-gradient TD(0). It needs no slow copy of the network to be grounded: V(g; g) = 0 whatever the
network is. The equation's solution is V = -(1 - gamma^n) / (1 - gamma), n steps before the goal, so
distances stay below 1 / (1 - gamma).

Source: arXiv 2210.00030, which compares VIP with it; the equation is that of Sutton and Barto,
"Reinforcement Learning: An Introduction". That the target is the network's own, held constant, and
where negatives enter, is decided here.

Shapes: B clips of a batch, P pairs of a clip, N permutations, D embedding size.
"""

import torch
from torch import Tensor

from vipl.objectives.goal_distances import GoalDistances, goal_distances
from vipl.objectives.objective import STEP_REWARD, Objective, check_gamma


class LSTD(Objective):
    """Least-squares temporal difference on V(o; g) = -||phi(o) - phi(g)||.

    Args:
        gamma: Discount.
        num_negatives: How often each goal is paired with the frames of other clips. From those the
            goal is a step farther, too, so their errors enter the same mean.
    """

    def __init__(self, *, gamma: float = 0.98, num_negatives: int = 3) -> None:
        super().__init__(num_negatives=num_negatives)
        check_gamma(gamma)
        self.gamma = gamma

    def terms(
        self, embeddings: Tensor, times: Tensor, permutations: Tensor | None
    ) -> dict[str, Tensor]:
        """Return `bellman_error`, the mean squared one."""
        distances = goal_distances(embeddings, times, permutations)
        return {"bellman_error": squared_bellman_error(distances, gamma=self.gamma)}


def squared_bellman_error(distances: GoalDistances, *, gamma: float) -> Tensor:
    """Return the mean squared Bellman error over own goals and those of other clips, a scalar.

    Args:
        distances: Of a batch.
        gamma: Discount in (0, 1).
    """
    errors = _errors(distances.current, distances.following, gamma)
    counted = distances.counted
    if counted is None:
        total, number = errors.sum(), torch.tensor(errors.numel())
    else:
        total, number = (errors * counted).sum(), counted.sum()
    if distances.other_current is not None and distances.other_following is not None:
        others = _errors(distances.other_current, distances.other_following, gamma)
        total, number = total + others.sum(), number + others.numel()
    return total / number


def _errors(current: Tensor, following: Tensor, gamma: float) -> Tensor:
    target = STEP_REWARD - gamma * following.detach()
    return (target + current).square()
