"""Batches of frames from a manifest, for training and for validation."""

from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from vipl.data.checking.presence import with_files
from vipl.data.decoding.video import Backend, has_decord
from vipl.data.loading.closing_loader import ClosingLoader, begin_worker, default_workers
from vipl.data.loading.samples import (
    Batch,
    ClipReader,
    HeldOutClip,
    HeldOutClips,
    TrainingSamples,
    collate,
    single,
)
from vipl.data.loading.sampling import Tuples
from vipl.data.loading.shared_memory import check_room, held_bytes
from vipl.data.loading.step_sampler import StepSampler
from vipl.data.manifests.manifest import read_manifest
from vipl.data.manifests.validation import MIN_FRAMES
from vipl.errors import UserError

_PREFETCHED_BATCHES = 2
_MISSING = "data.root=… says where they are, data.allow_missing=true trains without them"


class VideoDataModule(pl.LightningDataModule):
    """Batches of frame tuples from the clips of a manifest.

    Args:
        manifest: The manifest's file.
        root: Folder of the videos; by default the one that the manifest names.
        batch_size: Clips of a step, over all processes.
        image_size: Side of the frames, in pixels; that of the encoder.
        tuples: "paper": (start, goal, current, next) of each clip. "dense": `pairs_per_clip`
            pairs, each of whose frames is a goal of the pairs before it; it learns far more from
            an image where clips are few.
        tuples_per_clip: For the paper's: frame tuples drawn from a clip once it is decoded, all of
            one crop. More than 1 brings more images from a slow disk or decoder; they are less
            varied, and negatives may be of the same clip.
        pairs_per_clip: For dense tuples.
        crop_scale: Least and greatest share of a frame's area that the random crop takes.
        central_fraction: Central part of the crop that is kept; that of the encoder.
        decoder: "decord", "pyav", or "auto": decord where it is installed.
        decode_short_side: Frames are brought to this short side while they are decoded: faster
            on large videos, one resampling more. None: full size.
        decode_timeout_s: After which a clip that does not decode is given up.
        num_workers: Processes that load data; by default one a core, eight at most.
        steps_per_epoch: Batches; by default as many as one pass through the clips takes.
        val_clips: Held-out clips that are looked at, evenly spaced over the manifest.
        val_frames: Frames of each, evenly spaced.
        max_failure_rate: Share of draws that may fail before the run is stopped.
        allow_missing: Leave out the clips whose files are not there at the start, instead of
            refusing.
        seed: Of sampling and augmentation.
    """

    def __init__(
        self,
        manifest: str,
        *,
        root: str | None = None,
        batch_size: int = 32,
        image_size: int = 224,
        tuples: Tuples = "paper",
        tuples_per_clip: int = 1,
        pairs_per_clip: int = 8,
        crop_scale: tuple[float, float] = (0.2, 1.0),
        central_fraction: float = 0.875,
        decoder: Backend = "auto",
        decode_short_side: int | None = None,
        decode_timeout_s: float = 30.0,
        num_workers: int | None = None,
        steps_per_epoch: int | None = None,
        val_clips: int = 64,
        val_frames: int = 50,
        max_failure_rate: float = 0.2,
        allow_missing: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        _check_positive(
            batch_size=batch_size,
            image_size=image_size,
            tuples_per_clip=tuples_per_clip,
            pairs_per_clip=pairs_per_clip,
            decode_timeout_s=decode_timeout_s,
            steps_per_epoch=1 if steps_per_epoch is None else steps_per_epoch,
            decode_short_side=1 if decode_short_side is None else decode_short_side,
        )
        _check_one_manifest(manifest)
        if val_clips < 0:
            raise UserError(f"data.val_clips is {val_clips}, expected 0 (none) or more")
        if not 0 <= max_failure_rate <= 1:
            raise UserError(
                f"data.max_failure_rate is {max_failure_rate}, expected a share, 0 to 1"
            )
        if num_workers is not None and num_workers < 0:
            raise UserError(f"data.num_workers is {num_workers}, expected 0 or more")
        if val_frames < MIN_FRAMES:
            raise UserError(f"data.val_frames is {val_frames}, expected {MIN_FRAMES} or more")
        if decoder == "decord" and not has_decord():
            raise UserError("decord is not installed: data.decoder=pyav gives the same frames")
        if not 0 < crop_scale[0] <= crop_scale[1] <= 1:
            raise UserError(f"data.crop_scale is {list(crop_scale)}, expected 0 < low <= high <= 1")
        if not 0 < central_fraction <= 1:
            raise UserError(f"data.central_fraction is {central_fraction}, expected 0 < share <= 1")
        self.manifest = with_files(
            read_manifest(manifest, root=root), allow_missing=allow_missing, remedy=_MISSING
        )
        self.batch_size = batch_size
        self.steps_per_epoch = steps_per_epoch
        self.num_workers = default_workers() if num_workers is None else num_workers
        self.val_clips = val_clips
        self.val_frames = val_frames
        self.max_failure_rate = max_failure_rate
        self.seed = seed
        self._loaders: list[ClosingLoader[Any]] = []
        self._samples = {
            split: TrainingSamples(
                ClipReader(
                    self.manifest.only(split),
                    size=image_size,
                    scale=crop_scale,
                    central_fraction=central_fraction,
                    decoder=decoder,
                    decode_short_side=decode_short_side,
                    timeout_s=decode_timeout_s,
                ),
                seed=seed,
                tuples=tuples,
                tuples_per_clip=tuples_per_clip,
                pairs_per_clip=pairs_per_clip,
            )
            for split in ("train", "val")
        }
        if not self.num_clips("train"):
            raise UserError(f"{manifest} has no clip of the split 'train'")

    def num_clips(self, split: str) -> int:
        """Return the number of clips of a split."""
        return len(self._samples[split].reader.manifest)

    def train_dataloader(self) -> ClosingLoader[Batch]:
        """Return batches of uint8 [B * K, 4, 3, S, S], or [B, P, 2, 3, S, S] with dense tuples.

        K is `tuples_per_clip`.
        """
        rank, world_size = self._place()
        sampler = StepSampler(
            batch_size=self.batch_size,
            rank=rank,
            world_size=world_size,
            batches=self.steps_per_epoch or max(1, self.num_clips("train") // self.batch_size),
            first_batch=self._first_batch,
        )
        loader = ClosingLoader(
            self._samples["train"],
            batch_sampler=sampler,
            collate_fn=collate,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            prefetch_factor=_PREFETCHED_BATCHES if self.num_workers else None,
            pin_memory=torch.cuda.is_available(),
            worker_init_fn=begin_worker,
        )
        loader.instead = Batch.missing()
        self._loaders.append(loader)
        return loader

    def val_dataloader(self) -> DataLoader[HeldOutClip] | list[DataLoader[HeldOutClip]]:
        """Return held-out clips, one a batch, each process its share."""
        total = self.num_clips("val")
        if not total or not self.val_clips:
            return []
        count = min(total, self.val_clips)
        rows = np.linspace(0, total - 1, count).round().astype(int).tolist()
        rank, world_size = self._place()
        # As many for every process, since they wait for each other; a clip twice counts once.
        share = (rows[rank::world_size] + rows)[: -(-count // world_size)]
        loader = ClosingLoader(
            HeldOutClips(self._samples["val"], share, max_frames=self.val_frames),
            batch_size=1,
            collate_fn=single,
            num_workers=min(self.num_workers, count),
            worker_init_fn=begin_worker,
        )
        loader.instead = HeldOutClip.missing()
        self._loaders.append(loader)
        return loader

    def check_shared_memory(self, processes: int, machines: int) -> None:
        """Refuse to begin where batches would not find room on their way from loading processes.

        Args:
            processes: Of the run.
            machines: That they are on.

        Raises:
            UserError: If there is less shared memory than they may hold.
        """
        samples = self._samples["train"]
        frame_bytes = 3 * samples.reader.crop["size"] ** 2
        batch = self.batch_size // processes * samples.frames_per_clip * frame_bytes
        held = held_bytes(batch, workers=self.num_workers, prefetched=_PREFETCHED_BATCHES)
        count = min(self.num_clips("val"), self.val_clips)
        if count:
            clip = (self.val_frames + samples.frames_per_clip) * frame_bytes
            held += held_bytes(clip, workers=min(self.num_workers, count))
        check_room(held * max(1, processes // machines), option="data.num_workers")

    def close(self) -> None:
        """End the processes of all loaders."""
        for loader in self._loaders:
            loader.close()
        for samples in self._samples.values():
            samples.hung.close()

    def _place(self) -> tuple[int, int]:
        trainer = self.trainer
        return (0, 1) if trainer is None else (trainer.global_rank, trainer.world_size)

    def _first_batch(self) -> int:
        return 0 if self.trainer is None else self.trainer.fit_loop.total_batch_idx + 1


def _check_one_manifest(manifest: str) -> None:
    """Refuse folders and several files, with the command that makes one manifest."""
    if Path(manifest).is_dir():
        raise UserError(
            f"data.manifest is {manifest!r}, a folder, expected a manifest's file: `vipl manifest "
            f"build folder {manifest} --out {Path(manifest).name}.parquet` makes one of its videos"
        )
    if not Path(manifest).exists() and ("," in manifest or manifest.startswith("[")):
        raise UserError(
            f"data.manifest is {manifest!r}, expected one file: build one manifest of all videos, "
            "as of the folder above theirs"
        )


def _check_positive(**values: float) -> None:
    for name, value in values.items():
        if not value > 0:
            raise UserError(f"data.{name} is {value}, expected more than 0")
