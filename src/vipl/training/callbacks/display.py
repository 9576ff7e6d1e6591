"""What a run shows on its way: a line, pictures of curves, a bar."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback, RichProgressBar
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor

from vipl.data.loading.samples import HeldOutClip
from vipl.rewards.curves import Curve


class RewardCurves(Callback):
    """Draws the distance curves of a few held-out clips at every validation, and says how it is.

    Args:
        run_dir: Gets `curves/step_NNNNNNN.png`.
        clips: How many are drawn.
    """

    def __init__(self, run_dir: Path, *, clips: int = 4) -> None:
        self.run_dir = run_dir
        self.clips = clips
        self._curves: list[Curve] = []

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: HeldOutClip,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the first curves."""
        if outputs and len(self._curves) < self.clips:
            self._curves.append(outputs["curve"])

    @rank_zero_only
    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw what was kept."""
        from vipl.rewards.plots import plot_held_out  # matplotlib loads slowly

        curves, self._curves = self._curves, []
        if trainer.sanity_checking or not curves:
            return
        plot_held_out(curves, self.run_dir / "curves" / f"step_{trainer.global_step:07d}.png")
        trainer.print(_summary(trainer.global_step, trainer.callback_metrics))


class ProgressBar(RichProgressBar):
    """Lightning's bar with the loss; it shows epochs only where they are counted."""

    _shown: Mapping[str, Any] = MappingProxyType({})

    def _get_train_description(self, current_epoch: int) -> str:
        counted = self.trainer.max_epochs not in (None, -1)
        return super()._get_train_description(current_epoch) if counted else "Training  "

    @property
    def total_train_batches(self) -> int | float:
        """Of this epoch: as many as it has, or those up to the last step.

        Lightning's own counts from where a run went on, and takes steps for batches.
        """
        trainer = self.trainer
        batches: int | float = trainer.num_training_batches
        if trainer.max_steps < 0:
            return batches
        done: int = trainer.fit_loop.epoch_loop.batch_progress.current.processed  # type: ignore[attr-defined]
        accumulated = trainer.accumulate_grad_batches
        left: int = (trainer.max_steps - trainer.global_step) * accumulated - done % accumulated
        return min(batches, done + left)

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        """Return what stands beside the bar; new only where Lightning logs.

        To read a number at every step would be to wait for the GPU at every step.
        """
        if trainer.global_step % trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            metrics = super().get_metrics(trainer, pl_module)
            metrics.pop("v_num", None)
            if "train/loss" in trainer.logged_metrics:
                metrics["train/loss"] = float(trainer.logged_metrics["train/loss"])
            self._shown = {name.rpartition("/")[2]: value for name, value in metrics.items()}
        return dict(self._shown)


def _summary(step: int, metrics: dict[str, Tensor]) -> str:
    names = {
        "train/loss": "loss",
        "val/loss": "held-out loss",
        "val/value_order_correlation": "value-order correlation",
        "val/bumps": "bumps",
        "val/start_distance": "start distance",
        "val/effective_rank": "effective rank",
    }
    known = [f"{text} {metrics[name]:.3f}" for name, text in names.items() if name in metrics]
    return f"step {step}: " + ", ".join(known)
