"""What an encoder is made of and given, checked: sizes, colours, images."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from vipl.errors import UserError

_MAX_SCALED = 8192  # pixels of a side: more is memory of several gigabytes


def check_sizes(
    image_size: int, output_dim: int, central_fraction: float, output_scale: float
) -> None:
    """Refuse sizes of a network that make no sense, with a UserError."""
    if image_size < 1:
        raise UserError(f"image_size is {image_size}, expected a side in pixels")
    if output_dim < 0:
        raise UserError(f"output_dim is {output_dim}, expected 0 (features) or more")
    if not 0 < central_fraction <= 1:
        raise UserError(f"central_fraction is {central_fraction}, expected 0 < share <= 1")
    if image_size / central_fraction > _MAX_SCALED:
        raise UserError(
            f"central_fraction is {central_fraction} of image_size {image_size}: images would be "
            f"brought to {image_size / central_fraction:.0f} px, expected {_MAX_SCALED} at most"
        )
    if not 0 < output_scale < math.inf:
        raise UserError(f"output_scale is {output_scale}, expected a number > 0")


def check_colours(mean: Sequence[float], std: Sequence[float]) -> None:
    """Refuse what no channel can be scaled by, with a UserError."""
    if not all(map(math.isfinite, mean)):
        raise UserError(f"mean is {list(mean)}, expected three finite numbers")
    if not all(0 < value < math.inf for value in std):
        raise UserError(f"std is {list(std)}, expected three numbers > 0")


def check_images(images: object) -> None:
    """Refuse what is not uint8 [N, 3, H, W], and say how to make it that.

    Raises:
        TypeError: If it is no tensor.
        ValueError: If it is another one.
    """
    if not isinstance(images, Tensor):
        kind = type(images).__name__
        raise TypeError(f"images are a {kind}, expected a tensor: vipl.rewards.as_images(pictures)")
    if images.dtype == torch.uint8 and images.ndim == 4 and images.shape[1] == 3:
        if 0 in images.shape[2:]:
            raise ValueError(f"images are {list(images.shape)}: there is no pixel in them")
        return
    remedy = ""
    if images.dtype != torch.uint8:
        remedy = f": {_in_eight_bits(images)}"
    elif images.ndim == 3:
        remedy = ": images[None] for one"
    elif images.ndim == 4 and images.shape[3] in (1, 3, 4):
        remedy = ": images.permute(0, 3, 1, 2), the channels come first"
    elif images.ndim == 4 and images.shape[1] == 1:
        remedy = ": grey ones by images.expand(-1, 3, -1, -1)"
    elif images.ndim == 4 and images.shape[1] == 4:
        remedy = ": without their fourth channel by images[:, :3]"
    raise ValueError(
        f"images are {images.dtype} {list(images.shape)}, expected torch.uint8 [N, 3, H, W]{remedy}"
    )


def _in_eight_bits(images: Tensor) -> str:
    """Return how to bring images of another type to uint8 without clipping them."""
    if images.dtype == torch.bool:
        return "images.to(torch.uint8) * 255"
    if not images.numel():
        return "images.to(torch.uint8)"
    values = images.double()
    least, greatest = float(values.min()), float(values.max())
    if images.is_floating_point() and least >= 0 and greatest <= 1:
        return "(images * 255).round().to(torch.uint8)"
    if least >= 0 and greatest <= 255:
        return "images.to(torch.uint8)"
    if not images.is_floating_point() and least >= 0 and greatest <= 65535:
        return "(images.int() >> 8).to(torch.uint8), where they are of 16 bits"
    return f"they go from {least:g} to {greatest:g}, scale them to 0 to 255"
