"""The encoder: an image network with its own preprocessing, uint8 in and float32 out.

Shapes: N images of H x W pixels, S the network's input side, D the embedding size.
"""

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias, final

import torch
from torch import Tensor, nn
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as transforms

from vipl.errors import UserError
from vipl.models.arguments import check_colours, check_images, check_sizes
from vipl.models.finite import all_finite, check_embeddings
from vipl.models.network import create_network, first_line

Distance: TypeAlias = Literal["l2", "cosine"]
Interpolation: TypeAlias = Literal["bilinear", "bicubic"]
OwnSize: TypeAlias = Literal["resized", "kept"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

_SCALING = ("mean", "std", "output_scale")


@final
class Encoder(nn.Module):
    """A timm network with a linear head, and the preprocessing of its images.

    Args:
        backbone: Name of a timm model, e.g. "resnet50".
        output_dim: Size of the linear head on the pooled features; 0 leaves the features.
        image_size: Side of the network's square input, in pixels.
        central_fraction: Share of the image's short side that enters the network. The released
            recipe resizes to 256 and crops 224: 0.875.
        keep_aspect: Whether images keep their aspect; else they are squeezed into a square first.
        interpolation: How images are brought to that size, antialiased.
        own_size: What becomes of images that have the network's input size already: "resized" and
            cut out of as all others are, or "kept" as they are, as the released VIP and R3M do.
        mean: Of each channel, for images scaled to [0, 1].
        std: Of each channel, for images scaled to [0, 1].
        pretrained: Start from timm's weights (from its hub) and not from random ones.
        distance: Of embeddings, as a reward takes it by default: "l2" as VIP, or "cosine" as LIV
            and CLIP. Training follows VIP whatever it is.
        output_scale: What the network's outputs are multiplied by. In VIP a distance counts
            (discounted) steps, and one training step changes it by so much more; a network that
            starts small and is trained for few steps never gets there.
        network_args: More arguments of the timm model.

    Attributes:
        config: The arguments, as JSON values; they build the same network again.
        output_dim: D, also where the argument was 0.

    Raises:
        UserError: If timm knows no such network (near names are listed), its weights cannot be
            had, or a size makes no sense.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        backbone: str = "resnet50",
        *,
        output_dim: int = 1024,
        image_size: int = 224,
        central_fraction: float = 0.875,
        keep_aspect: bool = True,
        interpolation: Interpolation = "bilinear",
        own_size: OwnSize = "resized",
        mean: tuple[float, float, float] = IMAGENET_MEAN,
        std: tuple[float, float, float] = IMAGENET_STD,
        pretrained: bool = False,
        distance: Distance = "l2",
        output_scale: float = 1.0,
        network_args: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        check_sizes(image_size, output_dim, central_fraction, output_scale)
        check_colours(mean, std)
        self.config: dict[str, Any] = {
            "backbone": backbone,
            "output_dim": output_dim,
            "image_size": image_size,
            "central_fraction": central_fraction,
            "keep_aspect": keep_aspect,
            "interpolation": interpolation,
            "own_size": own_size,
            "mean": list(mean),
            "std": list(std),
            "pretrained": pretrained,
            "distance": distance,
            "output_scale": output_scale,
            "network_args": dict(network_args or {}),
        }
        self.image_size = image_size
        self.central_fraction = central_fraction
        self.keep_aspect = keep_aspect
        self.interpolation = interpolation
        self.own_size: OwnSize = own_size
        self.distance: Distance = distance
        self.output_scale = output_scale
        self.network = create_network(
            backbone,
            image_size=image_size,
            output_dim=output_dim,
            pretrained=pretrained,
            arguments=network_args or {},
        )
        self.register_buffer("mean", _channels(mean), persistent=False)
        self.register_buffer("std", _channels(std), persistent=False)
        self.output_dim = self._measure_output_dim()

    def preprocess(self, images: Tensor, *, prepared: bool | None = None) -> Tensor:
        """Bring images of any size to the network's input size: central square, one resample.

        The same as torchvision's `Resize` and `CenterCrop`.

        Args:
            images: uint8 [N, 3, H, W].
            prepared: Whether they are what the network takes: True leaves them as they are, False
                resizes them whatever their size, None does to those of S x S what `own_size` says.

        Returns:
            uint8 [N, 3, S, S].

        Raises:
            ValueError: If the images are not uint8 [N, 3, H, W], or prepared and not of S x S.
        """
        check_images(images)
        size = self.image_size
        height, width = images.shape[2:]
        own = (height, width) == (size, size)
        if prepared and not own:
            raise ValueError(
                f"images are {height} x {width} pixels, and prepared ones have {size} x {size}: "
                "leave out prepared=True, and they are resized"
            )
        kept = self.own_size == "kept" if prepared is None else prepared
        if own and (kept or self.central_fraction == 1):
            return images
        scaled_side = self.scaled_side
        short = min(height, width) if self.keep_aspect else 0
        scaled = [int(side * scaled_side / (short or side)) for side in (height, width)]
        mode = InterpolationMode(self.interpolation)
        resized = transforms.resize(images, scaled, interpolation=mode, antialias=True)
        cropped: Tensor = transforms.center_crop(resized, [size, size])
        return cropped

    @property
    def scaled_side(self) -> int:
        """Pixels of the short side that images are brought to before S x S are cut out."""
        return round(self.image_size / self.central_fraction)

    def forward(self, images: Tensor) -> Tensor:
        """Embed images that already have the network's input size.

        Args:
            images: uint8 [N, 3, S, S].

        Returns:
            [N, D], in the precision that autocast has chosen, else float32.
        """
        normalised = (images.float() / 255 - self.mean) / self.std
        normalised = normalised.contiguous(memory_format=torch.channels_last)
        # Only training may be compiled: other images come in numbers of many sizes, and each
        # would be compiled anew.
        network = self.network if self.training else self.network.forward
        embeddings: Tensor = network(normalised)
        return embeddings * self.output_scale

    def _measure_output_dim(self) -> int:
        """Return D by embedding a blank image, which also tells whether the size fits."""
        blank = torch.zeros(1, 3, self.image_size, self.image_size, dtype=torch.uint8)
        try:
            embedding = self._embed(blank, prepared=True)
        except (RuntimeError, AssertionError, ValueError) as error:
            raise UserError(
                f"{self.config['backbone']} does not take images of {self.image_size} px "
                f"({first_line(error)}): choose another image_size"
            ) from error
        if not bool(all_finite([embedding])):
            numbers = ", ".join(f"{name} {self.config[name]}" for name in _SCALING)
            raise UserError(
                f"{self.config['backbone']} embeds a black image as numbers that are not finite: "
                f"expected {numbers} to be of the size of 1"
            )
        return embedding.shape[1]

    def embed(
        self, images: Tensor, *, batch_size: int = 64, prepared: bool | None = None
    ) -> Tensor:
        """Embed images of any size, in evaluation mode and without gradients.

        Args:
            images: uint8 [N, 3, H, W], on any device.
            batch_size: Images that go through the network at once.
            prepared: As for `preprocess`: True where they have been resized and cropped.

        Returns:
            float32 [N, D], N >= 1, on the encoder's device.

        Raises:
            ValueError: If the images are not uint8 [N, 3, H, W], or prepared and not of S x S.
            TypeError: If they are no tensor.
            UserError: If an embedding is not finite.
        """
        embeddings = self._embed(images, batch_size=batch_size, prepared=prepared)
        check_embeddings(embeddings, f"the network {self.config['backbone']}")
        return embeddings

    @torch.inference_mode()
    def _embed(
        self, images: Tensor, *, batch_size: int = 1, prepared: bool | None = None
    ) -> Tensor:
        check_images(images)
        training = self.training
        self.eval()
        try:
            parts = [
                self(self.preprocess(part.to(self.mean.device), prepared=prepared)).float()
                for part in torch.split(images, batch_size)
            ]
        finally:
            self.train(training)
        return torch.cat(parts)


def _channels(values: tuple[float, float, float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float32).view(1, 3, 1, 1)
