"""V-JEPA 2.1 as it sees one image, under names that timm then knows like its own.

Source: arXiv 2603.14482, and the names and settings of its release. Of a video network this is the
path of images: patches of their own, no place in time, queries and keys turned by row and column.
The release has no embedding of a whole image; here it is the mean of the patches, each normalised
as the release does last.

Shapes: N images of H x W pixels, T patches of C channels, F features a head.
"""

from typing import Any

import torch
from timm.models import register_model
from torch import Tensor, nn
from torch.nn import functional

_PATCH = 16
_TRAINED_SIDE = 16  # patches a side that the rotation was trained at; others are scaled to it
_EPSILON = 1e-6


class ImagePath(nn.Module):
    """A vision transformer without a class token, whose patches are told their place by rotation.

    Args:
        width: C.
        depth: Number of layers.
        heads: Of each, F = C / heads.
        output_dim: Of a linear head on the mean of the patches; 0 leaves the mean.
    """

    def __init__(self, width: int, depth: int, heads: int, output_dim: int) -> None:
        super().__init__()
        self.num_features, self.features = width, width // heads
        self.patch_embed = Patches(width)
        self.img_mod_embed = nn.Parameter(torch.zeros(1, 1, width))
        self.blocks = nn.ModuleList(Layer(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=_EPSILON)
        self.head = nn.Linear(width, output_dim) if output_dim else nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        """Return [N, D] of float32 [N, 3, H, W], D the head's size or C."""
        patches = self.patch_embed(images)
        rotation = _rotation(patches, self.features)
        tokens = patches.flatten(2).transpose(1, 2) + self.img_mod_embed
        for block in self.blocks:
            tokens = block(tokens, rotation)
        embedding: Tensor = self.head(self.norm(tokens).mean(1))
        return embedding

    def get_classifier(self) -> nn.Module:
        """Return the head, as every network of timm's does."""
        return self.head

    def no_weight_decay(self) -> set[str]:
        """Return which parameters weight decay leaves alone, vectors aside."""
        return {"img_mod_embed"}


class Patches(nn.Module):
    """Patches of an image, each by one linear map."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, _PATCH, _PATCH)

    def forward(self, images: Tensor) -> Tensor:
        """Return [N, C, rows, columns]."""
        patches: Tensor = self.proj(images)
        return patches


class Layer(nn.Module):
    """Attention and two linear maps, each normalised first."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=_EPSILON)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=_EPSILON)
        self.mlp = nn.ModuleDict(
            {"fc1": nn.Linear(width, 4 * width), "fc2": nn.Linear(4 * width, width)}
        )

    def forward(self, tokens: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
        """Return [N, T, C]."""
        tokens = tokens + self.attn(self.norm1(tokens), rotation)
        hidden = functional.gelu(self.mlp["fc1"](self.norm2(tokens)))
        result: Tensor = tokens + self.mlp["fc2"](hidden)
        return result


class Attention(nn.Module):
    """Self-attention whose queries and keys are turned by where they are."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.num_heads, self.features = heads, width // heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
        """Return [N, T, C]."""
        queries, keys, values = (
            part.unflatten(-1, (self.num_heads, self.features)).transpose(1, 2)
            for part in self.qkv(tokens).chunk(3, dim=-1)
        )
        mixed = functional.scaled_dot_product_attention(
            _turn(queries, rotation), _turn(keys, rotation), values
        )
        result: Tensor = self.proj(mixed.transpose(1, 2).flatten(2))
        return result


def _rotation(patches: Tensor, features: int) -> tuple[Tensor, Tensor]:
    """Return cosines and sines [T, F]: a third each for time, row and column, in pairs of features.

    An image is at time 0, and what is left over of the features is not turned either. Sines have
    the sign that the other feature of a pair is added with.
    """
    rows, columns = (int(side) for side in patches.shape[2:])  # plain numbers, also in a graph
    third = 2 * (features // 3 // 2)
    steps = torch.arange(third // 2, device=patches.device, dtype=torch.float32)
    speeds = (10_000 ** (-2 * steps / third))[:, None].expand(-1, 2).flatten()
    down, across = (
        torch.arange(side, device=patches.device) * ((_TRAINED_SIDE - 1) / max(side - 1, 1))
        for side in (rows, columns)
    )
    angles = [
        torch.zeros(rows, columns, third, device=patches.device),
        (down[:, None, None] * speeds).expand(rows, columns, third),
        (across[None, :, None] * speeds).expand(rows, columns, third),
        torch.zeros(rows, columns, features - 3 * third, device=patches.device),
    ]
    turned = torch.cat(angles, dim=-1).flatten(0, 1)
    signs = torch.tensor([-1.0, 1.0], device=patches.device).repeat(features // 2)
    return turned.cos().to(patches.dtype), (signs * turned.sin()).to(patches.dtype)


def _turn(vectors: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Turn pairs of neighbouring features of [N, heads, T, F]."""
    cosines, sines = rotation
    others = torch.arange(cosines.shape[-1], device=vectors.device).view(-1, 2).flip(1).flatten()
    return vectors * cosines + vectors[..., others] * sines


def checkpoint_filter_fn(state: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Give the release's tensors this network's form: filters of one frame are of an image."""
    name = "patch_embed.proj.weight"
    filters = state.get(name)
    if filters is not None and filters.ndim == 5 and filters.shape[2] == 1:
        return {**state, name: filters[:, :, 0]}
    return state


@register_model
def vit_base_patch16_vjepa2_1(pretrained: bool = False, **arguments: Any) -> ImagePath:
    """Return V-JEPA 2.1's ViT-B/16."""
    return _make(pretrained, {"embed_dim": 768, "depth": 12, "num_heads": 12, **arguments})


@register_model
def vit_large_patch16_vjepa2_1(pretrained: bool = False, **arguments: Any) -> ImagePath:
    """Return V-JEPA 2.1's ViT-L/16."""
    return _make(pretrained, {"embed_dim": 1024, "depth": 24, "num_heads": 16, **arguments})


def _make(pretrained: bool, arguments: dict[str, Any]) -> ImagePath:
    if pretrained:
        raise RuntimeError("they are no weights of timm's: see `vipl encoders`")
    told = {"embed_dim", "depth", "num_heads", "num_classes"}
    other = [name for name, value in arguments.items() if name not in told and value is not None]
    if other:
        raise TypeError(f"unexpected argument {other[0]!r}")
    width, depth, heads = (arguments[name] for name in ("embed_dim", "depth", "num_heads"))
    return ImagePath(width, depth, heads, arguments.get("num_classes") or 0)
