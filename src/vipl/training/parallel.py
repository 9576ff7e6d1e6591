"""Combinations of settings that would silently train with another loss are refused here."""

import math

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import GradientAccumulationScheduler
from pytorch_lightning.plugins.layer_sync import TorchSyncBatchNorm
from pytorch_lightning.strategies import DDPStrategy, SingleDeviceStrategy
from timm.layers.norm_act import convert_sync_batchnorm

from vipl.data.loading.step_sampler import check_shares
from vipl.errors import UserError


class TimmSyncBatchNorm(TorchSyncBatchNorm):
    """BatchNorm over all processes, for timm's networks.

    PyTorch's own conversion drops the activation of those layers that timm joins with one.
    """

    def apply(self, model: torch.nn.Module) -> torch.nn.Module:
        """Convert the layers before training."""
        converted: torch.nn.Module = convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
        return converted

    def revert(self, model: torch.nn.Module) -> torch.nn.Module:
        """Leave them: in evaluation they are what they were."""
        return model


def check_trainer(trainer: pl.Trainer, *, batch_size: int, sync_batchnorm: bool) -> None:
    """Refuse what this trainer cannot do with this batch, before any process is started.

    Args:
        trainer: Of the run.
        batch_size: Clips of a batch, over all processes.
        sync_batchnorm: Whether BatchNorm shall run over all processes.

    Raises:
        UserError: With what is expected.
    """
    strategy = trainer.strategy
    if type(strategy) not in (SingleDeviceStrategy, DDPStrategy) or (
        isinstance(strategy, DDPStrategy) and strategy._start_method != "popen"
    ):
        raise UserError(
            f"trainer.strategy is {type(strategy).__name__}, expected auto or ddp: every process "
            "holds the whole encoder, and runs the same command"
        )
    precision = str(trainer.precision)
    if precision in ("16-true", "bf16-true"):
        raise UserError(
            f"trainer.precision is {precision}, expected weights of 32 bits, which small steps do "
            f"not leave as they are: {precision.replace('true', 'mixed')}"
        )
    if sync_batchnorm and strategy.root_device.type == "cpu":
        raise UserError("trainer.sync_batchnorm=true needs GPUs: PyTorch has none for the CPU")
    callbacks = trainer.callbacks  # type: ignore[attr-defined]
    if any(isinstance(one, GradientAccumulationScheduler) for one in callbacks):
        raise UserError(
            "GradientAccumulationScheduler changes what the loss is during the run: set "
            "trainer.accumulate_grad_batches for all of it"
        )
    check_shares(batch_size, trainer.world_size)
    _check_environment(trainer)


def check_accumulation(trainer: pl.Trainer) -> None:
    """Refuse to accumulate over the end of an epoch or over a validation.

    A step with fewer batches than the others would weigh them less, and what is saved half-way to
    a step has lost the gradients so far.

    Raises:
        UserError: With what is expected.
    """
    count = trainer.accumulate_grad_batches
    if count == 1:
        return
    interval = trainer.val_check_batch
    batches = trainer.num_training_batches
    if math.isfinite(batches) and batches % count:
        batches = int(batches)
        raise UserError(
            f"trainer.accumulate_grad_batches is {count} and an epoch has {batches} batches: "
            f"choose data.steps_per_epoch={batches // count * count or count} or another multiple"
        )
    if trainer.enable_validation and (interval is None or interval % count):
        raise UserError(
            f"trainer.accumulate_grad_batches is {count} and trainer.val_check_interval comes to "
            f"{interval} batches: choose a multiple of {count}"
        )


def _check_environment(trainer: pl.Trainer) -> None:
    strategy = trainer.strategy
    environment = getattr(strategy, "cluster_environment", None)
    if environment is None or not isinstance(strategy, DDPStrategy):
        return
    try:
        environment.validate_settings(strategy.num_processes, strategy.num_nodes)
    except ValueError as error:
        raise UserError(f"trainer: {' '.join(str(error).split())}") from error


def keep_gradients_once(trainer: pl.Trainer) -> None:
    """Let DDP's buckets be the gradients, which saves their copy: memory, and a pass over them."""
    if isinstance(trainer.strategy, DDPStrategy):
        trainer.strategy._ddp_kwargs.setdefault("gradient_as_bucket_view", True)
