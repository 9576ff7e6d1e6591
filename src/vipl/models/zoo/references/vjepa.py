"""V-JEPA 2.1's vision transformer with one frame, in plain torch.

Source: arXiv 2603.14482. Here an image is a video of one frame: its patches are told their place by
products of complex numbers, in time, down and across, and time stands still.

Shapes: N images of S x S pixels, T patches of C channels.
"""

import math

import torch
from torch import Tensor, nn

from vipl.models.zoo.references.vision_transformer import Attention, Mlp

_TRAINED_SIDE = 16


class VJepa(nn.Module):
    """The network of one frame; its embedding is the mean of the patches."""

    def __init__(self, width: int, depth: int, heads: int, patch: int = 16) -> None:
        super().__init__()
        size = (1, patch, patch)
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv3d(3, width, size, size)})
        self.img_mod_embed = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.blocks = nn.ModuleList(VJepaBlock(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, images: Tensor) -> Tensor:
        """Return [N, C] of float32 [N, 3, S, S]."""
        filtered = self.patch_embed["proj"](images[:, :, None])
        places = _places(*filtered.shape[2:])
        tokens = filtered.flatten(2).mT + self.img_mod_embed
        for block in self.blocks:
            tokens = block(tokens, places)
        embedding: Tensor = self.norm(tokens).mean(1)
        return embedding


class VJepaBlock(nn.Module):
    """A layer."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = Mlp(width, nn.functional.gelu)

    def forward(self, tokens: Tensor, places: Tensor) -> Tensor:
        """Return [N, T, C]."""
        number, length, width = tokens.shape
        size = width // self.attn.heads
        mixed = self.attn.qkv(self.norm1(tokens)).view(number, length, 3, -1, size)
        queries, keys, values = mixed.permute(2, 0, 3, 1, 4)
        queries, keys = (_placed(part, places) for part in (queries, keys))
        weights = torch.softmax(queries @ keys.mT / math.sqrt(size), dim=-1)
        found = (weights @ values).transpose(1, 2).reshape(tokens.shape)
        tokens = tokens + self.attn.proj(found)
        result: Tensor = tokens + self.mlp(self.norm2(tokens))
        return result


def _places(*sides: int) -> Tensor:
    """Return where each patch is: in time, down and across, float32 [T, 3]."""
    scaled = [torch.arange(side) * 1.0 for side in sides]
    for axis in (1, 2):
        scaled[axis] *= (_TRAINED_SIDE - 1) / (sides[axis] - 1)
    return torch.cartesian_prod(*scaled)


def _placed(vectors: Tensor, places: Tensor) -> Tensor:
    """Turn [N, H, T, F]: for each axis a third of the features, rounded down to pairs."""
    pairs = vectors.shape[-1] // 6
    parts = []
    for axis in range(3):
        part = vectors[..., 2 * pairs * axis : 2 * pairs * (axis + 1)]
        speeds = torch.tensor([10_000 ** -(pair / pairs) for pair in range(pairs)])
        angles = places[:, axis, None] * speeds
        numbers = torch.view_as_complex(part.reshape(*part.shape[:-1], pairs, 2).contiguous())
        turned = numbers * torch.polar(torch.ones_like(angles), angles)
        parts.append(torch.view_as_real(turned).flatten(-2))
    return torch.cat([*parts, vectors[..., 6 * pairs :]], dim=-1)
