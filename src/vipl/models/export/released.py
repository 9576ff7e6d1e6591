"""The file that the released VIP code loads: a torchvision ResNet's weights, under its own keys.

That code builds torchvision's ResNet with a linear head, calls it `convnet`, wraps all in
`DataParallel` (hence `module`), and reads the weights from the file's entry "vip". Images it
resizes to 256 pixels, crops to 224 and normalises as ImageNet's; those of exactly 224 x 224 it
only normalises, whatever the encoder that the file was written from does with them.
"""

from collections.abc import Iterator
from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn

from vipl.errors import UserError
from vipl.models.encoder import IMAGENET_MEAN, IMAGENET_STD, Encoder
from vipl.models.export.check import largest_difference
from vipl.models.weights import load_strictly, read_weights

NETWORKS = ("resnet18", "resnet34", "resnet50")

_PREFIX = "module.convnet."


def write(encoder: Encoder, file: Path) -> float:
    """Write an encoder as released; return how far torchvision's network with it is apart.

    Raises:
        UserError: If the released code would build another network, or prepare images otherwise.
    """
    reasons = list(_obstacles(encoder))
    if reasons:
        raise UserError(
            "the released code loads ResNets with a linear head and its own preprocessing, and "
            f"this encoder is another ({'; '.join(reasons)}): export it as onnx or torchscript"
        )
    weights = {
        _PREFIX + name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, value in encoder.network.state_dict().items()
    }
    for name in ("fc.weight", "fc.bias"):  # the released code scales nothing
        weights[_PREFIX + name] *= encoder.output_scale
    with file.open("wb") as stream:  # PyTorch's own would not say that a disk is full
        torch.save({"vip": weights}, stream)
    network = read_released(file, encoder)

    @torch.inference_mode()
    def run(images: Tensor) -> Tensor:
        embeddings: Tensor = network((images.float() / 255 - encoder.mean) / encoder.std)
        return embeddings

    return largest_difference(encoder, run, preprocessing=False)


def read_released(file: Path, encoder: Encoder) -> nn.Module:
    """Load a released file into torchvision's ResNet.

    Args:
        file: To read, without running what may be in it.
        encoder: Tells which ResNet, and the size of its head.

    Raises:
        UserError: If the file holds another network's weights.
    """
    make = getattr(torchvision.models, _architecture(encoder))
    network: nn.Module = make(weights=None, num_classes=encoder.output_dim)  # of `fc`
    state = {name.removeprefix(_PREFIX): value for name, value in read_weights(file)["vip"].items()}
    load_strictly(network, state, str(file))
    return network.eval().requires_grad_(False)


def _obstacles(encoder: Encoder) -> Iterator[str]:
    config = encoder.config
    if _architecture(encoder) not in NETWORKS or config["network_args"]:
        arguments = f" with {config['network_args']}" if config["network_args"] else ""
        yield f"its network is {config['backbone']}{arguments}, expected {' or '.join(NETWORKS)}"
    if not config["output_dim"]:
        yield "it has no linear head"
    if tuple(config["mean"]) != IMAGENET_MEAN or tuple(config["std"]) != IMAGENET_STD:
        yield "it does not normalise as ImageNet"
    short = encoder.scaled_side
    if (short, encoder.image_size) != (256, 224):
        yield f"it resizes to {short} and crops {encoder.image_size}, expected 256 and 224"
    if not encoder.keep_aspect or encoder.interpolation != "bilinear":
        yield "it resizes otherwise than to the short side, bilinearly"


def _architecture(encoder: Encoder) -> str:
    name: str = encoder.config["backbone"]
    return name.partition(".")[0]
