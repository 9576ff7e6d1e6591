"""Saves a run as it goes, and when a signal stops it: always between two steps.

All processes agree before each step whether to save or to stop, so that they do it after the same
one. What is saved there is what an uninterrupted run has there.
"""

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback, Checkpoint, ModelCheckpoint

from vipl.console import say
from vipl.errors import UserError
from vipl.processes.signals import StopRequest
from vipl.training.module import VIPModule
from vipl.training.resuming.files import RECORD_KEY, folder_of, keep_latest, last_path, step_path
from vipl.training.resuming.loop_progress import (
    begin_validation_again,
    forget_fetched_batch,
    reopen_epoch,
)
from vipl.training.resuming.metrics_file import MetricsFile
from vipl.training.resuming.recipe import Record
from vipl.training.resuming.stopping import requeue, requeue_signal, stop_signals

_ROWS_KEY = "vipl_metrics_rows"
_MIN_KEPT = 2
_OWN_NAMES = ("last", "{step}", "step={step}")


@dataclass
class CheckpointSettings:
    """When a run is saved, beside at every validation, at its end, and when it is stopped.

    Attributes:
        every_n_steps: Save after this many steps; None: only by the clock.
        every_n_minutes: Save after this many minutes; what a killed run loses at most.
        keep: How many of the latest checkpoints stay, at least two: one may be torn.
    """

    every_n_steps: int | None = None
    every_n_minutes: float = 10.0
    keep: int = 2

    def __post_init__(self) -> None:
        if self.every_n_steps is not None and self.every_n_steps < 1:
            raise UserError(f"checkpoint.every_n_steps is {self.every_n_steps}, expected 1 or more")
        if not self.every_n_minutes > 0:
            raise UserError(
                f"checkpoint.every_n_minutes is {self.every_n_minutes}, expected more than 0"
            )
        if self.keep < _MIN_KEPT:
            raise UserError(
                f"checkpoint.keep is {self.keep}, expected {_MIN_KEPT} or more: where one is torn, "
                "the one before is used"
            )


class Stopped(SystemExit):
    """A signal asked the run to stop, and it has been saved.

    The first process ends with the status that shells expect of the signal, the others with 0:
    a launcher that sees one of them fail kills the rest.
    """


class Keeper(Checkpoint):
    """Saves a run, and stops it when a signal asks for that.

    Args:
        run_dir: Folder of the run.
        settings: When to save.
        record: Returns what the checkpoint shall record of the run.
    """

    def __init__(
        self, run_dir: Path, settings: CheckpointSettings, record: Callable[[], Record]
    ) -> None:
        self.run_dir = run_dir
        self.settings = settings
        self.record = record
        self._request = StopRequest()
        self._saved_step: int | None = None
        self._saved_at = time.monotonic()
        self._cut_validation = False
        self._loaded_step = -1

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Take the signals, in place of Lightning.

        Its handlers save, or wait for other processes, in the middle of whatever they interrupt,
        and its way to agree makes the GPU wait for the CPU at every step.
        """
        trainer._signal_connector.register_signal_handlers = _nothing  # type: ignore[method-assign]
        trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = _nothing  # type: ignore[method-assign]
        self._request.listen(stop_signals(trainer), announce=trainer.is_global_zero)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Give the signals back."""
        self._request.release()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Give the signals back."""
        self._request.release()

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Make sure that all processes go on from the same step.

        Raises:
            UserError: If they found different checkpoints.
        """
        assert isinstance(pl_module, VIPModule)
        steps = pl_module.ranks.tell(self._loaded_step)()[:, 0].tolist()
        if len(set(steps)) > 1:
            raise UserError(
                f"the processes found checkpoints of different steps ({steps}, -1: none): "
                f"{self.run_dir} must be the same folder on every node"
            )

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save the beginning: a run that cannot save shall not train first."""
        self.save(trainer)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Save and stop as all processes agree, before the step begins."""
        # Lightning counts one too many after some of its restarts, which shifts what is logged.
        trainer.fit_loop.epoch_loop._batches_that_stepped = trainer.global_step
        if batch_idx % trainer.accumulate_grad_batches:
            if batch.is_missing:
                self._stop(trainer, self._request.signal or signal.SIGTERM, alone=True)
            return  # half-way to a step: the gradients so far would be lost
        stop, due, _ = self._agree(trainer, pl_module)
        if stop or due:
            self.save(trainer)
        if stop:
            self._stop(trainer, stop)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Count as Lightning does for what a validation logs."""
        trainer.fit_loop.epoch_loop._batches_that_stepped = max(0, trainer.global_step - 1)

    def on_validation_batch_start(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Stop as all processes agree; the validation will begin again."""
        stop, _, missing = self._agree(trainer, pl_module, missing=batch.is_missing)
        at_end = trainer.global_step == trainer.max_steps  # where there is only this left to do
        if not stop or (at_end and not missing):
            return
        if not (at_end or trainer.sanity_checking):  # a run saved at its end does not validate
            self._cut_validation = True
            self.save(trainer)
        self._stop(trainer, stop)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save after every validation."""
        if not trainer.sanity_checking:
            self.save(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save the last step."""
        self.save(trainer)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add the record, and leave no step half begun."""
        checkpoint[RECORD_KEY] = self.record()
        rows = [logger.rows for logger in trainer.loggers if isinstance(logger, MetricsFile)]
        checkpoint[_ROWS_KEY] = rows[0] if rows else 0
        progress = checkpoint["loops"]["fit_loop"]
        forget_fetched_batch(progress["epoch_loop.batch_progress"])
        batches = progress["epoch_loop.batch_progress"]["current"]["ready"]
        if 0 < batches < trainer.num_training_batches:
            reopen_epoch(progress["epoch_progress"])
        if self._cut_validation:
            begin_validation_again(progress["epoch_loop.val_loop.batch_progress"])

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Drop the figures of later steps."""
        self._loaded_step = checkpoint["global_step"]
        for logger in trainer.loggers:
            if isinstance(logger, MetricsFile) and _ROWS_KEY in checkpoint:
                logger.keep(checkpoint[_ROWS_KEY])

    def _agree(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *, missing: bool = False
    ) -> tuple[int, bool, bool]:
        """Return the signal to stop for (0: none), whether to save, and whether data are missing.

        The answers are the same everywhere.
        """
        assert isinstance(pl_module, VIPModule)
        told = pl_module.ranks.tell(self._request.signal or 0, self._is_due(trainer), missing)()
        return int(told[:, 0].max()), bool(told[0, 1]), bool(told[:, 2].any())

    def _is_due(self, trainer: pl.Trainer) -> bool:
        every = self.settings.every_n_steps
        by_steps = every is not None and trainer.global_step % every == 0
        minutes = (time.monotonic() - self._saved_at) / 60
        return by_steps or minutes >= self.settings.every_n_minutes

    def save(self, trainer: pl.Trainer) -> None:
        """Save the run after the steps so far, where that has not been done."""
        step = trainer.global_step
        if self._saved_step == step:
            return
        trainer.save_checkpoint(step_path(self.run_dir, step), weights_only=False)
        if trainer.is_global_zero:
            keep_latest(self.run_dir, step=step, count=self.settings.keep)
        self._saved_step, self._saved_at = step, time.monotonic()

    def _stop(self, trainer: pl.Trainer, number: int, *, alone: bool = False) -> None:
        """End this process; alone: the others do not know, and are ended by their launcher."""
        if not trainer.is_global_zero:
            raise Stopped(128 + number if alone else 0)
        if self._saved_step is not None:
            path, step = last_path(self.run_dir), trainer.global_step
            saved = "" if step == self._saved_step else f" ({self._saved_step} is the last saved)"
            say(f"Stopped after step {step}{saved}; go on with it by ckpt_path={path}")
        else:
            say("Stopped before the first step; there is nothing to go on with.")
        if number == requeue_signal(trainer):
            requeue()
        raise Stopped(128 + (number if number == signal.SIGINT else signal.SIGTERM))


class LastStep(Callback):
    """Has the last step saved before other callbacks end the training.

    Those that average weights then put the average in their place; the run goes on from the weights
    themselves. Lightning calls `Keeper`, as all that save, after the others.

    Args:
        keeper: Saves the run.
    """

    def __init__(self, keeper: Keeper) -> None:
        self.keeper = keeper

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save the last step."""
        self.keeper.save(trainer)


def into_run_folder(callbacks: list[Callback], run_dir: Path) -> None:
    """Let the user's own ModelCheckpoints write into the run's folder of checkpoints.

    Args:
        callbacks: The user's; those that say where they write are left alone.
        run_dir: Folder of the run.

    Raises:
        UserError: If one would write the files that the run itself keeps there.
    """
    for callback in callbacks:
        if not isinstance(callback, ModelCheckpoint) or callback.dirpath is not None:
            continue
        if callback.save_last or callback.filename in _OWN_NAMES:
            kept = "save_last" if callback.save_last else f"filename={callback.filename}"
            raise UserError(
                f"ModelCheckpoint's {kept} would replace what the run keeps in checkpoints/ "
                "(last.ckpt, step=N.ckpt): leave it out, or give it a dirpath of its own"
            )
        callback.dirpath = str(folder_of(run_dir).absolute())


def _nothing() -> None:
    """Do nothing."""
