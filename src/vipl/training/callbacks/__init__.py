"""Lightning callbacks of a pre-training run."""

import logging
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor

from vipl.console import visible
from vipl.data.checking.bad_clips import BadClip, add_bad_clips, read_bad_clips
from vipl.data.loading.samples import MAX_ATTEMPTS, Batch, HeldOutClip
from vipl.errors import UserError
from vipl.models.checkpoint import save_encoder
from vipl.models.collapse import CollapseSettings
from vipl.models.encoder import Encoder
from vipl.training.callbacks.display import RewardCurves
from vipl.training.module import VIPModule
from vipl.training.watch import GradientNorm, WatchCollapse

_log = logging.getLogger(__name__)


class Throughput(Callback):
    """Logs clips per second and the share of time that the step waits for data."""

    def __init__(self) -> None:
        self._window_start: float | None = None
        self._batch_end = 0.0
        self._waited_s = 0.0
        self._clips = 0

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        """Count the time since the step before as waiting."""
        if self._window_start is not None:
            self._waited_s += time.perf_counter() - self._batch_end

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """Count the batch, and log where Lightning logs."""
        now = time.perf_counter()
        self._batch_end = now
        if self._window_start is None:  # the first step pays for start-up and is left out
            self._window_start = now
            return
        self._clips += batch.num_clips * trainer.world_size
        if trainer.global_step % trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            elapsed = now - self._window_start
            pl_module.log("perf/clips_per_second", self._clips / elapsed)
            pl_module.log("perf/data_wait_share", self._waited_s / elapsed)
            self._window_start, self._waited_s, self._clips = now, 0.0, 0

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leave validation out of the figures."""
        self._window_start, self._waited_s, self._clips = None, 0.0, 0


class BadClips(Callback):
    """Lists unreadable clips in `bad_clips.csv`, counts them, and stops a run that has too many.

    Every process learns what the others could not read, so the first one writes the list, and all
    of them stop after the same step.

    Args:
        run_dir: Where the list is written; a run that goes on adds to it.
        max_failure_rate: Share of draws that may fail, once there have been `min_draws`.
        min_draws: Before which the rate is not judged.
    """

    def __init__(self, run_dir: Path, *, max_failure_rate: float, min_draws: int = 100) -> None:
        self.file = run_dir / "bad_clips.csv"
        self.max_failure_rate = max_failure_rate
        self.min_draws = min_draws
        self._listed: set[str] = set()
        self._failures = 0
        self._draws = 0

    def state_dict(self) -> dict[str, Any]:
        """Return the counts, which a run that goes on continues."""
        return {"failures": self._failures, "draws": self._draws}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the counts over."""
        self._failures, self._draws = state_dict["failures"], state_dict["draws"]

    @rank_zero_only
    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Read which clips the run has listed before."""
        if self.file.is_file():
            self._listed = {clip.clip_id for clip in read_bad_clips(self.file)}

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        """List the failures of all processes, and stop the run when there are too many."""
        assert isinstance(pl_module, VIPModule)
        complete = batch.frames.numel() > 0 or batch.is_missing
        told = pl_module.ranks.tell(len(batch.failures), batch.num_clips, complete)()
        failed, drawn = int(told[:, 0].sum()), int(told[:, 1].sum())
        self._failures += failed
        self._draws += failed + drawn
        failures = pl_module.ranks.gather(batch.failures) if failed else []
        self._list([failure for part in failures for failure in part])
        if not told[:, 2].all():
            last = failures[int(told[:, 2].argmin())][-1]
            raise UserError(
                f"{MAX_ATTEMPTS} clips in a row could not be read; the last, {last.path}: "
                f"{last.reason}"
            )
        rate = self._failures / max(1, self._draws)
        if self._draws >= self.min_draws and rate > self.max_failure_rate:
            raise UserError(
                f"{self._failures} of {self._draws} draws failed ({rate:.0%}, data."
                f"max_failure_rate allows {self.max_failure_rate:.0%}); the clips are listed in "
                f"{self.file}"
            )

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """Log how many draws have failed so far, over all processes."""
        failures = torch.full((), float(self._failures), device=pl_module.device)
        pl_module.log("perf/decode_failures", failures, reduce_fx="max")

    def on_validation_batch_start(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        batch: HeldOutClip,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """List held-out clips that could not be read."""
        assert isinstance(pl_module, VIPModule)
        if pl_module.ranks.tell(len(batch.failures))().any():
            parts = pl_module.ranks.gather(batch.failures)
            self._list([failure for part in parts for failure in part])

    @rank_zero_only
    def _list(self, failures: list[BadClip]) -> None:
        new = {one.clip_id: one for one in failures if one.clip_id not in self._listed}
        if not new:
            return
        self._listed.update(new)
        add_bad_clips(self.file, new.values())
        for failure in new.values():
            _log.warning(visible(f"left out {failure.clip_id}: {failure.reason}"))


class ExportEncoder(Callback):
    """Writes the encoder as `load_encoder` reads it: before training, and at every validation.

    Args:
        run_dir: Gets the folders `encoder_initial` and `encoder`.
    """

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        self._validated: dict[str, Tensor] = {}

    @rank_zero_only
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the initial encoder, which trained ones are compared with."""
        if trainer.global_step == 0:
            self._save(pl_module, "encoder_initial")

    @rank_zero_only
    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep the weights that were validated, which averages put in place until now."""
        if trainer.sanity_checking:
            return
        state = pl_module.encoder.state_dict()  # type: ignore[union-attr]
        self._validated = {name: one.detach().cpu().clone() for name, one in state.items()}

    @rank_zero_only
    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the encoder that was validated, now that nothing has refused it."""
        if not trainer.sanity_checking:
            self._save(pl_module, "encoder", self._validated)
        self._validated = {}

    @rank_zero_only
    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the final encoder, also of a run that had only this left to do."""
        self._save(pl_module, "encoder")

    def _save(
        self, pl_module: pl.LightningModule, name: str, weights: dict[str, Tensor] | None = None
    ) -> None:
        encoder = pl_module.encoder
        assert isinstance(encoder, Encoder)
        save_encoder(encoder, self.run_dir / name, weights=weights)


def default_callbacks(
    run_dir: Path, *, max_failure_rate: float, collapse: CollapseSettings
) -> list[Callback]:
    """Return the callbacks of every run."""
    return [
        Throughput(),
        BadClips(run_dir, max_failure_rate=max_failure_rate),
        GradientNorm(),
        RewardCurves(run_dir),
        WatchCollapse(collapse),
        ExportEncoder(run_dir),
    ]
