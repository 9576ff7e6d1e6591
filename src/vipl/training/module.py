"""The Lightning module: it wires encoder, objective and optimiser.

Shapes: B clips of a batch, P pairs of a clip, T frames of a held-out clip, S image side,
D embedding size.
"""

import sys
from typing import Any, TypeAlias

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau

from vipl.data.loading.samples import Batch, HeldOutClip
from vipl.data.loading.sampling import draw_permutations, noise_seed
from vipl.errors import UserError
from vipl.models.checkpoint import CHECKPOINT_KEY, start_from
from vipl.models.encoder import Encoder
from vipl.models.finite import REMEDY, all_finite, check_checkpoint
from vipl.objectives import VIP, Objective, embedding_norms
from vipl.processes.ranks import Ranks
from vipl.rewards.curves import Curve, distances_to_last
from vipl.training.held_out import HeldOutResult, held_out_figures
from vipl.training.optimizers import ParameterGroups, check_optimizer, make_optimizer, renew, shared
from vipl.training.parallel import check_accumulation
from vipl.training.schedules import step_on_figure
from vipl.training.user_callbacks import take_raw_weights

Terms: TypeAlias = dict[str, Tensor]

_VIP = VIP()

_ORDER = ("model.optimizer.class_path", "model.parameter_groups")
_RATES = ("model.optimizer", "model.lr_scheduler", "model.parameter_groups")


class VIPModule(pl.LightningModule):
    """Pre-training of an encoder on video, by value-implicit pre-training or another objective.

    Args:
        encoder: What is trained.
        weights: Of an encoder to start from, in place of random ones: a run's folder, a file or a
            name, as `load_encoder` takes it. It is to be the same network; the size of the images
            may differ.
        objective: What is minimised: VIP (arXiv 2210.00030, equation 5), TCN, LSTD, or a class of
            your own.
        l1_weight: Of the embeddings' mean L1 norm.
        l2_weight: Of the embeddings' mean L2 norm.
        optimizer: Made from the encoder's parameters.
        parameter_groups: Another rate for the backbone, no decay for norms and biases; None: all
            parameters alike.
        lr_scheduler: Made from the optimiser, stepped once a training step, or after each
            validation where it watches a figure (pytorch_lightning.cli.ReduceLROnPlateau); None:
            constant.
        compile: Have torch.compile fuse the network of the training step. The first step then
            takes a minute or more; checkpoints and exported encoders are the same.
        seed: Of the random pairings; the run's.

    Attributes:
        changed: Keys of the recipe that differ from those of the checkpoint that is gone on from.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        weights: str | None = None,
        objective: Objective = _VIP,
        l1_weight: float = 0.001,
        l2_weight: float = 0.001,
        optimizer: OptimizerCallable = lambda params: torch.optim.Adam(params, lr=1e-4, fused=True),
        parameter_groups: ParameterGroups | None = None,
        lr_scheduler: LRSchedulerCallable | None = None,
        compile: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if weights is not None:
            start_from(encoder, weights)
        self.encoder = encoder
        self.objective = objective
        self.l1_weight = l1_weight
        self.l2_weight = l2_weight
        self.optimizer = shared(optimizer)
        self.parameter_groups = parameter_groups
        self.lr_scheduler = None if lr_scheduler is None else shared(lr_scheduler)
        self.compile_network = compile
        self.seed = seed
        self.changed: tuple[str, ...] = ()
        self.ranks = Ranks()
        self._held_out: list[HeldOutResult] = []

    def setup(self, stage: str) -> None:
        """Count the processes, now that they have met."""
        self.ranks = Ranks()

    def on_train_start(self) -> None:
        """Refuse combinations of intervals that would make another loss."""
        check_accumulation(self.trainer)

    def check_optimizer(self, *, validates: bool, steps: int) -> bool:
        """Refuse an optimiser or a schedule that cannot work, before a run is begun.

        Args:
            validates: Whether the run has held-out clips.
            steps: Of the run; -1 where it has no end.

        Returns:
            Whether the schedule watches a figure of validation.

        Raises:
            UserError: With the reason.
        """
        watches = check_optimizer(
            self.encoder, self.optimizer, self.parameter_groups, self.lr_scheduler, steps=steps
        )
        if watches and not validates:
            raise UserError(
                "model.lr_scheduler watches a figure of validation, and no clip is held out: build "
                "the manifest with a --val-fraction, or choose another schedule"
            )
        return watches

    def configure_optimizers(self) -> Any:
        """Make the optimiser, and the schedule where there is one."""
        optimizer = make_optimizer(self.encoder, self.optimizer, self.parameter_groups)
        if self.lr_scheduler is None:
            return optimizer
        schedule: dict[str, Any] = {"scheduler": self.lr_scheduler(optimizer), "interval": "step"}
        if isinstance(schedule["scheduler"], ReduceLROnPlateau):
            # Lightning saves it, and would step it with epochs, which are not validations.
            schedule |= {"monitor": "", "interval": "epoch", "frequency": sys.maxsize}
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def on_fit_start(self) -> None:
        """Compile the network in place: the names of its weights stay as they are."""
        if self.compile_network:
            self.encoder.network.compile()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of the global batch."""
        terms, l1, l2 = self.parts(batch, self.trainer.fit_loop.total_batch_idx)
        loss = self.total(terms, l1, l2)
        # All of these stay on the device until they are written: to read one is to wait for it.
        # (Lightning reads what goes to its progress bar at every step; ours reads seldom.)
        self.log_dict(
            {
                "train/loss": loss,
                **{f"train/{name}": term for name, term in terms.items()},
                "train/l1_norm": l1,
                "train/l2_norm": l2,
                "train/learning_rate": torch.full_like(loss, self._learning_rate),
            }
        )
        return loss

    def parts(self, batch: Batch, number: int) -> tuple[Terms, Tensor, Tensor]:
        """Return the parts of the loss of the global batch: terms, mean L1 and mean L2 norm.

        All processes join their rows, so every one of them returns the same; see `Ranks.join` for
        what that means for gradients.

        Args:
            batch: This process's share, at least one clip; shares may differ in size.
            number: Of the batch in the run, from 0: random pairings and what is random in the
                network, such as dropout, are drawn for it.
        """
        sizes = self.ranks.tell(len(batch.frames))
        torch.manual_seed(noise_seed(self.seed, number, rank=self.ranks.rank))
        own = self.embed(batch.frames)
        counts = sizes()[:, 0].tolist()
        embeddings, times = self.ranks.join(own, counts), self.ranks.join(batch.times, counts)
        with torch.autocast(self.device.type, enabled=False):
            return self.terms(embeddings, times, number), *embedding_norms(embeddings)

    def total(self, terms: Terms, l1: Tensor, l2: Tensor) -> Tensor:
        """Return the loss that is minimised."""
        return sum(terms.values(), torch.zeros_like(l1)) + self.l1_weight * l1 + self.l2_weight * l2

    @property
    def _learning_rate(self) -> float:
        rate: float = self.optimizers().param_groups[0]["lr"]  # type: ignore[union-attr]
        return rate

    def embed(self, frames: Tensor) -> Tensor:
        """Embed frames of the network's size: uint8 [..., 3, S, S] to [..., D]."""
        size = self.encoder.image_size
        if frames.shape[-3:] != (3, size, size):
            raise UserError(
                f"frames are {list(frames.shape[-2:])} pixels and the encoder takes {size}: "
                "data.image_size and model.encoder.image_size must agree"
            )
        leading = frames.shape[:-3]
        embeddings: Tensor = self.encoder(frames.flatten(0, -4))
        return embeddings.view(*leading, -1)

    def terms(self, embeddings: Tensor, times: Tensor, number: int) -> Terms:
        """Return the objective's terms; the form of the batch says which tuples it holds.

        Args:
            embeddings: [B, 4, D], or [B, P, 2, D] with dense tuples.
            times: int64 [B, 4] or [B, P, 2].
            number: Of the batch, that the random pairings are drawn for.
        """
        permutations = None
        count = self.objective.num_negatives
        if count:
            drawn = draw_permutations(self.seed, number, count=count, batch=len(embeddings))
            permutations = torch.from_numpy(drawn)
            if embeddings.is_cuda:  # from other memory the host would wait for the device
                permutations = permutations.pin_memory()
            permutations = permutations.to(embeddings.device, non_blocking=True)
        return self.objective.terms(embeddings, times, permutations)

    def on_validation_epoch_start(self) -> None:
        """Let all processes look through the network that is exported, the first one's.

        Running averages differ from process to process, as their shares of the batch do. By now a
        callback that averages the weights has put the average in their place.
        """
        self.ranks.copy_from_first(self.encoder.buffers())

    def validation_step(self, clip: HeldOutClip, batch_idx: int) -> dict[str, Any]:
        """Return {"curve": Curve} of a held-out clip, {} where it could not be read."""
        if not clip.frames.numel():
            return {}
        embeddings = self.embed(clip.frames).float().cpu()
        distances = np.full(len(embeddings), np.nan)
        if bool(all_finite([embeddings])):  # else all processes stop together, at the end
            distances = distances_to_last(embeddings.numpy())
        drawn = self.embed(clip.drawn.frames).float().cpu()
        self._held_out.append(
            HeldOutResult(clip.clip_id, distances, embeddings, drawn, clip.drawn.times.cpu())
        )
        times = clip.times.cpu().numpy()
        return {"curve": Curve(clip.clip_id, times, distances, clip.frames.cpu())}

    def on_validation_epoch_end(self) -> None:
        """Log means over all held-out clips, and the loss over all of them at once.

        Raises:
            UserError: If embeddings or the loss are not finite.
        """
        results = self._gather_held_out()
        if not results:
            return
        for one in results:
            self._check_held_out([one.embeddings, one.drawn], f"embeddings of {one.clip_id}")
        embeddings = torch.cat([result.drawn for result in results])
        times = torch.cat([result.times for result in results])
        loss = sum(self.terms(embeddings, times, number=0).values(), torch.zeros(()))
        self._check_held_out([loss], "terms of the held-out loss")
        # Every process has gathered the same, so there is nothing left to synchronise.
        figures = held_out_figures(results, loss)
        self.log_dict(figures, sync_dist=False)
        known: dict[str, Tensor | float] = {**self.trainer.callback_metrics, **figures}
        step_on_figure(self.lr_schedulers(), known, sanity=self.trainer.sanity_checking)

    def _check_held_out(self, tensors: list[Tensor], what: str) -> None:
        if not bool(all_finite(tensors)):
            raise UserError(f"{what} are not finite after step {self.global_step}: {REMEDY}")

    def _gather_held_out(self) -> list[HeldOutResult]:
        """Return what all processes have seen, each clip once, in an order of its own."""
        own, self._held_out = self._held_out, []
        parts = self.ranks.gather(own)
        unique = {result.clip_id: result for part in parts for result in part}
        return [unique[clip_id] for clip_id in sorted(unique)]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with the rates of now, where they were changed and that was accepted."""
        take_raw_weights(checkpoint, self.trainer.callbacks)  # type: ignore[attr-defined]
        if not any(key.startswith(_RATES) for key in self.changed):
            return
        optimizer = make_optimizer(self.encoder, self.optimizer, self.parameter_groups)
        schedule = None if self.lr_scheduler is None else self.lr_scheduler(optimizer)
        renew(checkpoint, optimizer, schedule, keep_state=self.keeps_state)

    @property
    def keeps_state(self) -> bool:
        """Whether a run that goes on keeps what its optimiser has gathered."""
        return not any(key.startswith(_ORDER) for key in self.changed)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the encoder's configuration, so that a checkpoint loads by itself.

        Raises:
            UserError: If weights or the optimiser's state are not finite: that is not to be kept.
        """
        check_checkpoint(checkpoint, self.ranks)
        checkpoint[CHECKPOINT_KEY] = self.encoder.config
