"""What an objective is: a function from the embeddings of a batch to terms that sum to its loss.

Shapes: B clips of a batch, P pairs of a clip, N permutations, D embedding size.
"""

from abc import ABC, abstractmethod

from torch import Tensor

from vipl.errors import UserError

STEP_REWARD = -1.0
"""Reward of a transition that does not start at the goal (section 4 of the VIP paper)."""


class Objective(ABC):
    """A training objective. Subclass it, and name the class by `model.objective.class_path`.

    The arguments of the subclass's `__init__` are the keys of `model.objective.init_args`: typed,
    with defaults, and documented in its docstring. An objective holds settings and no state.

    Attributes:
        num_negatives: How many permutations of the batch `terms` is given, to pair the frames of
            each clip with those of others.
    """

    num_negatives: int

    def __init__(self, *, num_negatives: int) -> None:
        if num_negatives < 0:
            raise UserError(
                f"model.objective.init_args.num_negatives is {num_negatives}, expected 0 or more"
            )
        self.num_negatives = num_negatives

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({settings})"

    @abstractmethod
    def terms(
        self, embeddings: Tensor, times: Tensor, permutations: Tensor | None
    ) -> dict[str, Tensor]:
        """Return the terms of the loss of a whole batch by name, scalars; the loss is their sum.

        Args:
            embeddings: [B, 4, D], the paper's tuples (start, goal, current, next), or
                [B, P, 2, D], dense tuples: pairs (current, next).
            times: int64 [B, 4] or [B, P, 2], their frame numbers in the clip.
            permutations: int64 [N, B]: clip i is also paired with clip permutations[n, i], which
                may be itself; None without negatives.
        """


def check_gamma(gamma: float) -> None:
    """Refuse what is no discount.

    Raises:
        UserError: If it is not between 0 and 1.
    """
    if not 0 < gamma < 1:
        raise UserError(f"gamma is {gamma}, expected a discount between 0 and 1, e.g. 0.98")
