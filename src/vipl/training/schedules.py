"""Learning rates over a run, as factors of the optimiser's own."""

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from vipl.errors import UserError


class WarmupCosine(LambdaLR):
    """Grows linearly from near 0, then falls along half a cosine wave.

    In step k (from 0) the rate is `(k + 1) / warmup_steps` of the optimiser's while k is below
    `warmup_steps`, and then `f + (1 - f) (1 + cos(pi x)) / 2`, where x goes from 0 at the end of
    the warm-up to 1 at `total_steps` and f is `final_fraction`; after that it stays.

    Args:
        optimizer: Whose rates are changed, each group's by the same factor.
        total_steps: Optimiser steps of the run: `${trainer.max_steps}`.
        warmup_steps: Of them, those that warm up; 0: none.
        final_fraction: Of the optimiser's rate, what is left in the end.

    Raises:
        UserError: If the numbers do not fit together.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        *,
        total_steps: int,
        warmup_steps: int = 0,
        final_fraction: float = 0.0,
    ) -> None:
        if not 0 <= warmup_steps < total_steps:
            raise UserError(
                f"warmup_steps is {warmup_steps}, expected 0 or more and less than total_steps, "
                f"{total_steps}"
            )
        if not 0 <= final_fraction <= 1:
            raise UserError(f"final_fraction is {final_fraction}, expected 0 to 1")

        def factor(step: int) -> float:
            if step < warmup_steps:
                return (step + 1) / warmup_steps
            share = min(1.0, (step - warmup_steps) / (total_steps - warmup_steps))
            return final_fraction + (1 - final_fraction) * (1 + math.cos(math.pi * share)) / 2

        super().__init__(optimizer, factor)
