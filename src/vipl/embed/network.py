"""An encoder made ready to embed many images fast.

Shapes: N images, S the network's input side in pixels, D the embedding size.
"""

import copy
from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor, nn

from vipl.errors import UserError
from vipl.models import Encoder

Precision: TypeAlias = Literal["float32", "bf16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

_CHECKED = 2
# What summing in another order may change, as a share of the largest value.
_SAME = 1e-5


class Network:
    """Embeds preprocessed images with a copy of an encoder.

    Args:
        encoder: On the CPU.
        device: Where to embed.
        precision: Of the network; "bf16" is bfloat16, and its embeddings become float32 again.

    Raises:
        UserError: If there is no such device.
    """

    def __init__(self, encoder: Encoder, *, device: str, precision: Precision) -> None:
        self._encoder = copy.deepcopy(encoder).eval().requires_grad_(False)
        self._encoder.network = _fused(self._encoder)
        if precision == "bf16":
            self._encoder.network = _Bfloat16(self._encoder.network)
        try:
            self.device = torch.device(device)
            self._encoder.to(self.device)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"--device {device} cannot be had ({reason}): try cpu") from error
        self.output_dim = encoder.output_dim

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        """Return float32 [N, D] on the CPU, of uint8 [N, 3, S, S]."""
        embeddings: Tensor = self._encoder(images.to(self.device))
        return embeddings.float().cpu()


class _Bfloat16(nn.Module):
    """A network in bfloat16; what comes before it stays in float32."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.to(torch.bfloat16)

    def forward(self, images: Tensor) -> Tensor:
        embeddings: Tensor = self.network(images.to(torch.bfloat16))
        return embeddings


@torch.inference_mode()
def cost_of_precision(encoder: Encoder, images: Tensor, embeddings: Tensor) -> float | None:
    """Return how far embeddings are off, as a share of the distance between two of them.

    Args:
        encoder: In float32.
        images: uint8 [N, 3, S, S].
        embeddings: float32 [N, D], computed in another precision.

    Returns:
        A median over the images; None where they are all the same.
    """
    exact = encoder(images).float()
    apart = torch.pdist(exact)
    apart = apart[apart > 0]
    if not len(apart):
        return None
    return float((embeddings - exact).norm(dim=1).median() / apart.median())


def _fused(encoder: Encoder) -> nn.Module:
    """Return the network with its BatchNorms inside its convolutions, where that is possible.

    It is believed only where it embeds as the network does.
    """
    from torch.fx.experimental.optimization import fuse

    images = torch.randint(
        0,
        256,
        (_CHECKED, 3, encoder.image_size, encoder.image_size),
        dtype=torch.uint8,
        generator=torch.Generator().manual_seed(0),
    )
    original = encoder.network
    try:
        fused: nn.Module = fuse(original)
    except Exception:  # whatever a network does that cannot be traced
        return original
    fused = fused.eval().requires_grad_(False).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        expected = encoder(images)
        encoder.network = fused
        found = encoder(images)
        encoder.network = original
    largest = float(expected.abs().max())
    same = float((found - expected).abs().max()) <= _SAME * max(largest, 1e-6)
    return fused if same else original
