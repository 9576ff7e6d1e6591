"""Vision transformers in plain torch, with timm's names.

Source: arXiv 2010.11929; with what CLIP (2103.00020), SigLIP (2303.15343), DINOv2 (2304.07193) and
DINOv3 (2508.10104) change in it.

Shapes: N images of S x S pixels, T tokens of C channels, H heads, D the embedding size.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class Attention(nn.Module):
    """Self-attention with one projection for queries, keys and values.

    Args:
        width: C.
        heads: H.
        bias: Whether the first projection has one.
    """

    def __init__(self, width: int, heads: int, *, bias: bool = True) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=bias)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor, turn: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """Return [N, T, C]; `turn` is done to queries and keys [N, H, T, C / H]."""
        number, length, width = tokens.shape
        queries, keys, values = (
            part.reshape(number, length, self.heads, -1).transpose(1, 2)
            for part in self.qkv(tokens).chunk(3, dim=-1)
        )
        if turn is not None:
            queries, keys = turn(queries), turn(keys)
        weights = torch.softmax(queries @ keys.mT / math.sqrt(width / self.heads), dim=-1)
        mixed: Tensor = self.proj((weights @ values).transpose(1, 2).reshape(tokens.shape))
        return mixed


class Mlp(nn.Module):
    """Two linear maps and what is between them."""

    def __init__(self, width: int, activation: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)
        self.activation = activation

    def forward(self, tokens: Tensor) -> Tensor:
        """Return [N, T, C]."""
        result: Tensor = self.fc2(self.activation(self.fc1(tokens)))
        return result


class Scale(nn.Module):
    """A factor for each channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((width,), 0.1))


class Block(nn.Module):
    """A transformer's layer, normalised first."""

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        epsilon: float,
        activation: Callable[[Tensor], Tensor],
        scaled: str | None,
        bias: bool,
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=epsilon)
        self.attn = Attention(width, heads, bias=bias)
        self.norm2 = nn.LayerNorm(width, eps=epsilon)
        self.mlp = Mlp(width, activation)
        self.scaled = scaled
        if scaled == "modules":
            self.ls1, self.ls2 = Scale(width), Scale(width)
        elif scaled == "parameters":
            self.gamma_1 = nn.Parameter(torch.full((width,), 0.1))
            self.gamma_2 = nn.Parameter(torch.full((width,), 0.1))

    def forward(self, tokens: Tensor, turn: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """Return [N, T, C]."""
        factors: tuple[Any, Any] = (1, 1)
        if self.scaled == "modules":
            factors = self.ls1.gamma, self.ls2.gamma
        elif self.scaled == "parameters":
            factors = self.gamma_1, self.gamma_2
        tokens = tokens + factors[0] * self.attn(self.norm1(tokens), turn)
        result: Tensor = tokens + factors[1] * self.mlp(self.norm2(tokens))
        return result


class PatchEmbed(nn.Module):
    """Patches of P x P pixels, each by one linear map."""

    def __init__(self, width: int, patch: int, *, bias: bool) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, patch, patch, bias=bias)

    def forward(self, images: Tensor) -> Tensor:
        """Return [N, T, C], row by row."""
        tokens: Tensor = self.proj(images).flatten(2).mT
        return tokens


class VisionTransformer(nn.Module):
    """A vision transformer whose embedding is its class token, unless `pooled` says otherwise.

    Args:
        width: C.
        depth: Number of layers.
        heads: H.
        patch: Side of a patch, in pixels.
        image_size: S.
        epsilon: Of the normalisations.
        activation: Between the linear maps of a layer.
        norm_first: Whether tokens are normalised before the first layer (CLIP).
        scaled: Whether layers scale what they add, and how the factors are named.
        head: Size of a linear map of the embedding; 0 for none.
        pooled: Whether a query that is learned gathers the tokens, of which none is the class's.
        registers: More tokens that are learned; positions are then those of patches alone.
        rotary: Whether positions are told by rotation, and no map to queries has a bias (DINOv3).
        file_size: Side of the images that the file's position embeddings are for; S if None.
    """

    def __init__(
        self,
        width: int,
        depth: int,
        heads: int,
        *,
        patch: int = 16,
        image_size: int = 224,
        epsilon: float = 1e-6,
        activation: Callable[[Tensor], Tensor] = functional.gelu,
        norm_first: bool = False,
        scaled: str | None = None,
        head: int = 0,
        pooled: bool = False,
        registers: int = 0,
        rotary: bool = False,
        file_size: int | None = None,
    ) -> None:
        super().__init__()
        self.heads, self.patch = heads, patch
        tokens = ((file_size or image_size) // patch) ** 2
        self.patch_embed = PatchEmbed(width, patch, bias=not norm_first)
        if not pooled:
            self.cls_token = _learned(1, 1, width)
        if registers:
            self.reg_token = _learned(1, registers, width)
        if not rotary:
            self.pos_embed = _learned(1, tokens + (not pooled and not registers), width)
        if norm_first:
            self.norm_pre = nn.LayerNorm(width, eps=epsilon)
        self.blocks = nn.ModuleList(
            Block(
                width,
                heads,
                epsilon=epsilon,
                activation=activation,
                scaled=scaled,
                bias=not rotary,
            )
            for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width, eps=epsilon)
        if pooled:
            self.attn_pool = AttentionPool(width, heads, epsilon, activation)
        if head:
            self.head = nn.Linear(width, head)

    def forward(self, images: Tensor) -> Tensor:
        """Return [N, D] of float32 [N, 3, S, S]."""
        tokens = self.patch_embed(images)
        rows, columns = (side // self.patch for side in images.shape[2:])
        learned = [
            getattr(self, name) for name in ("cls_token", "reg_token") if name in self._parameters
        ]
        tokens = torch.cat([*(one.expand(len(images), -1, -1) for one in learned), tokens], dim=1)
        turn = None
        if "pos_embed" not in self._parameters:
            turn = _rotation(rows, columns, tokens.shape[-1] // self.heads, tokens.shape[1])
        else:
            positions = _resampled(self.pos_embed, rows, columns)
            # Tokens before the patches may have none.
            before = tokens.shape[1] - positions.shape[1]
            tokens = tokens + functional.pad(positions, (0, 0, before, 0))
        if hasattr(self, "norm_pre"):
            tokens = self.norm_pre(tokens)
        for block in self.blocks:
            tokens = block(tokens, turn)
        tokens = self.norm(tokens)
        embedding: Tensor = self.attn_pool(tokens) if hasattr(self, "attn_pool") else tokens[:, 0]
        if hasattr(self, "head"):
            embedding = self.head(embedding)
        return embedding


class AttentionPool(nn.Module):
    """What a query that is learned finds in the tokens (SigLIP)."""

    def __init__(
        self, width: int, heads: int, epsilon: float, activation: Callable[[Tensor], Tensor]
    ) -> None:
        super().__init__()
        self.heads = heads
        self.latent = _learned(1, 1, width)
        self.q = nn.Linear(width, width)
        self.kv = nn.Linear(width, 2 * width)
        self.proj = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width, eps=epsilon)
        self.mlp = Mlp(width, activation)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return [N, C]."""
        number, width = len(tokens), tokens.shape[-1]

        def split(part: Tensor) -> Tensor:
            return part.reshape(number, -1, self.heads, width // self.heads).transpose(1, 2)

        queries = split(self.q(self.latent).expand(number, -1, -1))
        keys, values = map(split, self.kv(tokens).chunk(2, dim=-1))
        weights = torch.softmax(queries @ keys.mT / math.sqrt(width / self.heads), dim=-1)
        found = self.proj((weights @ values).transpose(1, 2).reshape(number, 1, width))
        found = found + self.mlp(self.norm(found))
        result: Tensor = found[:, 0]
        return result


def _rotation(rows: int, columns: int, width: int, tokens: int) -> Callable[[Tensor], Tensor]:
    """Return what turns the queries and keys of patches by where they are (DINOv3)."""
    periods = 100 ** (torch.arange(width // 4) / (width // 4))
    places = [((torch.arange(n) + 0.5) / n) * 2 - 1 for n in (rows, columns)]
    grid = torch.stack(torch.meshgrid(*places, indexing="ij"), dim=-1).reshape(-1, 2, 1)
    angles = (2 * math.pi * grid / periods).flatten(1).repeat(1, 2)  # [rows * columns, width]
    others = tokens - rows * columns

    def turn(vectors: Tensor) -> Tensor:
        fixed, turned = vectors[:, :, :others], vectors[:, :, others:]
        first, second = turned.chunk(2, dim=-1)
        turned = turned * angles.cos() + torch.cat([-second, first], dim=-1) * angles.sin()
        return torch.cat([fixed, turned], dim=2)

    return turn


def _resampled(positions: Tensor, rows: int, columns: int) -> Tensor:
    """Return position embeddings of another number of patches, of other tokens as they are."""
    others = positions.shape[1] - math.isqrt(positions.shape[1]) ** 2
    first, grid = positions[:, :others], positions[:, others:]
    side = math.isqrt(grid.shape[1])
    if (side, side) == (rows, columns):
        return positions
    pictures = grid.mT.reshape(1, -1, side, side)
    options: dict[str, Any] = {"mode": "bicubic", "antialias": True}
    pictures = functional.interpolate(pictures, (rows, columns), **options)
    return torch.cat([first, pictures.flatten(2).mT], dim=1)


def _learned(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(*shape) * 0.02)
