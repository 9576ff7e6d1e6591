"""The samples of a run: frames of one clip each, from the manifest to a tensor.

Shapes: B clips of a batch, K tuples or P pairs of a clip, T frames of a held-out clip, S pixels of
an output side.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from vipl.data.checking.bad_clips import BadClip, HungClips
from vipl.data.decoding.frame_archive import FrameArchive, is_archive
from vipl.data.decoding.video import Backend, VideoError, allowed_backend
from vipl.data.loading import sampling
from vipl.data.loading.sampling import Tuples
from vipl.data.manifests.manifest import Clip, Manifest
from vipl.data.processes.augment import crop_and_resize
from vipl.data.processes.isolation import DecoderProcess, VideoTimeoutError

MAX_ATTEMPTS = 10
"""How often a sample is redrawn when its clip cannot be read."""


class Batch(NamedTuple):
    """A training batch.

    Attributes:
        frames: uint8 [B * K, 4, 3, S, S], (start, goal, current, next); with dense tuples
            [B, P, 2, 3, S, S], pairs (current, next). Without any element when some sample could
            not be made: `failures` tells why.
        times: int64 [B * K, 4] or [B, P, 2], frame numbers in the clip.
        failures: Clips that could not be read while the batch was made.
        tuples_per_clip: K; 1 with dense tuples.
        clip_ids: Of the B clips.
    """

    frames: Tensor
    times: Tensor
    failures: list[BadClip]
    tuples_per_clip: int = 1
    clip_ids: Sequence[str] = ()

    @property
    def num_clips(self) -> int:
        """B, 0 where some sample could not be made."""
        return len(self.frames) // self.tuples_per_clip

    @classmethod
    def missing(cls) -> "Batch":
        """Return what stands for a batch that did not come, where the run is to stop."""
        return cls(torch.empty(0, dtype=torch.uint8), torch.empty(0, dtype=torch.int64), [])

    @property
    def is_missing(self) -> bool:
        """Whether it stands for a batch that did not come."""
        return not self.frames.numel() and not self.failures


class HeldOutClip(NamedTuple):
    """A validation batch: one clip.

    Attributes:
        frames: uint8 [T, 3, S, S], evenly spaced; without any element when it could not be read.
        times: int64 [T], frame numbers in the clip.
        drawn: A `Batch` of one sample of the clip, for the loss.
        clip_id: Of the clip.
        failures: At most one.
    """

    frames: Tensor
    times: Tensor
    drawn: Batch
    clip_id: str
    failures: list[BadClip]

    @classmethod
    def missing(cls) -> "HeldOutClip":
        """Return what stands for a clip that did not come, where the run is to stop."""
        nothing = Batch.missing()
        return cls(nothing.frames, nothing.times, nothing, "", [])

    @property
    def is_missing(self) -> bool:
        """Whether it stands for a clip that did not come."""
        return not self.frames.numel() and not self.failures


class ClipReader:
    """Decodes frames of a manifest's clips, in a process of its own that may hang or crash.

    Packed JPEGs are decoded right here: nothing in them can hang a decoder.

    Args:
        manifest: Whose clips are read.
        size: Side of the output, in pixels.
        scale: Least and greatest share of the frame's area that a random crop takes.
        central_fraction: Central part of each crop that is kept.
        decoder: Backend; clips that the manifest marks go to PyAV.
        decode_short_side: Frames are brought to this short side while they are decoded; None
            keeps their size.
        timeout_s: After which a clip is given up.

    Attributes:
        spent_s: Seconds that the last clip took: "decode" and "resample".
    """

    def __init__(
        self,
        manifest: Manifest,
        *,
        size: int,
        scale: tuple[float, float],
        central_fraction: float,
        decoder: Backend,
        decode_short_side: int | None,
        timeout_s: float,
    ) -> None:
        self.manifest = manifest
        self.crop: dict[str, Any] = {
            "size": size,
            "scale": scale,
            "central_fraction": central_fraction,
        }
        self.decoder = decoder
        self.decode_short_side = decode_short_side
        self.process = DecoderProcess(timeout_s=timeout_s)
        self.spent_s: dict[str, float] = {}

    def read(self, clip: Clip, times: NDArray[np.int64], *, seed: tuple[int, ...] | None) -> Tensor:
        """Return uint8 [*times.shape, 3, S, S]; `seed` is of the random crop, None: centred.

        Raises:
            VideoError: If the clip cannot be read.
        """
        path, numbers = self.manifest.video_path(clip), clip.frame_numbers(times.ravel().tolist())
        crop = {**self.crop, "seed": seed}
        if is_archive(path):
            frames = self._unpack(path, numbers, crop)
        else:
            frames = self.process.sample(
                path,
                numbers,
                backend=allowed_backend(clip.decoder, self.decoder),
                short_side=self.decode_short_side,
                crop=crop,
            )
            self.spent_s = self.process.spent_s
        return torch.from_numpy(frames).view(*times.shape, *frames.shape[1:])

    def _unpack(self, path: Path, numbers: list[int], crop: dict[str, Any]) -> NDArray[np.uint8]:
        start = time.perf_counter()
        with FrameArchive(path, self.decode_short_side) as archive:
            unique = sorted(set(numbers))
            pictures = dict(zip(unique, archive.pictures(unique), strict=True))
        decoded = time.perf_counter()
        frames = crop_and_resize([pictures[number] for number in numbers], **crop)
        self.spent_s = {"decode": decoded - start, "resample": time.perf_counter() - decoded}
        return frames


class TrainingSamples(Dataset[Batch]):
    """Sample n of a run, a pure function of (seed, n); see `vipl.data.loading.sampling`."""

    def __init__(
        self,
        reader: ClipReader,
        *,
        seed: int,
        tuples: Tuples,
        tuples_per_clip: int = 1,
        pairs_per_clip: int,
    ) -> None:
        self.reader = reader
        self.seed = seed
        self.tuples = tuples
        self.tuples_per_clip = tuples_per_clip
        self.pairs_per_clip = pairs_per_clip
        self.hung = HungClips()

    @property
    def frames_per_clip(self) -> int:
        """Frames that a sample takes from its clip."""
        return 4 * self.tuples_per_clip if self.tuples == "paper" else 2 * self.pairs_per_clip

    def __getitem__(self, n: int) -> Batch:
        """Return a batch of one sample, redrawn while its clip cannot be read."""
        clips = self.reader.manifest
        failures: list[BadClip] = []
        for attempt in range(MAX_ATTEMPTS):
            row = sampling.draw_clip(self.seed, n, attempt=attempt, num_clips=len(clips))
            clip = clips[row]
            times = self.draw_times(n, clip, attempt=attempt)
            crop_seed = sampling.crop_seed(self.seed, n, attempt=attempt)
            frames = self.read(row, clip, times, seed=crop_seed)
            if not isinstance(frames, BadClip):
                return self.batch(frames, times, failures, clip.clip_id)
            failures.append(frames)
        return Batch(torch.empty(0, dtype=torch.uint8), torch.empty(0, dtype=torch.int64), failures)

    def read(
        self, row: int, clip: Clip, times: NDArray[np.int64], *, seed: tuple[int, ...] | None
    ) -> Tensor | BadClip:
        """Return frames as `ClipReader.read` does, or what is wrong with the clip.

        What can be read of a clip that is bad in places stays in use, so that a sample does not
        depend on those before it; only a clip that hung is not tried again.
        """
        bad = self.hung.get(row)
        if bad is not None:
            return bad
        try:
            return self.reader.read(clip, times, seed=seed)
        except VideoError as error:
            bad = BadClip(clip.clip_id, clip.path, str(error))
            if isinstance(error, VideoTimeoutError):
                self.hung.add(row, bad)
            return bad

    def batch(
        self, frames: Tensor, times: NDArray[np.int64], failures: list[BadClip], clip_id: str
    ) -> Batch:
        """Return a batch of one sample, of what `draw_times` drew."""
        per_clip = self.tuples_per_clip if self.tuples == "paper" else 1
        return Batch(frames, torch.from_numpy(times), failures, per_clip, (clip_id,))

    def draw_times(self, n: int, clip: Clip, *, attempt: int = 0) -> NDArray[np.int64]:
        """Return the frame numbers that sample n takes from a clip: int64 [K, 4] or [1, P, 2]."""
        return sampling.draw_frames(
            self.seed,
            n,
            attempt=attempt,
            num_frames=clip.num_frames,
            tuples=self.tuples,
            tuples_per_clip=self.tuples_per_clip,
            pairs_per_clip=self.pairs_per_clip,
        )


class HeldOutClips(Dataset[HeldOutClip]):
    """Held-out clips, always the same frames of each, cropped in the centre."""

    def __init__(self, samples: TrainingSamples, rows: Sequence[int], *, max_frames: int) -> None:
        self.samples = samples
        self.rows = rows
        self.max_frames = max_frames

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> HeldOutClip:
        row = self.rows[index]
        clip = self.samples.reader.manifest[row]
        count = min(clip.num_frames, self.max_frames)
        times = np.linspace(0, clip.num_frames - 1, count).round().astype(np.int64)
        drawn = self.samples.draw_times(row, clip)
        both = np.concatenate([times, drawn.ravel()])
        frames = self.samples.read(row, clip, both, seed=None)
        if isinstance(frames, BadClip):
            nothing = torch.empty(0, dtype=torch.uint8)
            return HeldOutClip(
                nothing, nothing, Batch(nothing, nothing, []), clip.clip_id, [frames]
            )
        tuple_frames = frames[count:].view(*drawn.shape, *frames.shape[1:])
        batch = self.samples.batch(tuple_frames, drawn, [], clip.clip_id)
        return HeldOutClip(frames[:count], torch.from_numpy(times), batch, clip.clip_id, [])


def collate(samples: list[Batch]) -> Batch:
    """Join batches of one sample."""
    failures = [failure for sample in samples for failure in sample.failures]
    incomplete = next((sample for sample in samples if not sample.frames.numel()), None)
    if incomplete is not None:
        return incomplete._replace(failures=failures)
    frames = torch.cat([sample.frames for sample in samples])
    times = torch.cat([sample.times for sample in samples])
    clip_ids = [clip_id for sample in samples for clip_id in sample.clip_ids]
    return Batch(frames, times, failures, samples[0].tuples_per_clip, clip_ids)


def single(clips: list[HeldOutClip]) -> HeldOutClip:
    """Return the one clip of a validation batch."""
    return clips[0]
