"""A user's own configuration, built for measuring: nothing is written, validated or saved."""

from collections.abc import Iterable
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.cli import LightningCLI

from vipl.data.loading.closing_loader import ClosingLoader
from vipl.data.loading.loading_failures import deaths_explained
from vipl.data.loading.samples import Batch
from vipl.training.bench.step_timer import StepTimer, StepTimes
from vipl.training.fit import FitCLI

_ENDLESS = 10**9
_MEASURING: dict[str, Any] = {
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "limit_val_batches": 0,
    "max_steps": -1,
    "max_epochs": -1,
    "max_time": None,
    "min_steps": None,
    "min_epochs": None,
}


class BenchCLI(FitCLI):
    """Checks and builds a configuration as `vipl fit` does."""

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        """Build a trainer that writes nothing; callbacks are those that are given."""
        return LightningCLI.instantiate_trainer(self, **{"callbacks": [], **kwargs, **_MEASURING})

    def loader(self) -> ClosingLoader[Batch]:
        """Return the training batches of the configuration, without an end."""
        self.datamodule.steps_per_epoch = _ENDLESS
        self.datamodule.trainer = self.trainer
        loader: ClosingLoader[Batch] = self.datamodule.train_dataloader()
        return loader

    def time_steps(self, batches: Iterable[Batch], *, warmup: int, steps: int) -> StepTimes:
        """Train on the batches, and return what a step took."""
        timer = StepTimer(warmup=warmup, steps=steps)
        callbacks: list[Callback] = [timer]
        trainer = self.instantiate_trainer(callbacks=callbacks)
        # Lightning's handlers wait for the next batch, which may never come: nothing is to save.
        trainer._signal_connector.register_signal_handlers = _nothing  # type: ignore[method-assign]
        with deaths_explained():
            trainer.fit(self.model, batches)
        return timer.result()


def _nothing() -> None:
    """Do nothing."""
