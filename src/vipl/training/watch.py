"""Stops a training whose numbers are no longer finite, and tells of one that has collapsed.

After each batch a few flags are computed where the loss is, and copied to the host without waiting
for it: they are read when they have arrived, a batch or more later. Before anything is written they
are waited for. All processes tell each other, and stop together.

Shapes: W processes.
"""

import logging
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor
from torch.optim import Optimizer

from vipl.data.loading.samples import Batch
from vipl.errors import UserError
from vipl.files import write_csv
from vipl.models.collapse import CollapseSettings
from vipl.models.finite import REMEDY, all_finite
from vipl.processes.ranks import Ranks
from vipl.training.module import VIPModule

_log = logging.getLogger(__name__)

FILE = "not_finite.csv"
"""In the run's folder: the clips of the batch after which numbers were not finite."""

_FAULTS = (
    "the loss is nan",
    "the loss is infinite",
    "weights are not finite",
    "the optimiser's state is not finite",
    "gradients are not finite however little the loss is scaled up",
)
_LEAST_SCALE = 2.0**-24  # forty steps are skipped in a row before float16's scale comes to that
_LISTED = 16  # clips in the message; all are in the file


class _Reading(NamedTuple):
    """Attributes: batch, from 1; flags [5], on the way to the host; event: of their arrival."""

    batch: int
    flags: Tensor
    event: torch.cuda.Event | None

    def has_arrived(self, *, wait: bool) -> bool:
        if self.event is None:
            return True
        if wait:
            self.event.synchronize()
        return bool(self.event.query())  # type: ignore[no-untyped-call]

    @property
    def fault(self) -> int | None:
        """The first fault, an index of `_FAULTS`."""
        wrong = (~self.flags).nonzero()
        return int(wrong[0]) if len(wrong) else None


class StopNotFinite(Callback):
    """Stops the run at the first loss or weight that is not finite, and names the batch.

    Args:
        run_dir: Gets `not_finite.csv` where the run is stopped.
    """

    def __init__(self, run_dir: Path) -> None:
        self.file = run_dir / FILE
        self._batch = 0  # counted in this process, from 1
        self._fine = 0  # up to which this process has found all finite
        self._waiting: deque[_Reading] = deque()
        self._seen: dict[int, tuple[int, list[str]]] = {}  # batch: step, clips
        self._frames: Tensor | None = None  # of the last batch

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        """Read what has arrived, and note the batch that begins.

        Raises:
            UserError: If numbers of an earlier batch are not finite.
        """
        self._look(pl_module, wait=False)
        self._batch += 1
        self._seen[self._batch] = trainer.global_step + 1, list(batch.clip_ids)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """Have the flags of the batch computed, and send them to the host."""
        loss = outputs["loss"] if isinstance(outputs, Mapping) else outputs
        self._waiting.append(_send(self._batch, _flags(trainer, pl_module, loss)))
        if batch.frames.numel():  # not where a clip of it could not be read
            self._frames = batch.frames

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Wait for what has been trained: its weights will be looked at, saved and exported."""
        self._look(pl_module, wait=True)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Wait for the last batch, and try the weights that its step made: no loss has seen them.

        Raises:
            UserError: If numbers are not finite.
        """
        self._look(pl_module, wait=True)
        assert isinstance(pl_module, VIPModule)
        fine = self._frames is None or bool(all_finite([_embedded(pl_module, self._frames)]))
        if not pl_module.ranks.tell(fine)().all():
            self._stop(pl_module.ranks, self._batch, "embeddings are not finite")

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Wait for what has been trained, so that the batch is named."""
        self._look(pl_module, wait=True)

    def _look(self, pl_module: pl.LightningModule, *, wait: bool) -> None:
        assert isinstance(pl_module, VIPModule)
        found: tuple[int, int] | None = None
        while self._waiting and self._waiting[0].has_arrived(wait=wait):
            reading = self._waiting.popleft()
            if reading.fault is not None:
                found = reading.batch, reading.fault
                break
            self._fine = reading.batch
        told = pl_module.ranks.tell(self._fine, *(found or (0, 0)))()  # [W, 3]
        faulty = told[told[:, 1] > 0]
        if len(faulty):
            _, batch, fault = faulty[faulty[:, 1].argmin()].tolist()
            self._stop(pl_module.ranks, batch, _FAULTS[fault])
        self._forget(until=int(told[:, 0].min()))

    def _forget(self, *, until: int) -> None:
        """Drop the batches of the steps before the one of a batch."""
        if until in self._seen:
            step = self._seen[until][0]
            self._seen = {batch: one for batch, one in self._seen.items() if one[0] >= step}

    def _stop(self, ranks: Ranks, batch: int, fault: str) -> None:
        step, own = self._seen[batch]
        if "loss" not in fault:  # what a step did, all its batches did
            own = [clip for one, clips in self._seen.values() if one == step for clip in clips]
        clips = [clip for part in ranks.gather(own) for clip in part]
        if ranks.rank == 0:
            write_csv(self.file, ("step", "clip_id"), [(step, clip) for clip in clips])
        listed = ", ".join(clips[:_LISTED])
        rest = len(clips) - _LISTED
        more = f" and {rest} more, listed in {self.file}" if rest > 0 else ""
        raise UserError(f"{fault} at step {step}, whose clips are {listed}{more}: {REMEDY}")


class WatchCollapse(Callback):
    """Warns after a validation that finds embeddings collapsed, or stops the run.

    Args:
        settings: What counts as a collapse.
    """

    def __init__(self, settings: CollapseSettings) -> None:
        self.settings = settings

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look at the figures, which are the same in all processes.

        Raises:
            UserError: If embeddings have collapsed and the run shall stop then.
        """
        figures = trainer.callback_metrics
        if trainer.sanity_checking or "val/effective_rank" not in figures:
            return
        verdict = self.settings.verdict(
            rank=float(figures["val/effective_rank"]), share=float(figures["val/relative_spread"])
        )
        if verdict is None:
            return
        found = f"the encoder has collapsed after step {trainer.global_step}: {verdict}"
        if self.settings.stop:
            raise UserError(f"{found}; {REMEDY}, or go on all the same by collapse.stop=false")
        if trainer.is_global_zero:
            _log.warning("%s; collapse.stop=true would stop the run", found)


class GradientNorm(Callback):
    """Logs the L2 norm of the gradient of a step, before it is clipped."""

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        """Log where Lightning logs; gradients are those of the global batch in all processes."""
        if (trainer.global_step + 1) % trainer.log_every_n_steps:  # type: ignore[attr-defined]
            return
        gradients = [one.grad for one in pl_module.parameters() if one.grad is not None]
        if not gradients:
            return
        norm = torch.stack(torch._foreach_norm(gradients, 2.0)).norm()
        scaler = getattr(trainer.precision_plugin, "scaler", None)
        if scaler is not None and getattr(optimizer, "_step_supports_amp_scaling", False):
            norm = norm / scaler._scale  # such an optimiser takes the scale out itself
        pl_module.log("train/gradient_norm", norm)


@torch.compiler.disable  # type: ignore[untyped-decorator]
def _embedded(pl_module: VIPModule, frames: Tensor) -> Tensor:
    """Return embeddings of a batch as the exported encoder gives them; nothing is changed."""
    training = pl_module.encoder.training
    try:
        with torch.inference_mode():
            return pl_module.eval().embed(frames[:1])
    finally:
        pl_module.train(training)


def _flags(trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Tensor) -> Tensor:
    """Return bool [5], one for each of `_FAULTS`: whether it is not so."""
    weights = [*pl_module.parameters(), *pl_module.buffers()]
    scaler = getattr(trainer.precision_plugin, "scaler", None)
    scale = None if scaler is None else scaler._scale  # to ask for it is to wait for the device
    fine = torch.ones_like(loss, dtype=torch.bool)  # made there: to copy it would be to wait
    state = list(_optimiser_state(trainer, loss.device))
    flags = (
        ~loss.isnan(),
        ~loss.isinf(),
        all_finite(weights),
        all_finite(state) if state else fine,
        fine if scale is None else scale >= _LEAST_SCALE,
    )
    return torch.stack([flag.reshape(()) for flag in flags])


def _optimiser_state(trainer: pl.Trainer, device: torch.device) -> Iterator[Tensor]:
    for optimizer in trainer.optimizers:
        for state in optimizer.state.values():
            for value in state.values():
                if not isinstance(value, Tensor) or value.device != device:
                    continue
                if value.is_floating_point() and value.numel():
                    yield value


def _send(batch: int, flags: Tensor) -> _Reading:
    if not flags.is_cuda:
        return _Reading(batch, flags, None)
    here = torch.empty(flags.shape, dtype=flags.dtype, pin_memory=True)
    here.copy_(flags, non_blocking=True)
    event = torch.cuda.Event()  # type: ignore[no-untyped-call]
    event.record()
    return _Reading(batch, here, event)
