"""The released way to bring a clip to a batch, written anew from its description.

Every frame of every clip lies on disk as a JPEG of its own. A sample reads four of them, makes them
float, takes one random resized crop of all four, resizes the crop to 256 and cuts out the centre
of 224 pixels: three passes over float images.
"""

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.io import read_image
from torchvision.transforms import v2

from vipl.data.decoding.video import VideoReader, allowed_backend
from vipl.data.loading import sampling
from vipl.data.loading.closing_loader import ClosingLoader
from vipl.data.manifests.manifest import Manifest


def extract(manifest: Manifest, folder: Path, *, short_side: int, quality: int) -> int:
    """Write every frame of every clip as a JPEG; return their bytes."""
    total = 0
    for row, clip in enumerate(manifest):
        (folder / str(row)).mkdir(parents=True)
        backend = allowed_backend(clip.decoder)
        path = manifest.video_path(clip)
        with VideoReader(path, backend=backend, short_side=short_side) as reader:
            frames = reader.read(clip.frame_numbers(range(clip.num_frames)))
        for number, frame in enumerate(frames):
            file = folder / str(row) / f"{number:06d}.jpg"
            Image.fromarray(frame).save(file, quality=quality)
            total += file.stat().st_size
    return total


class ReleasedSamples(Dataset[Tensor]):
    """Four JPEGs of a clip, float, cropped, resized, cut out.

    Args:
        folder: Of `extract`.
        lengths: Frames of each clip.
    """

    def __init__(self, folder: Path, lengths: list[int]) -> None:
        self.folder = folder
        self.lengths = lengths
        self.crop = v2.RandomResizedCrop(224, scale=(0.2, 1.0), antialias=True)
        self.preprocess = v2.Compose([v2.Resize(256, antialias=True), v2.CenterCrop(224)])

    def __len__(self) -> int:
        return 10**9

    def __getitem__(self, n: int) -> Tensor:
        """Return float32 [4, 3, 224, 224]."""
        row = sampling.draw_clip(0, n, attempt=0, num_clips=len(self.lengths))
        length = self.lengths[row]
        times = sampling.draw_frames(
            0, n, attempt=0, num_frames=length, tuples="paper", pairs_per_clip=0
        )[0]
        files = [self.folder / str(row) / f"{time:06d}.jpg" for time in times]
        images = torch.stack([read_image(str(file)) for file in files]).float() / 255
        result: Tensor = self.preprocess(self.crop(images))
        return result


def one_thread(worker: int) -> None:
    """Leave the other cores to the other workers."""
    torch.set_num_threads(1)


def released_loader(folder: Path, lengths: list[int], *, workers: int) -> ClosingLoader[Tensor]:
    """Return batches of float32 [B, 4, 3, 224, 224]."""
    return ClosingLoader(
        ReleasedSamples(folder, lengths),
        batch_size=16,
        num_workers=workers,
        prefetch_factor=2,
        worker_init_fn=one_thread,
    )
