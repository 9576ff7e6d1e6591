"""An encoder of the zoo, with its weights."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn

from vipl.errors import UserError
from vipl.models.encoder import Encoder
from vipl.models.network import check_name
from vipl.models.weights import load_strictly, read_weights, select
from vipl.models.zoo.download import fetch, installed_file
from vipl.models.zoo.entry import NORMALISATIONS, Entry, Weights


def build(entry: Entry) -> Encoder:
    """Build an encoder of the zoo with random weights."""
    mean, std = NORMALISATIONS[entry.normalise]
    return Encoder(
        entry.network,
        output_dim=entry.output_dim,
        image_size=entry.image_size,
        central_fraction=entry.image_size / entry.resize,
        keep_aspect=entry.keep_aspect,
        interpolation=entry.interpolation,
        own_size=entry.own_size,
        mean=mean,
        std=std,
        distance=entry.distance,
        network_args=entry.network_args,
    )


def load(name: str, entry: Entry, weights: Path | None = None) -> Encoder:
    """Build an encoder of the zoo and load its weights.

    Args:
        name: Of the entry.
        entry: What is known of it.
        weights: A file that the user has; downloaded if None.

    Raises:
        UserError: If the weights cannot be had, are torn, or are of another network.
    """
    path = weights_file(name, entry) if weights is None else weights
    if not path.is_file():
        raise UserError(f"{path}: there is no such file of weights")
    with torch.random.fork_rng(devices=[]):
        encoder = build(entry)
    load_strictly(encoder.network, own_names(entry, encoder.network, path), str(path))
    return encoder


def own_names(entry: Entry, network: nn.Module, path: Path) -> dict[str, Tensor]:
    """Read a file of an entry's weights, and give them the network's names.

    Raises:
        UserError: If the file is torn, or holds something else.
    """
    rules = known_weights(entry)
    state = select(
        read_weights(path), str(path), under=rules.under, drop=rules.drop, rename=rules.rename
    )
    return convert_names(state, network) if rules.timm_converts else state


def convert_names(state: dict[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """Give tensors timm's names, by what timm has for this network; also other forms, if needed."""
    convert: Callable[[Any, nn.Module], dict[str, Tensor]] | None
    convert = getattr(sys.modules[type(network).__module__], "checkpoint_filter_fn", None)
    return state if convert is None else convert(state, network)


def weights_file(name: str, entry: Entry) -> Path:
    """Return the file of an entry's weights: in its package, or downloaded if it is not there.

    Raises:
        UserError: If it cannot be had, or another file is in its place.
    """
    known = known_weights(entry)
    if known.package is not None and known.file is not None:
        return installed_file(
            name,
            known.package,
            known.file,
            install=known.install or known.package,
            hash=known.hash,
            size_bytes=known.size_bytes,
        )
    if known.url is None:
        raise UserError(f"the weights of {name} are not to be downloaded: name a file as `weights`")
    return fetch(name, known.url, hash=known.hash, size_bytes=known.size_bytes)


def known_weights(entry: Entry) -> Weights:
    """Return what is known of an entry's weights, by itself or by timm."""
    if isinstance(entry.weights, Weights):
        return entry.weights
    check_name(entry.network)
    known = timm.get_pretrained_cfg(entry.network)
    if known is None or not known.hf_hub_id:
        raise UserError(f"timm has no weights for {entry.network}")
    hub = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    url = f"{hub}/{known.hf_hub_id}/resolve/main/model.safetensors"
    head = [rf"^{known.classifier}\."] if known.classifier and not entry.output_dim else []
    return Weights(url=url, drop=head, timm_converts=True)
