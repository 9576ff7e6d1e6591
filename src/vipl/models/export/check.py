"""Whether what was exported embeds as the encoder does.

Shapes: N images of H x W pixels, S the network's input side, D the embedding size.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from vipl.models.encoder import Encoder

TOLERANCE = 1e-4
"""Allowed difference of embeddings, relative to the largest number in them."""

_SIZES = ((240, 320), (97, 301), (40, 30))
"""Heights and widths of the images, in pixels."""


def largest_difference(
    encoder: Encoder, other: Callable[[Tensor], Tensor], *, preprocessing: bool
) -> float:
    """Return how far embeddings are apart, relative to the largest number in them.

    Args:
        encoder: What is right.
        other: What was exported: uint8 [N, 3, H, W] to float32 [N, D].
        preprocessing: Whether the other takes images of any size.
    """
    apart, largest = 0.0, 0.0
    for images in _images(encoder.image_size, any_size=preprocessing):
        expected = encoder.embed(images) if preprocessing else _embed_prepared(encoder, images)
        got = other(images)
        if got.shape != expected.shape:
            return float("inf")
        apart = max(apart, float((got - expected).abs().max().nan_to_num(float("inf"))))
        largest = max(largest, float(expected.abs().max()))
    return apart / max(largest, 1e-12)


def check_sound(encoder: Encoder) -> None:
    """Try an encoder.

    Raises:
        UserError: If it embeds images as numbers that are not finite.
    """
    for images in _images(encoder.image_size, any_size=False):
        encoder.embed(images)


@torch.inference_mode()
def _embed_prepared(encoder: Encoder, images: Tensor) -> Tensor:
    embeddings: Tensor = encoder(images)
    return embeddings


def _images(side: int, *, any_size: bool) -> Iterator[Tensor]:
    """Yield batches of one to three images: noise over shades, which tells every offset."""
    generator = torch.Generator().manual_seed(0)
    sizes = ((side, side), *_SIZES) if any_size else ((side, side),) * 3
    for index, (height, width) in enumerate(sizes):
        shades = torch.linspace(0, 200, width).expand(1 + index % 3, 3, height, width)
        noise = torch.rand(shades.shape, generator=generator) * 255
        yield ((shades + noise) / 455 * 255).to(torch.uint8)
