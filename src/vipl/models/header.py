"""What a file of weights says it holds, compared with a network that takes no memory.

A network is built on PyTorch's meta device, where tensors have a shape and a type and nothing else,
and only as far as the file has tensors for it.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from vipl.errors import UserError
from vipl.models.network import create_network
from vipl.models.weights import differences

_TYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8,
    "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip

# Networks make some tensors that they do not keep, such as the head of a classifier.
_SPARE, _SHARE = 200, 2


def read_header(file: Path) -> dict[str, Tensor]:
    """Return the tensors of a file of safetensors without their values, on the meta device.

    Raises:
        UserError: If it is none, is torn, or holds a type that no encoder has.
    """
    try:
        with safe_open(file, framework="pt") as content:
            parts = {name: content.get_slice(name) for name in content.keys()}  # noqa: SIM118
            kinds = {name: (part.get_shape(), part.get_dtype()) for name, part in parts.items()}
    except SafetensorError as error:
        raise UserError(f"{file.parent} is not an encoder that vipl can read: {error}") from error
    unknown = [f"{name} is {kind}" for name, (_, kind) in kinds.items() if kind not in _TYPES]
    if unknown:
        raise UserError(f"{file}: {unknown[0]}, expected one of {', '.join(_TYPES)}")
    return {
        name: torch.empty(shape, dtype=_TYPES[kind], device="meta")
        for name, (shape, kind) in kinds.items()
    }


def check_header(config: Mapping[str, Any], held: Mapping[str, Tensor], source: str) -> None:
    """Compare the names, shapes and types of weights with those of the network they are for.

    Args:
        config: Of the encoder, checked.
        held: The tensors, or those of `read_header`, by the encoder's names.
        source: To name in errors.

    Raises:
        UserError: If they are of another network, or there is none.
    """
    try:
        with torch.device("meta"), _at_most(_SPARE + _SHARE * len(held)):
            network = create_network(
                config["backbone"],
                image_size=config.get("image_size", 224),
                output_dim=config.get("output_dim", 1024),
                pretrained=False,
                arguments=config.get("network_args") or {},
            )
    except _MoreThanThat as error:
        reason = f"{config['backbone']} has more tensors than the {len(held)} that are there"
        raise UserError(f"{source}: weights and configuration do not fit: {reason}") from error
    except UserError as error:
        raise UserError(f"{source}: {error}") from error
    own = {f"network.{name}": value for name, value in network.state_dict().items()}
    found = differences(own, held)
    if found:
        raise UserError(f"{source}: weights and configuration do not fit: {', '.join(found)}")


class _MoreThanThat(Exception):
    """A network got more tensors than there are weights for."""


@contextmanager
def _at_most(number: int) -> Iterator[None]:
    """Stop whatever builds a network with more parameters in this thread."""
    thread, count = threading.get_ident(), 0

    def count_one(module: nn.Module, name: str, parameter: object) -> None:
        nonlocal count
        count += threading.get_ident() == thread
        if count > number:
            raise _MoreThanThat

    hook = register_module_parameter_registration_hook(count_one)
    try:
        yield
    finally:
        hook.remove()
