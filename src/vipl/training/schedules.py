"""Learning rates over a run, as factors of the optimiser's own."""

import difflib
import math
from collections.abc import Mapping

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from vipl.errors import UserError


class WarmupCosine(LambdaLR):
    """Grows linearly from near 0, then falls along half a cosine wave.

    Of w steps that warm up, step k (from 0) has `(k + 1) / w` of the optimiser's rate. Those after
    it have `f + (1 - f) (1 + cos(pi x)) / 2`, where x goes from 0 at the end of the warm-up to 1 at
    `total_steps` and f is `final_fraction`; after that the rate stays.

    Args:
        optimizer: Whose rates are changed, each group's by the same factor.
        total_steps: Optimiser steps of the run: `${trainer.max_steps}`.
        warmup_fraction: Of them, the share that warms up: w is the nearest whole number.
        final_fraction: Of the optimiser's rate, what is left in the end.

    Raises:
        UserError: If a number makes no sense.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        *,
        total_steps: int,
        warmup_fraction: float = 0.05,
        final_fraction: float = 0.0,
    ) -> None:
        if total_steps < 1:
            raise UserError(
                f"total_steps is {total_steps}, expected 1 or more: a schedule needs the run's "
                "length, trainer.max_steps"
            )
        if not 0 <= warmup_fraction < 1:
            raise UserError(f"warmup_fraction is {warmup_fraction}, expected 0 <= share < 1")
        if not 0 <= final_fraction <= 1:
            raise UserError(f"final_fraction is {final_fraction}, expected 0 to 1")
        warmup = min(round(warmup_fraction * total_steps), total_steps - 1)

        def factor(step: int) -> float:
            if step < warmup:
                return (step + 1) / warmup
            share = min(1.0, (step - warmup) / (total_steps - warmup))
            return final_fraction + (1 - final_fraction) * (1 + math.cos(math.pi * share)) / 2

        super().__init__(optimizer, factor)


def step_on_figure(schedule: object, known: Mapping[str, Tensor | float], *, sanity: bool) -> None:
    """Step a schedule that watches a figure, now that there are new ones; others are left alone.

    Args:
        schedule: Of the run.
        known: Figures, the same in all processes.
        sanity: Whether this validation is Lightning's trial before training.

    Raises:
        UserError: If the figure that it watches is not there.
    """
    if not isinstance(schedule, ReduceLROnPlateau):
        return
    monitor: str = schedule.monitor  # type: ignore[attr-defined]
    if monitor not in known and not (sanity and "val" not in monitor):
        validated = [name for name in known if name.startswith("val/")]
        near = difflib.get_close_matches(monitor, known, n=1) or sorted(validated)
        raise UserError(
            f"model.lr_scheduler watches {monitor!r}, which is not logged: did you mean "
            f"{' or '.join(near)}?"
        )
    if not sanity:
        schedule.step(float(known[monitor]))
