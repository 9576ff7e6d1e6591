"""A network of timm's, by its name: built by that name and its arguments alone.

No argument may name a file, an address or a place of weights, so that what comes with somebody's
weights cannot make vipl read anything else.
"""

import difflib
import re
from collections.abc import Mapping
from typing import Any

import timm
import torch
from torch import nn

from vipl.errors import UserError
from vipl.models import vjepa  # noqa: F401 - timm knows its networks from here on

_NAME = re.compile(r"\w+(\.[\w-]+)*")

# What networks raise where an argument is of another kind.
_REFUSED = (
    TypeError, ValueError, ArithmeticError, AssertionError, AttributeError, LookupError,
)  # fmt: skip

_RESERVED = {
    "checkpoint_path": "names a file", "cache_dir": "names a folder",
    "device": "is told to `load_encoder`", "dtype": "is always float32",
    "num_classes": "is output_dim", "features_only": "gives no embedding",
}  # fmt: skip


def create_network(
    name: str,
    *,
    image_size: int,
    output_dim: int,
    pretrained: bool,
    arguments: Mapping[str, Any],
) -> nn.Module:
    """Build a network, in the memory format that is fastest for images.

    Args:
        name: Of a timm model, also with the tag of its weights.
        image_size: Side of its images, in pixels.
        output_dim: Of its linear head; 0 leaves the features.
        pretrained: Whether it gets timm's weights.
        arguments: More, of the timm model.

    Raises:
        UserError: If timm knows no such network (near names are listed), it does not take the
            arguments, or its weights cannot be had.
    """
    check_name(name)
    _check_arguments(arguments)
    pretrained_cfg = timm.get_pretrained_cfg(name)
    # Vision transformers tie their position embeddings to one input size.
    sized = pretrained_cfg is not None and pretrained_cfg.fixed_input_size
    extra: dict[str, Any] = {"img_size": image_size} if sized else {}
    own = {**extra, **arguments, "num_classes": output_dim, "pretrained": pretrained}
    try:
        network: nn.Module = timm.create_model(name, **own)
    except (OSError, RuntimeError) as error:
        if pretrained:
            raise UserError(
                f"the weights of {name!r} cannot be had from timm's hub ({first_line(error)}): "
                "go on without them by pretrained=false"
            ) from error
        raise _refusal(name, arguments, error) from error
    except _REFUSED as error:
        raise _refusal(name, arguments, error) from error
    return network.to(memory_format=torch.channels_last)


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says, or its kind."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def check_name(name: str) -> None:
    """Refuse what is no model of timm's, or has a tag that it does not know; near ones are said."""
    architecture, _, tag = name.partition(".")
    # Other forms are addresses to timm: `hf-hub:…`, `local-dir:…`.
    if not _NAME.fullmatch(name) or not timm.is_model(architecture):
        near = difflib.get_close_matches(name, timm.list_models(), n=5, cutoff=0.5)
        hint = f"did you mean {', '.join(near)}?" if near else "see `timm.list_models()`"
        raise UserError(f"timm has no model {name!r}: {hint}")
    try:
        timm.get_pretrained_cfg(name)
    except RuntimeError as error:
        known = ", ".join(timm.list_pretrained(f"{architecture}.*")) or architecture
        raise UserError(
            f"{architecture} has no weights {tag!r} in timm: expected {known}"
        ) from error


def _check_arguments(arguments: Mapping[str, Any]) -> None:
    for key in arguments:
        why = "says where weights are" if key.startswith("pretrained") else _RESERVED.get(key)
        if why:
            raise UserError(f"network_args has {key}, which {why}: leave it out")


def _refusal(name: str, arguments: Mapping[str, Any], error: Exception) -> Exception:
    if not arguments:
        return error
    return UserError(
        f"{name} does not take its network_args ({first_line(error)}): if they are another "
        "network's, network_args=null leaves them out"
    )
