"""The hash by which results, caches and model cards name an encoder."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from vipl.models.encoder import Encoder

_AS_EVER = [("own_size", "resized")]
"""Keys that an encoder's configuration got later, with the values that mean what was meant."""


def encoder_sha256(encoder: Encoder) -> str:
    """Return the hash of all that an encoder's embeddings depend on."""
    return configuration_sha256({**encoder.config, "pretrained": False}, encoder.state_dict())


def configuration_sha256(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> str:
    """Return the hash of a configuration and of every tensor's name, type, shape and bytes."""
    # What encoders did before the key was there does not tell them from those of before.
    told = {name: value for name, value in config.items() if (name, value) not in _AS_EVER}
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode())
    for name, value in sorted(state.items()):
        digest.update(f"\n{name} {value.dtype} {list(value.shape)}\n".encode())
        # By bytes: numpy does not know every type that torch has.
        data = value.cpu().contiguous().reshape(-1).view(torch.uint8)
        digest.update(data.numpy().tobytes())
    return digest.hexdigest()
