"""CLIP's residual network, in plain torch, with the names of its release.

Source: arXiv 2103.00020, section 2.4.

Shapes: N images of 224 x 224 pixels, D the embedding size.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


class ClipResNet(nn.Module):
    """CLIP's ResNet-50: three convolutions before it, antialiased steps, attention at its end.

    Args:
        output_dim: D.
    """

    def __init__(self, output_dim: int) -> None:
        super().__init__()
        for number, (before, after) in enumerate(((3, 32), (32, 32), (32, 64)), start=1):
            stride = 2 if number == 1 else 1
            setattr(self, f"conv{number}", nn.Conv2d(before, after, 3, stride, 1, bias=False))
            setattr(self, f"bn{number}", nn.BatchNorm2d(after))
        width = 64
        for number, (planes, blocks) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3)), start=1):
            layer = [ClipBottleneck(width, planes, 1 if number == 1 else 2)]
            layer += [ClipBottleneck(4 * planes, planes, 1) for _ in range(blocks - 1)]
            setattr(self, f"layer{number}", nn.Sequential(*layer))
            width = 4 * planes
        self.attnpool = ClipAttention(7, width, 32, output_dim)

    def forward(self, images: Tensor) -> Tensor:
        """Return [N, D] of float32 [N, 3, 224, 224]."""
        for number in (1, 2, 3):
            convolved = getattr(self, f"conv{number}")(images)
            images = torch.relu(getattr(self, f"bn{number}")(convolved))
        images = functional.avg_pool2d(images, 2)
        for number in (1, 2, 3, 4):
            images = getattr(self, f"layer{number}")(images)
        embedding: Tensor = self.attnpool(images)
        return embedding


class ClipBottleneck(nn.Module):
    """A layer of `ClipResNet`."""

    def __init__(self, before: int, planes: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.conv1 = nn.Conv2d(before, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, 4 * planes, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * planes)
        if before != 4 * planes:
            convolution = nn.Conv2d(before, 4 * planes, 1, bias=False)
            named = {"0": convolution, "1": nn.BatchNorm2d(4 * planes)}
            self.downsample = nn.ModuleDict(named)

    def forward(self, images: Tensor) -> Tensor:
        """Return [N, 4 * planes, H / stride, W / stride]."""
        hidden = torch.relu(self.bn1(self.conv1(images)))
        hidden = torch.relu(self.bn2(self.conv2(hidden)))
        hidden = self.bn3(self.conv3(functional.avg_pool2d(hidden, self.stride)))
        if hasattr(self, "downsample"):
            images = self.downsample["0"](functional.avg_pool2d(images, self.stride))
            images = self.downsample["1"](images)
        return torch.relu(images + hidden)


class ClipAttention(nn.Module):
    """What the mean of all places finds in them."""

    def __init__(self, side: int, width: int, heads: int, output_dim: int) -> None:
        super().__init__()
        self.heads = heads
        self.positional_embedding = nn.Parameter(0.02 * torch.randn(side * side + 1, width))
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(width, width) for _ in range(3))
        self.c_proj = nn.Linear(width, output_dim)

    def forward(self, images: Tensor) -> Tensor:
        """Return [N, D]."""
        places = images.flatten(2).mT
        tokens = torch.cat([places.mean(1, keepdim=True), places], dim=1)
        tokens = tokens + self.positional_embedding
        number, width = len(images), tokens.shape[-1] // self.heads
        queries, keys, values = (
            part.reshape(number, -1, self.heads, width).transpose(1, 2)
            for part in (self.q_proj(tokens[:, :1]), self.k_proj(tokens), self.v_proj(tokens))
        )
        weights = torch.softmax(queries @ keys.mT / math.sqrt(width), dim=-1)
        embedding: Tensor = self.c_proj((weights @ values).transpose(1, 2).flatten(1))
        return embedding
