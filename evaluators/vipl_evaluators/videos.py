"""The suite `videos`: how an encoder sees clips, with neither simulator nor robot.

Shapes: T frames of a clip, D embedding size.
"""

import math
import zlib
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from vipl.data.checking.presence import with_files
from vipl.data.decoding.video import VideoError
from vipl.data.loading.video_inputs import Video
from vipl.data.manifests.manifest import Manifest, read_manifest
from vipl.data.processes.isolation import DecoderProcess
from vipl.errors import UserError
from vipl.evaluation.evaluator import MAIN, RANDOM, RANDOM_GOAL, Cell, Evaluator, Grid, Outcome
from vipl.models.encoder import Encoder
from vipl.names import choose
from vipl.rewards import as_images
from vipl.rewards.curves import SAME, Distances, bumps, distances_to, value_order_correlation

PAPER_FRAMES = 50
"""Of a clip, in the paper's count of bumps (arXiv 2210.00030, Table 5)."""

_CHUNK_FRAMES = 16
_TIMEOUT_S = 120.0


class UnreadableClipError(RuntimeError):
    """A clip that cannot be read: its own cell's fault, and no reason to stop the others."""


class Videos(Evaluator):
    """Distance curves of clips: bumps, value-order correlation and rewards, without a simulator.

    Every clip of the manifest is a task. All its frames are embedded, and their distances to the
    last one, which is the goal, are measured.

    Args:
        manifest: Table of clips, as `vipl manifest build` makes it.
        split: Whose clips are taken: train, val, or all if null.
        root: Folder of the videos, where it is not the one that the manifest names.
        max_clips: Take at most so many, evenly spaced over the manifest; all if null.
    """

    version = 2
    unit = "clip"
    sampled_tasks = True
    higher_is_better: ClassVar[Mapping[str, bool]] = {
        "bumps": False,
        "bumps_50": False,
        "value_order_correlation": True,
    }
    labels: ClassVar[Mapping[str, str]] = {
        "bumps": "bumps (share of all steps)",
        "bumps_50": "bumps (share of the first 50 frames' steps)",
        "value_order_correlation": "value-order correlation",
        "distance": "embedding distance to the last frame",
    }
    protocols: ClassVar[Mapping[str, str]] = {
        "curves": "measure how the distance to a clip's last frame falls"
    }

    def __init__(
        self,
        *,
        manifest: str | None = None,
        split: Literal["train", "val"] | None = "val",
        root: str | None = None,
        max_clips: int | None = None,
    ) -> None:
        if max_clips is not None and max_clips < 1:
            raise UserError(f"max_clips is {max_clips}, expected 1 or more, or null for all")
        self.manifest = manifest
        self.split = split
        self.root = root
        self.max_clips = max_clips
        self._decoder = DecoderProcess(timeout_s=_TIMEOUT_S)

    def prepare(self) -> None:
        """Look whether the videos are there; some may be missing, and fail in their cells."""
        with_files(
            self._clips,
            allow_missing=True,
            remedy="name the folder that the manifest's paths start from by root=DIR",
        )

    def inputs(self) -> Mapping[str, str]:
        """Return the hash of the manifest's content."""
        return {} if self.manifest is None else {"manifest": f"sha256 {self._clips.sha256}"}

    def tasks(self) -> Mapping[str, str]:
        """Return the clips by their id, with the manifest's labels; none without a manifest."""
        if self.manifest is None:
            return {}
        return {name: video.clip.label for name, video in self._videos.items() if video.clip}

    def cells(self, grid: Grid, *, oracle: bool) -> list[Cell]:
        """Return a cell for each clip, then those of the controls.

        Seeds draw the weights of untrained encoders; a trained one has a cell a clip, with the
        first seed.
        """
        if self.manifest is None:
            raise UserError("which clips? name a manifest: vipl eval --suite videos manifest=PATH")
        if oracle:
            raise UserError("the oracle sees states, and videos have none: name an encoder")
        for key in ("cameras", "budgets"):
            if getattr(grid, key):
                raise UserError(f"{key} is {list(getattr(grid, key))}: videos have no {key}")
        clips = choose("clip", grid.tasks, self._videos)
        protocol = choose("protocol", [grid.protocol] if grid.protocol else None, self.protocols)[0]
        first = grid.seeds if grid.untrained else grid.seeds[:1]
        seeds = {MAIN: first}
        if RANDOM_GOAL in grid.controls and len(self._videos) > 1:
            seeds[RANDOM_GOAL] = first
        if RANDOM in grid.controls:
            seeds[RANDOM] = grid.seeds
        return [
            Cell(clip, None, seed, protocol, variant)
            for variant, drawn in seeds.items()
            for seed in drawn  # a worker keeps one untrained encoder at a time
            for clip in clips
        ]

    def run_cell(self, cell: Cell, encoder: Encoder | None, rng: np.random.Generator) -> Outcome:
        """Embed a clip and measure its curve; it depends on no chance but the encoder's weights.

        Raises:
            UnreadableClipError: If a frame cannot be read.
        """
        assert encoder is not None
        try:
            embeddings = self._embed(self._videos[cell.task], encoder)
            goal = embeddings[-1]
            info = {}
            if cell.variant == RANDOM_GOAL:
                other = self._another(cell.task)
                goal = self._embed(self._videos[other], encoder, last=True)[-1]
                info = {"goal": f"the last frame of {other}"}
        except VideoError as error:
            # One clip's fault: as a UserError it would stop all of them.
            raise UnreadableClipError(str(error)) from error
        return curve_outcome(distances_to(embeddings, goal, encoder.distance), info)

    @cached_property
    def _clips(self) -> Manifest:
        assert self.manifest is not None
        whole = read_manifest(self.manifest, root=self.root)
        clips = whole if self.split is None else whole.only(self.split)
        if not len(clips):
            raise UserError(
                f"{self.manifest} has no clip of the split {self.split!r}: split=null takes all"
            )
        if self.max_clips is not None and self.max_clips < len(clips):
            rows = np.linspace(0, len(clips) - 1, self.max_clips).round().astype(np.int64)
            clips = replace(clips, table=clips.table.take(rows))
        return clips

    @cached_property
    def _videos(self) -> dict[str, Video]:
        return {
            clip.clip_id: Video(clip.clip_id, clip.path, self._clips.video_path(clip), clip)
            for clip in self._clips
        }

    def _embed(self, video: Video, encoder: Encoder, *, last: bool = False) -> NDArray[np.float32]:
        """Return float32 [T, D] of all frames, or [1, D] of the last one."""
        opened = video.open_to_stream(self._decoder)
        total = opened.info.num_frames
        parts = []
        for first in range(total - 1 if last else 0, total, _CHUNK_FRAMES):
            images = as_images(opened.read(range(first, min(first + _CHUNK_FRAMES, total))))
            parts.append(encoder.embed(images).cpu())
        return torch.cat(parts).numpy()

    def _another(self, clip: str) -> str:
        """Return another clip, always the same one; where labels differ, one of another label.

        Clips of one label may well end alike, and then their goals are no wrong ones.
        """
        labels = self.tasks()
        others = [name for name, label in labels.items() if label != labels[clip]]
        others = others or [name for name in labels if name != clip]
        return others[zlib.crc32(clip.encode()) % len(others)]


def curve_outcome(distances: Distances, info: Mapping[str, str]) -> Outcome:
    """Return the metrics and the curve of a clip; one that does not change has no metrics.

    Args:
        distances: [T] to the goal, in time order.
        info: For the record.
    """
    values = {
        "bumps": bumps(distances),
        "value_order_correlation": value_order_correlation(distances),
    }
    if len(distances) >= PAPER_FRAMES:
        values["bumps_50"] = bumps(distances[:PAPER_FRAMES])
    metrics = {name: value for name, value in values.items() if not math.isnan(value)}
    return Outcome(
        metrics=metrics,
        traces={"distance": distances.tolist()},
        info=info,
        undefined={name: SAME for name in values if name not in metrics},
    )
