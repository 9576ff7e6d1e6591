"""An encoder as a graph that other runtimes can hold: its preprocessing as products of matrices.

Runtimes differ in how they resize, and none has torchvision's rounding. So the resize is written
out: a product with one matrix for each axis, in the integer arithmetic that PyTorch has for uint8
images on a CPU (and Pillow had before). The sums are of whole numbers far below 2**53, and so are
exact in float64 whatever their order. Sizes stay tensors, and a traced graph takes images of any.

Shapes: N images of H x W pixels, S the network's input side, D the embedding size.
"""

from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from vipl.models.encoder import Encoder

Resizing: TypeAlias = tuple[Tensor, Tensor]
"""Of one axis: whole weights [S, pixels before], and the power of two that stands for 1, [1]."""

_WEIGHT_BITS = 15
"""PyTorch keeps weights as int16..."""

_POINT_BITS = 22
"""...with as many bits behind the point as fit, but no more than these."""


class Graph(nn.Module):
    """What an exported file computes: `encoder.embed` without its checks and batches.

    Args:
        encoder: In evaluation mode.
        preprocessing: Whether images of any size are taken, and not only of S x S.
    """

    def __init__(self, encoder: Encoder, *, preprocessing: bool) -> None:
        super().__init__()
        self.encoder = encoder
        self.preprocessing = preprocessing

    def forward(self, images: Tensor) -> Tensor:
        """Embed images.

        Args:
            images: uint8 [N, 3, H, W], or uint8 [N, 3, S, S] without preprocessing.

        Returns:
            float32 [N, D].
        """
        encoder = self.encoder
        pixels = preprocess(encoder, images) if self.preprocessing else images.float()
        embeddings: Tensor = encoder.network((pixels / 255 - encoder.mean) / encoder.std)
        return embeddings.float() * encoder.output_scale


def preprocess(encoder: Encoder, images: Tensor) -> Tensor:
    """Do what `encoder.preprocess` does on a CPU, bit by bit, in operations that runtimes share.

    Args:
        encoder: Whose preprocessing.
        images: uint8 [N, 3, H, W].

    Returns:
        float32 [N, 3, S, S], whole numbers from 0 to 255.
    """
    sides = torch._shape_as_tensor(images)[2:]
    scaled_side = _scaled_side(encoder, sides)
    short = sides.min() if encoder.keep_aspect else sides
    scaled = torch.div(sides * scaled_side, short, rounding_mode="floor")
    rows, columns = (_resizing(encoder, sides[axis], scaled[axis]) for axis in (0, 1))
    # In PyTorch's order: along a row first, to whole numbers, then along a column.
    narrow = _resize(images.double(), columns)
    return _resize(narrow.transpose(-1, -2), rows).transpose(-1, -2).float()


def _scaled_side(encoder: Encoder, sides: Tensor) -> Tensor:
    """Return what the short side is brought to: of images that are kept, what it is, int64 []."""
    own = torch.full_like(sides, encoder.image_size)
    scaled = torch.full_like(sides[0], encoder.scaled_side)
    if encoder.own_size == "resized":
        return scaled
    return torch.where((sides == own).all(), own[0], scaled)


def _resizing(encoder: Encoder, side: Tensor, scaled: Tensor) -> Resizing:
    """Return the weights of an antialiased resize of one axis, for the pixels of the crop.

    Args:
        encoder: Says how, and how many pixels the crop has.
        side: Of the image, int64.
        scaled: Of the image as resized, int64.
    """
    device = encoder.mean.device
    # Made of ones: ONNX's exporter divides what it does not know to be float64 in float32.
    scale = torch.ones(1, dtype=torch.float64, device=device) * side.to(device) / scaled.to(device)
    centres = (_count(scaled, device) + 0.5) * scale
    places = _count(side, device) + 0.5
    apart = (places[None] - centres[:, None]) / scale.clamp(min=1.0)
    weights = _cubic(apart) if encoder.interpolation == "bicubic" else _triangle(apart)
    weights = weights / weights.sum(1, keepdim=True)
    # The crop's pixels alone do not tell the largest weight: it may be one of those at the border.
    one = _power_of_one(weights.max())
    whole = torch.floor(weights.abs() * one + 0.5) * torch.sign(weights)
    first = torch.round((scaled - encoder.image_size).double() / 2).long().to(device)
    return whole[first + torch.arange(encoder.image_size, device=device)], one


def _count(number: Any, device: torch.device) -> Tensor:
    """Return 0, 1, … as float64; torch's types do not know that the number may be a tensor."""
    return torch.arange(number, device=device).double()


def _power_of_one(largest: Tensor) -> Tensor:
    """Return the largest power of two that weights may be multiplied by; float64 [1]."""
    powers = 2.0 ** torch.arange(1, _POINT_BITS + 1, device=largest.device).double()
    fitting = torch.floor(largest * powers + 0.5) < 2**_WEIGHT_BITS
    return torch.where(fitting, powers, torch.ones_like(powers)).max()[None]


def _resize(pixels: Tensor, resizing: Resizing) -> Tensor:
    """Resize the last axis; float64 whole numbers from 0 to 255."""
    weights, one = resizing
    return torch.floor(torch.matmul(pixels, weights.t()) / one + 0.5).clamp(0, 255)


def _triangle(apart: Tensor) -> Tensor:
    return (1 - apart.abs()).clamp(min=0)


def _cubic(apart: Tensor) -> Tensor:
    """Return Keys's cubic with a = -1/2, as Pillow and antialiased PyTorch have it."""
    apart = apart.abs()
    near = (1.5 * apart - 2.5) * apart * apart + 1
    far = -0.5 * (((apart - 5) * apart + 8) * apart - 4)
    return torch.where(apart < 1, near, torch.where(apart < 2, far, torch.zeros_like(apart)))


def example(graph: Graph) -> Tensor:
    """Return images to trace a graph with: neither square nor one, where they need not be."""
    side = graph.encoder.image_size
    height, width = (side + 7, side + 20) if graph.preprocessing else (side, side)
    return torch.zeros(2, 3, height, width, dtype=torch.uint8)
