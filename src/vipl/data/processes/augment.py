"""Augmentation: one random crop a clip, shared by its frames, resampled once.

Source of the crop's distribution: the released recipe, RandomResizedCrop(scale 0.2 to 1) followed
by a resize to 256 and a centre crop of 224, that is, the central 7/8 of the crop. Both are one
rectangle here, so each frame is resampled a single time. NumPy and Pillow alone: this runs in
the decoding processes, which never import torch.

Shapes: N frames of a clip, H x W pixels, S the output side.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_ATTEMPTS = 10


Frames: TypeAlias = NDArray[np.uint8] | Sequence[Image.Image]
"""uint8 [N, H, W, 3], or N RGB pictures of one size, as their decoder leaves them."""


class Crop(NamedTuple):
    """A rectangle in pixels; real-valued, since the resampling takes fractions."""

    left: float
    top: float
    width: float
    height: float


def sample_crop(
    rng: np.random.Generator,
    height: int,
    width: int,
    *,
    scale: tuple[float, float] = (0.2, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
) -> Crop:
    """Draw a crop of random area and aspect ratio inside a frame of height x width pixels.

    Args:
        rng: Source of randomness.
        height: Of the frame, in pixels.
        width: Of the frame, in pixels.
        scale: Least and greatest share of the frame's area.
        ratio: Least and greatest width-to-height ratio, drawn log-uniformly.

    Returns:
        The crop; where none fits in ten draws, the largest centred one of an allowed ratio.
    """
    for _ in range(_ATTEMPTS):
        area = height * width * rng.uniform(*scale)
        aspect = math.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1])))
        crop_width = round(math.sqrt(area * aspect))
        crop_height = round(math.sqrt(area / aspect))
        if 0 < crop_width <= width and 0 < crop_height <= height:
            left = int(rng.integers(width - crop_width + 1))
            top = int(rng.integers(height - crop_height + 1))
            return Crop(left, top, crop_width, crop_height)
    aspect = min(max(width / height, ratio[0]), ratio[1])
    largest = Crop(0, 0, min(width, height * aspect), min(height, width / aspect))
    return largest._replace(left=(width - largest.width) / 2, top=(height - largest.height) / 2)


def shrink(crop: Crop, fraction: float) -> Crop:
    """Return the central part of a crop, `fraction` of its width and height."""
    width, height = crop.width * fraction, crop.height * fraction
    return Crop(
        crop.left + (crop.width - width) / 2, crop.top + (crop.height - height) / 2, width, height
    )


def centre_square(height: int, width: int) -> Crop:
    """Return the largest centred square of a frame."""
    side = min(height, width)
    return Crop((width - side) / 2, (height - side) / 2, side, side)


def resample(frames: Frames, crop: Crop, size: int) -> NDArray[np.uint8]:
    """Cut a crop out of every frame and bring it to size x size, antialiased bilinear.

    Args:
        frames: N of H x W pixels.
        crop: The rectangle, inside the frames.
        size: Side of the output, in pixels.

    Returns:
        uint8 [N, 3, S, S].
    """
    box = (crop.left, crop.top, crop.left + crop.width, crop.top + crop.height)
    output = np.empty((len(frames), 3, size, size), np.uint8)
    for frame, target in zip(frames, output, strict=True):
        picture = frame if isinstance(frame, Image.Image) else Image.fromarray(frame)
        image = picture.resize((size, size), Image.Resampling.BILINEAR, box=box)
        target[:] = np.asarray(image).transpose(2, 0, 1)
    return output


def crop_and_resize(
    frames: Frames,
    *,
    size: int,
    seed: tuple[int, ...] | None = None,
    scale: tuple[float, float] = (0.2, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
    central_fraction: float = 0.875,
) -> NDArray[np.uint8]:
    """Cut one crop out of all frames of a clip and bring it to size x size.

    Args:
        frames: N of H x W pixels.
        size: Side of the output, in pixels.
        seed: The crop is a pure function of it; None: the centred square instead.
        scale: As in `sample_crop`.
        ratio: As in `sample_crop`.
        central_fraction: The central part of the crop that is kept, a share of its sides.

    Returns:
        uint8 [N, 3, S, S].
    """
    first = frames[0]
    width, height = first.size if isinstance(first, Image.Image) else first.shape[1::-1]
    if seed is None:
        crop = centre_square(height, width)
    else:
        crop = sample_crop(np.random.default_rng(seed), height, width, scale=scale, ratio=ratio)
    return resample(frames, shrink(crop, central_fraction), size)
