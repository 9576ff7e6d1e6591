"""Where the time of a training step goes: forward, loss, backward, optimiser, and between steps."""

import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor, nn

from vipl.data.loading.samples import Batch
from vipl.models.encoder import Encoder

PARTS = ("forward", "loss", "backward", "optimiser", "between")
"""Of a step. The loss has its own gradient in it, up to the embeddings'; `between` is what lies
between two steps: the wait for data, its way to the device, logging."""

_Mark = float | torch.cuda.Event


class StepTimes(NamedTuple):
    """Means over the steps that were measured.

    Attributes:
        step_s: Seconds of a step, from one to the next.
        cpu_s: Seconds of processor time that a step took on the host, over all threads. On a
            busy machine it tells more than `step_s`.
        parts_s: Seconds of each of `PARTS`; they add up to a step.
        peak_bytes: Greatest amount of GPU memory that was allocated; None on a CPU.
        clips: Of a step, on this process.
        images: Of a step, on this process.
    """

    step_s: float
    cpu_s: float
    parts_s: dict[str, float]
    peak_bytes: int | None
    clips: int
    images: int


class Repeated:
    """A data loader that hands out one batch again and again: data costs nothing."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch

    def __iter__(self) -> Iterator[Batch]:
        while True:
            yield self.batch


class StepTimer(Callback):
    """Times the parts of training steps, and ends training after them.

    On a GPU it records events in the stream and reads them when training ends, so that the host
    does not wait and the steps run as they always do.

    Args:
        warmup: Steps that are not measured, one or more.
        steps: That are.
    """

    def __init__(self, *, warmup: int, steps: int) -> None:
        self.warmup = warmup
        self.steps = steps
        self._marks: list[dict[str, _Mark]] = []
        self._hook: torch.utils.hooks.RemovableHandle | None = None
        self._start = self._end = (0.0, 0.0)
        self._clips = self._images = 0
        self._peak_bytes: int | None = None
        self._device = torch.device("cpu")

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Learn when the encoder is through."""
        encoder = pl_module.encoder
        assert isinstance(encoder, Encoder)
        self._device = pl_module.device
        self._hook = encoder.register_forward_hook(self._embedded)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leave the encoder as it was."""
        if self._hook is not None:
            self._hook.remove()

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        """Begin a step; the first measured one waits for all that went before."""
        if len(self._marks) == self.warmup:
            self._start = self._clocks()
            if self._device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(self._device)
        self._clips, self._images = batch.num_clips, batch.frames.flatten(0, -4).shape[0]
        self._marks.append({"begin": self._mark()})

    def on_before_backward(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Tensor
    ) -> None:
        """The loss is there."""
        self._marks[-1]["loss"] = self._mark()

    def on_after_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The gradients are there."""
        self._marks[-1]["gradients"] = self._mark()

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """End a step; the last measured one waits for the device."""
        self._marks[-1]["end"] = self._mark()
        if len(self._marks) == self.warmup + self.steps:
            self._end = self._clocks()
            if self._device.type == "cuda":
                self._peak_bytes = torch.cuda.max_memory_allocated(self._device)
            trainer.should_stop = True

    def result(self) -> StepTimes:
        """Return the means, once training has ended."""
        measured = self._marks[self.warmup : self.warmup + self.steps]
        assert len(measured) == self.steps, "training ended before the steps were measured"
        step_s, cpu_s = (
            (end - start) / self.steps for start, end in zip(self._start, self._end, strict=True)
        )
        parts = dict.fromkeys(PARTS, 0.0)
        for marks in measured:
            parts["forward"] += _seconds(marks["begin"], marks["embedded"])
            parts["loss"] += _seconds(marks["embedded"], marks["loss"])
            parts["loss"] += _seconds(marks["loss"], marks["embedding gradients"])
            parts["backward"] += _seconds(marks["embedding gradients"], marks["gradients"])
            parts["optimiser"] += _seconds(marks["gradients"], marks["end"])
        parts = {part: seconds / self.steps for part, seconds in parts.items()}
        parts["between"] = max(0.0, step_s - sum(parts.values()))
        return StepTimes(step_s, cpu_s, parts, self._peak_bytes, self._clips, self._images)

    def _embedded(self, encoder: nn.Module, images: Any, embeddings: Tensor) -> None:
        if not embeddings.requires_grad:  # validation
            return
        self._marks[-1]["embedded"] = self._mark()
        embeddings.register_hook(self._embedding_gradients)  # type: ignore[no-untyped-call]

    def _embedding_gradients(self, gradient: Tensor) -> None:
        self._marks[-1]["embedding gradients"] = self._mark()

    def _mark(self) -> _Mark:
        if self._device.type != "cuda":
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record()
        return event

    def _clocks(self) -> tuple[float, float]:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter(), time.process_time()


def _seconds(start: _Mark, end: _Mark) -> float:
    if isinstance(start, torch.cuda.Event):
        assert isinstance(end, torch.cuda.Event)
        milliseconds: float = start.elapsed_time(end)
        return milliseconds / 1000
    assert not isinstance(end, torch.cuda.Event)
    return end - start
