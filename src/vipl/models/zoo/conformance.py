"""Is an encoder what it is said to be? Each check compares with something written independently.

Shapes: N images of H x W pixels, S the network's input side, D the embedding size.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torchvision.transforms import v2

from vipl.models.encoder import Encoder
from vipl.models.weights import load_strictly, read_weights, select
from vipl.models.zoo.build import convert_names, known_weights, load, weights_file
from vipl.models.zoo.entry import NORMALISATIONS, Entry
from vipl.models.zoo.references import reference

TOLERANCE = 1e-5
"""Allowed difference of embeddings, relative to the largest number in them."""

SIZES = ((224, 224), (256, 256), (480, 640), (641, 359), (97, 301), (40, 30))
"""Heights and widths of the images that are preprocessed, in pixels, beside the network's own."""

_INTERPOLATIONS = {
    "bilinear": v2.InterpolationMode.BILINEAR,
    "bicubic": v2.InterpolationMode.BICUBIC,
}


class Check(NamedTuple):
    """What one comparison found.

    Attributes:
        name: What was compared.
        passed: None where it could not be made here.
        detail: One phrase.
    """

    name: str
    passed: bool | None
    detail: str


def conformance(name: str, entry: Entry, weights: Path | None = None) -> Iterator[Check]:
    """Compare an encoder with what is declared of it, and its network with a second one.

    Args:
        name: Of the entry.
        entry: What is declared.
        weights: A file that the user has; downloaded if None.

    Yields:
        One result a comparison, as they are made.

    Raises:
        UserError: If the weights cannot be had or are of another network.
    """
    path = weights_file(name, entry) if weights is None else weights
    encoder = load(name, entry, path).eval().requires_grad_(False)
    content = read_weights(path)
    yield _keys(entry, content, path)
    try:
        second = _second(entry, encoder, content, path)
    except KeyError:
        yield Check("network", None, f"there is no second implementation of {entry.network}")
    else:
        yield _architecture(encoder, second)
        yield _embeddings(entry, encoder, second)
    yield _preprocessing(entry, encoder)
    yield _batches(encoder)
    yield _devices(encoder)
    yield _determinism(encoder)
    yield _gradients(encoder)


def _keys(entry: Entry, content: Any, path: Path) -> Check:
    rules = known_weights(entry)
    held = select(content, str(path), under=rules.under)
    kept = select(held, str(path), drop=rules.drop)
    detail = f"{len(kept)} tensors, none missing or left over"
    if len(held) > len(kept):
        detail += f"; {len(held) - len(kept)} more are left out, as declared"
    return Check("weights", True, detail)


def _second(entry: Entry, encoder: Encoder, content: Any, path: Path) -> nn.Module:
    """Return the second implementation with the same weights."""
    second = reference(entry)
    rules = known_weights(entry)
    state = select(content, str(path), under=rules.under, drop=rules.drop)
    if not set(second.state_dict()) <= set(state):  # its names are not the file's own
        state = select(state, str(path), rename=rules.rename)
    state = {key.removeprefix("visual."): value for key, value in state.items()}
    if set(second.state_dict()).isdisjoint(state):
        # The file has timm's names: give the second network's names the same treatment.
        own = {f"visual.{key}": value for key, value in second.state_dict().items()}
        named = zip(own, convert_names(own, encoder.network), strict=True)
        state = {
            key.removeprefix("visual."): state[timms] for key, timms in named if timms in state
        }
    load_strictly(second, state, f"{path}, read for the second network,")
    return second.eval().requires_grad_(False)


def _architecture(encoder: Encoder, second: nn.Module) -> Check:
    ours = {"parameters": _parameters(encoder.network), **_shape(encoder.network)}
    theirs = {"parameters": _parameters(second), **_shape(second)}
    detail = ", ".join(f"{value:,} {what}" for what, value in ours.items())
    differing = [
        f"{what} {ours.get(what)}, expected {theirs[what]}"
        for what in theirs
        if ours.get(what) != theirs[what]
    ]
    return Check("network", not differing, "; ".join(differing) or detail)


def _shape(network: nn.Module) -> dict[str, int]:
    """Return what the shapes of weights do not tell of a vision transformer."""
    any_network: Any = network
    if not hasattr(network, "patch_embed"):
        return {}
    attention = any_network.blocks[0].attn
    return {
        "layers": len(any_network.blocks),
        "heads": getattr(attention, "num_heads", None) or attention.heads,
        "pixels a patch": any_network.patch_embed.proj.kernel_size[-1],
    }


def _parameters(network: nn.Module) -> int:
    """Count parameters, without position embeddings: a file may hold more than are in use."""
    named = network.named_parameters()
    return sum(one.numel() for name, one in named if name != "pos_embed")


def _embeddings(entry: Entry, encoder: Encoder, second: nn.Module) -> Check:
    """Compare from images of two sizes on, the network's own and another."""
    side, mean, std = entry.image_size, *_normalisation(entry)
    batches = [_images(1, side, side), _images(1, 480, 640)]
    prepared = torch.cat([_as_released(entry, images) for images in batches])
    with torch.inference_mode():
        expected = second((prepared.float() / 255 - mean) / std)
        got = torch.cat([encoder.embed(images) for images in batches])
    if expected.shape != got.shape:
        return Check("embeddings", False, f"{list(got.shape)}, expected {list(expected.shape)}")
    difference = _difference(got, expected)
    return Check(
        "embeddings",
        difference <= TOLERANCE,
        f"{got.shape[1]} numbers, at most {difference:.1e} from a second implementation",
    )


def _preprocessing(entry: Entry, encoder: Encoder) -> Check:
    if not torch.equal(_normalisation(entry), torch.stack([encoder.mean, encoder.std])):
        return Check("preprocessing", False, f"normalised otherwise than {entry.normalise}")
    sizes = dict.fromkeys([(entry.image_size, entry.image_size), *SIZES])
    for height, width in sizes:
        images = _images(2, height, width)
        if not torch.equal(encoder.preprocess(images), _as_released(entry, images)):
            return Check(
                "preprocessing", False, f"{height} x {width} pixels: not {entry.convention}"
            )
    return Check("preprocessing", True, f"{entry.convention}; bit by bit at {len(sizes)} sizes")


def _as_released(entry: Entry, images: Tensor) -> Tensor:
    """Resize and cut out by torchvision's own, as declared; uint8 [N, 3, S, S]."""
    side = entry.image_size
    if entry.own_size == "kept" and images.shape[2:] == (side, side):
        return images
    size = [entry.resize] if entry.keep_aspect else [entry.resize, entry.resize]
    resize = v2.Resize(size, interpolation=_INTERPOLATIONS[entry.interpolation], antialias=True)
    cut_out: Tensor = v2.CenterCrop(side)(resize(images))
    return cut_out


def _normalisation(entry: Entry) -> Tensor:
    """Return the declared mean and standard deviation, float32 [2, 1, 3, 1, 1]."""
    return torch.tensor(NORMALISATIONS[entry.normalise]).view(2, 1, 3, 1, 1)


def _batches(encoder: Encoder) -> Check:
    images = _images(5, 120, 160)
    whole = encoder.embed(images, batch_size=5)
    difference = max(_difference(encoder.embed(images, batch_size=n), whole) for n in (1, 2))
    return Check(
        "batch size", difference <= TOLERANCE, f"1, 2 and 5: at most {difference:.1e} apart"
    )


def _devices(encoder: Encoder) -> Check:
    if not torch.cuda.is_available():
        return Check("device", None, "there is no GPU here")
    images = _images(2, 120, 160)
    here = encoder.embed(images)
    there = encoder.to("cuda").embed(images).cpu()
    encoder.to("cpu")
    difference = _difference(there, here)
    # Convolutions take another order, and TF32 where it is on.
    return Check("device", difference <= 1e-3, f"GPU and CPU at most {difference:.1e} apart")


def _determinism(encoder: Encoder) -> Check:
    images = _images(1, 120, 160)
    first = encoder.train().embed(images)
    same = torch.equal(first, encoder.eval().embed(images))
    return Check(
        "determinism", same, "the same bits twice, whatever the mode" if same else "differs"
    )


def _gradients(encoder: Encoder) -> Check:
    encoder.requires_grad_(True)
    images = encoder.preprocess(_images(1, 120, 160))
    encoder(images).square().sum().backward()
    parameters = list(encoder.named_parameters())
    without = [
        name for name, one in parameters if one.grad is None or not one.grad.isfinite().all()
    ]
    encoder.requires_grad_(False).zero_grad()
    detail = f"none to {', '.join(without[:3])}" if without else f"to all {len(parameters)} tensors"
    return Check("gradients", not without, detail)


def _difference(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max() / other.abs().max().clamp(min=1e-12))


def _images(number: int, height: int, width: int) -> Tensor:
    """Return uint8 [N, 3, H, W] with large shapes and small ones."""
    generator = torch.Generator().manual_seed(height * 10_000 + width)
    coarse = torch.rand(number, 3, 6, 8, generator=generator)
    smooth = nn.functional.interpolate(coarse, (height, width), mode="bicubic")
    noise = 0.1 * torch.randn(number, 3, height, width, generator=generator)
    return ((smooth + noise).clamp(0, 1) * 255).round().to(torch.uint8)
