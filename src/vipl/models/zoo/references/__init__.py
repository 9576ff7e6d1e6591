"""The encoders' networks again, in plain torch, to compare with.

Nothing here is used to embed: these are second implementations, written from the papers and the
names that the released files have, so that a mistake would have to be made twice. A reference's
own names are those of the file, once what `encoders.yaml` says is around them is taken off.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
import torchvision
from torch import Tensor, nn

from vipl.models.zoo.entry import Entry
from vipl.models.zoo.references.clip_resnet import ClipResNet
from vipl.models.zoo.references.efficientnet_lite import EfficientNetLite0
from vipl.models.zoo.references.vision_transformer import VisionTransformer
from vipl.models.zoo.references.vjepa import VJepa


def reference(entry: Entry) -> nn.Module:
    """Return the second implementation of an entry's network, with random weights.

    Raises:
        KeyError: If there is none.
    """
    name, _, _ = entry.network.partition(".")
    return _MAKERS[name](entry)


def _resnet(entry: Entry) -> nn.Module:
    network: nn.Module = torchvision.models.get_model(entry.network, weights=None)
    assert isinstance(network.fc, nn.Linear)
    width, size = network.fc.in_features, entry.output_dim
    network.fc = nn.Linear(width, size) if size else nn.Identity()
    return network


def _quick_gelu(x: Tensor) -> Tensor:
    return x * torch.sigmoid(1.702 * x)


def _tanh_gelu(x: Tensor) -> Tensor:
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def _vit(width: int, depth: int, heads: int, **options: Any) -> Callable[[Entry], nn.Module]:
    def make(entry: Entry) -> nn.Module:
        size: dict[str, Any] = {"image_size": entry.image_size, "head": entry.output_dim}
        own_heads = entry.network_args.get("num_heads", heads)
        if entry.network_args.get("act_layer") == "gelu_tanh":
            size["activation"] = _tanh_gelu
        return VisionTransformer(width, depth, own_heads, **{**size, **options})

    return make


def _vjepa(width: int, depth: int, heads: int) -> Callable[[Entry], nn.Module]:
    return lambda entry: VJepa(
        entry.network_args.get("embed_dim", width),
        entry.network_args.get("depth", depth),
        entry.network_args.get("num_heads", heads),
    )


_CLIP: dict[str, Any] = {"epsilon": 1e-5, "activation": _quick_gelu, "norm_first": True}
_DINOV2: dict[str, Any] = {"patch": 14, "scaled": "modules", "file_size": 518}
_DINOV3: dict[str, Any] = {"epsilon": 1e-5, "scaled": "parameters", "registers": 4, "rotary": True}

_MAKERS: dict[str, Callable[[Entry], nn.Module]] = {
    "resnet18": _resnet,
    "resnet34": _resnet,
    "resnet50": _resnet,
    "resnet50_clip": lambda entry: ClipResNet(entry.output_dim),
    "tf_efficientnet_lite0": lambda entry: EfficientNetLite0(),
    "vit_small_patch16_224": _vit(384, 12, 6),
    "vit_base_patch16_224": _vit(768, 12, 12),
    "vit_large_patch16_224": _vit(1024, 24, 16),
    "vit_base_patch16_clip_quickgelu_224": _vit(768, 12, 12, **_CLIP),
    "vit_base_patch32_clip_quickgelu_224": _vit(768, 12, 12, patch=32, **_CLIP),
    "vit_large_patch14_clip_quickgelu_224": _vit(1024, 24, 16, patch=14, **_CLIP),
    "vit_base_patch16_siglip_224": _vit(768, 12, 12, pooled=True),
    "vit_large_patch16_siglip_256": _vit(1024, 24, 16, pooled=True),
    "vit_small_patch14_dinov2": _vit(384, 12, 6, **_DINOV2),
    "vit_base_patch14_dinov2": _vit(768, 12, 12, **_DINOV2),
    "vit_small_patch14_reg4_dinov2": _vit(384, 12, 6, registers=4, **_DINOV2),
    "vit_base_patch14_reg4_dinov2": _vit(768, 12, 12, registers=4, **_DINOV2),
    "vit_base_patch16_vjepa2_1": _vjepa(768, 12, 12),
    "vit_large_patch16_vjepa2_1": _vjepa(1024, 24, 16),
    "vit_small_patch16_dinov3": _vit(384, 12, 6, **_DINOV3),
    "vit_base_patch16_dinov3": _vit(768, 12, 12, **_DINOV3),
}
