"""Callbacks that users bring: which cannot work with a run, and averages that have not begun."""

import difflib
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import (
    Callback,
    EarlyStopping,
    ModelCheckpoint,
    StochasticWeightAveraging,
    WeightAveraging,
)

from vipl.errors import UserError

_LIGHTNING = ("pytorch_lightning.", "lightning.")


def check_callbacks(callbacks: Sequence[Callback], figures: Sequence[str]) -> None:
    """Refuse callbacks that do not work with a run, before it is begun.

    Args:
        callbacks: The user's.
        figures: Names of what validations log.

    Raises:
        UserError: With what to take instead.
    """
    for one in callbacks:
        if isinstance(one, StochasticWeightAveraging):
            raise UserError(
                "StochasticWeightAveraging counts epochs to the end of a run, which is counted by "
                "steps here: take pytorch_lightning.callbacks.EMAWeightAveraging, as "
                "configs/fit/training/weight_average.yaml does"
            )
    kept = [one for one in callbacks if type(one).state_dict is not Callback.state_dict]
    for key, count in Counter(one.state_key for one in kept).items():
        if count > 1:
            raise UserError(
                f"{count} callbacks are {key}, and a checkpoint holds the state of one: leave the "
                "others out, or let them differ in what they watch or how often they save"
            )
    # A callback of the user's own may log figures that are not known here.
    if all(type(one).__module__.startswith(_LIGHTNING) for one in callbacks):
        for one in callbacks:
            if isinstance(one, EarlyStopping | ModelCheckpoint):
                _check_monitor(type(one).__name__, one.monitor, figures)


def _check_monitor(name: str, monitor: str | None, figures: Sequence[str]) -> None:
    if monitor is None or monitor in figures or not monitor.startswith("val"):
        return
    near = difflib.get_close_matches(monitor, figures, n=1) or figures
    raise UserError(
        f"{name} watches {monitor!r}, which is not logged: did you mean {' or '.join(near)}?"
    )


def check_validations(trainer: pl.Trainer, *, watched: bool) -> str | None:
    """Return a note on a run that ends before its first validation.

    Args:
        trainer: Of the run.
        watched: Whether a schedule or a callback waits for figures of validations.

    Raises:
        UserError: If something waits for them.
    """
    every, steps = trainer.val_check_interval, trainer.max_steps
    by_steps = isinstance(every, int) and trainer.check_val_every_n_epoch is None
    if not by_steps or steps < 0 or every <= steps * trainer.accumulate_grad_batches:
        return None
    found = f"trainer.val_check_interval={every} is more than the run's {steps} steps"
    if watched:
        raise UserError(f"{found}: what watches a figure of validation would never see one")
    return f"{found}: it ends without a validation"


def watches_validations(callbacks: Sequence[Callback]) -> bool:
    """Tell whether a callback waits for a figure of validations."""
    return any(str(getattr(one, "monitor", None)).startswith("val/") for one in callbacks)


class AverageFromTheStart(Callback):
    """Lets an average of weights that has not begun be the weights themselves.

    Lightning's callback starts at `update_starting_at_step`; until then it shows, saves and exports
    what the run began with.
    """

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Before the average is put in place, to be looked at."""
        self._follow(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Before it is put in place, to be exported."""
        self._follow(trainer, pl_module)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Before it is put into a checkpoint."""
        self._follow(trainer, pl_module)

    def _follow(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for one in trainer.callbacks:  # type: ignore[attr-defined]
            average = getattr(one, "_average_model", None)
            if isinstance(one, WeightAveraging) and average is not None and not average.n_averaged:
                average.module.load_state_dict(pl_module.state_dict())


def take_raw_weights(checkpoint: dict[str, Any], callbacks: Sequence[Callback]) -> None:
    """Let a run that no longer averages its weights go on from the weights themselves.

    Args:
        checkpoint: Whose weights are an average where the run before made one; it is changed.
        callbacks: Of the run.
    """
    averages = any(isinstance(one, WeightAveraging) for one in callbacks)
    if not averages and "current_model_state" in checkpoint:
        checkpoint["state_dict"] = checkpoint["current_model_state"]
