"""What a GPU spends a training step on, by kind of kernel."""

import re
import warnings
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch.autograd import DeviceType  # type: ignore[attr-defined]
from torch.profiler import ProfilerActivity, profile

from vipl.data.loading.samples import Batch

KINDS = (
    ("copies from the host", r"memcpy htod"),
    ("optimiser", r"adam|multi_tensor|sgd"),
    ("batch norm", r"batch_?norm|\bbn_|_bn_"),
    (
        "convolution and matrix product",
        r"conv|gemm|wgrad|dgrad|fprop|xmma|cutlass|nvjet|cudnn.*(sm\d+|engine)|splitk",
    ),
)
"""Kinds of kernel, by what their names hold; the first that fits. The rest is elementwise."""

# Ranges that the profiler draws around kernels; they would count twice.
_ANNOTATION = re.compile(r"Optimizer\.|ProfilerStep|Torch-Compiled|## |CompiledFunction")

ELEMENTWISE = "elementwise, pooling, reductions"
IDLE = "idle (waiting for launches)"


class KernelProfile(NamedTuple):
    """Of some training steps.

    Attributes:
        step_s: Seconds of a step while it was profiled.
        kinds_s: Seconds a step, by kind; they add up to a step.
        kernels_s: Seconds a step of the kernels that take most, by name.
        launches: Kernels a step.
    """

    step_s: float
    kinds_s: dict[str, float]
    kernels_s: dict[str, float]
    launches: float


class KernelProfiler(Callback):
    """Profiles some training steps on a GPU, and ends training after them.

    Args:
        warmup: Steps before.
        steps: That are profiled.
    """

    def __init__(self, *, warmup: int, steps: int) -> None:
        self.warmup = warmup
        self.steps = steps
        self._begun = 0
        self._profile = profile(activities=[ProfilerActivity.CUDA, ProfilerActivity.CPU])

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        """Start at the first step that counts."""
        if self._begun == self.warmup:
            torch.cuda.synchronize()
            self._profile.start()
        self._begun += 1

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """Stop after the last."""
        if self._begun == self.warmup + self.steps:
            torch.cuda.synchronize()
            self._profile.stop()
            trainer.should_stop = True

    def result(self) -> KernelProfile:
        """Return what the steps were spent on, once training has ended."""
        kernels = [
            (event.name, event.time_range.start, event.time_range.end)
            for event in self._profile.events() or ()  # type: ignore[no-untyped-call]
            if event.device_type == DeviceType.CUDA and not _ANNOTATION.match(event.name)
        ]
        return summarise(kernels, steps=self.steps)


def summarise(kernels: list[tuple[str, float, float]], *, steps: int) -> KernelProfile:
    """Add up kernels by kind.

    Args:
        kernels: Name, start and end in microseconds of each.
        steps: In which they ran.
    """
    span = max(end for _, _, end in kernels) - min(start for _, start, _ in kernels)
    kinds: defaultdict[str, float] = defaultdict(float)
    names: defaultdict[str, float] = defaultdict(float)
    for name, start, end in kernels:
        kinds[kind_of(name)] += end - start
        names[name] += end - start
    kinds[IDLE] = max(0, span - sum(kinds.values()))
    unit = 1e-6 / steps
    return KernelProfile(
        step_s=span * unit,
        kinds_s={kind: time * unit for kind, time in _greatest(kinds)},
        kernels_s={name: time * unit for name, time in _greatest(names)[:12]},
        launches=len(kernels) / steps,
    )


def _greatest(times: Mapping[str, float]) -> list[tuple[str, float]]:
    return sorted(times.items(), key=lambda item: -item[1])


def kind_of(name: str) -> str:
    """Return the kind of a kernel."""
    for kind, pattern in KINDS:
        if re.search(pattern, name, re.IGNORECASE):
            return kind
    return ELEMENTWISE


class SyncCounter(Callback):
    """Counts where the host waits for the GPU in some training steps, and ends training.

    Args:
        warmup: Steps before.
        steps: That are watched.
    """

    def __init__(self, *, warmup: int, steps: int) -> None:
        self.warmup = warmup
        self.steps = steps
        self._begun = 0
        self._caught = warnings.catch_warnings(record=True)
        self._waits: list[warnings.WarningMessage] = []

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        """Watch from the first step that counts to the start of the one after the last."""
        if self._begun == self.warmup:
            self._waits = self._caught.__enter__() or []
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
        if self._begun == self.warmup + self.steps:
            torch.cuda.set_sync_debug_mode("default")
            self._caught.__exit__(None, None, None)
            trainer.should_stop = True
        self._begun += 1

    def result(self) -> tuple[str, ...]:
        """Return file and line of every wait."""
        return tuple(
            f"{Path(wait.filename).name}:{wait.lineno}"
            for wait in self._waits
            if "synchroniz" in str(wait.message)
        )
