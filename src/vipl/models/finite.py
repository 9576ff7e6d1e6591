"""Whether numbers are finite: of weights, losses and embeddings.

Shapes: N images, D embedding size.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from vipl.errors import UserError
from vipl.processes.ranks import Ranks

REMEDY = (
    "lower the learning rate (model.optimizer.init_args.lr) or mend the objective, and begin "
    "another run, from the last good weights by model.weights=RUN/checkpoints/last.ckpt"
)
"""What to do about a training that went wrong."""

_SAVED = ("state_dict", "optimizer_states", "current_model_state", "averaging_state")


def all_finite(tensors: Iterable[Tensor]) -> Tensor:
    """Return whether all numbers of tensors are finite, without waiting for their device.

    Args:
        tensors: Of any shapes, on one device. What holds no floating point numbers is passed over.

    Returns:
        A bool scalar on that device.
    """
    by_type: dict[torch.dtype, list[Tensor]] = {}
    for tensor in tensors:
        if tensor.is_floating_point() and tensor.numel() and not tensor.is_meta:
            by_type.setdefault(tensor.dtype, []).append(tensor.detach())
    flags = [torch.stack(_extremes(group)).isfinite().all() for group in by_type.values()]
    return torch.stack(flags).all() if flags else torch.tensor(True)


def _extremes(tensors: list[Tensor]) -> list[Tensor]:
    """Return scalars, one of which is not finite where any number is not."""
    if tensors[0].is_cuda:  # a few kernels for all of them
        return list(torch._foreach_norm(tensors, math.inf))
    return [extreme for tensor in tensors for extreme in torch.aminmax(tensor)]


def find_non_finite(named: Mapping[str, Any]) -> str | None:
    """Return the name of the first tensor that holds a number that is not finite, None if none.

    Args:
        named: Tensors, and containers of them, whose names are joined by dots.
    """
    tensors = dict(_flat(named, ""))
    by_device: dict[torch.device, list[Tensor]] = {}
    for tensor in tensors.values():
        by_device.setdefault(tensor.device, []).append(tensor)
    if all(bool(all_finite(group)) for group in by_device.values()):
        return None
    return next(name for name, tensor in tensors.items() if not bool(all_finite([tensor])))


def check_embeddings(embeddings: Tensor, network: str) -> None:
    """Refuse embeddings that are not finite.

    Args:
        embeddings: [N, D].
        network: In words, for the message.

    Raises:
        UserError: If some are not; it says how many.
    """
    if bool(all_finite([embeddings])):
        return
    wrong = int((~embeddings.isfinite()).any(dim=-1).sum())
    raise UserError(
        f"{network} embeds {wrong} of {len(embeddings)} images as numbers that are not finite: "
        "take an encoder from before its training went wrong, such as an earlier checkpoint, or "
        "look at the encoder's std and output_scale"
    )


def check_weights(weights: Mapping[str, Any], source: object) -> None:
    """Refuse weights that are not finite.

    Args:
        weights: By name.
        source: Where they are from, for the message.

    Raises:
        UserError: If some are not; it names the first.
    """
    name = find_non_finite(weights)
    if name is not None:
        raise UserError(
            f"{source} holds weights that are not finite ({name}): take an encoder from before its "
            "training went wrong, such as an earlier checkpoint"
        )


def check_checkpoint(content: Mapping[str, Any], ranks: Ranks) -> None:
    """Refuse to save what is not finite; all processes refuse together.

    Args:
        content: Of a checkpoint, as Lightning collects it.
        ranks: That are about to save.

    Raises:
        UserError: If some tensor is not finite, in any process.
    """
    name = find_non_finite_saved(content)
    names = [one for one in ranks.gather(name) if one] if _any(ranks, name is not None) else []
    if names:
        raise UserError(
            f"{names[0]} is not finite after step {content.get('global_step', 0)}, and is not "
            f"saved: {REMEDY}"
        )


def find_non_finite_saved(content: Mapping[str, Any]) -> str | None:
    """Return the name of the first weight or optimiser's number that is not finite, None if none.

    Args:
        content: Of a checkpoint.
    """
    return find_non_finite({key: content[key] for key in _SAVED if key in content})


def _any(ranks: Ranks, own: bool) -> bool:
    return bool(ranks.tell(own)().any())


def _flat(content: Any, name: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(content, Tensor):
        yield name, content
    elif isinstance(content, Mapping | list | tuple):
        items = content.items() if isinstance(content, Mapping) else enumerate(content)
        for key, value in items:
            yield from _flat(value, f"{name}.{key}" if name else str(key))
