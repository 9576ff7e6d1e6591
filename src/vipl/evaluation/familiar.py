"""Plans that end in pictures such as the encoder was trained on.

What an encoder was never shown it may take for the goal, and a planner finds it. So a plan is
charged for where it ends: by how far its picture is from the nearest training frame, in the
embedding, beyond what held-out frames are.

Shapes: N pictures, F training frames, D embedding size.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from vipl.data.isolation import DecoderProcess
from vipl.data.manifest import Manifest, read_manifest
from vipl.data.video_inputs import Video
from vipl.errors import UserError
from vipl.models.encoder import Encoder
from vipl.rewards import as_images

_CHUNK_FRAMES = 64
_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Familiar:
    """How plans are kept near the training's pictures.

    Attributes:
        manifest: Of the clips that the encoder was trained on, with those that were held out;
            {task} and {camera} are filled in. None: plans may end anywhere.
        weight: What a unit of embedding distance beyond the free ones costs.
        quantile: Share of the held-out frames that would cost nothing.
    """

    manifest: str | None = None
    weight: float = 5.0
    quantile: float = 0.9


class Strangeness:
    """The cost of pictures unlike the training's.

    Args:
        encoder: That sees them.
        manifest: Of its clips.
        familiar: How they are weighed.

    Raises:
        UserError: If no clip is held out, or none is not.
    """

    def __init__(self, encoder: Encoder, manifest: str, familiar: Familiar) -> None:
        clips = read_manifest(manifest)
        self._weight = familiar.weight
        self._frames = _embed(encoder, clips.only("train"), manifest)
        held_out = _embed(encoder, clips.only("val"), manifest)
        self._free = float(torch.quantile(self.off(held_out), familiar.quantile))

    def off(self, embeddings: Tensor) -> Tensor:
        """Return how far embeddings [N, D] are from the nearest training frame's, [N]."""
        nearest = [torch.cdist(part, self._frames).amin(1) for part in embeddings.split(1024)]
        return torch.cat(nearest)

    def cost(self, embeddings: Tensor) -> Tensor:
        """Return what embeddings [N, D] cost, [N]."""
        return self._weight * (self.off(embeddings) - self._free).clamp(min=0)


def _embed(encoder: Encoder, clips: Manifest, manifest: str) -> Tensor:
    if not len(clips):
        raise UserError(f"familiar.manifest: {manifest} needs clips to train on, and held-out ones")
    return torch.cat(list(_parts(encoder, clips)))


def _parts(encoder: Encoder, clips: Manifest) -> Iterator[Tensor]:
    decoder = DecoderProcess(timeout_s=_TIMEOUT_S)
    for clip in clips:
        video = Video(clip.clip_id, clip.path, clips.video_path(clip), clip)
        opened = video.open_to_stream(decoder)
        total = opened.info.num_frames
        for first in range(0, total, _CHUNK_FRAMES):
            frames = opened.read(range(first, min(first + _CHUNK_FRAMES, total)))
            yield encoder.embed(as_images(frames)).cpu()
