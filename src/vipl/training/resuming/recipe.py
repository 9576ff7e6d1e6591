"""What determines a run's losses, and whether a checkpoint was made with the same.

The number of processes and of loading processes, the decoder, the length of the run and what it
logs are no part of it: they may change when a run goes on.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch.nn.modules.batchnorm import SyncBatchNorm, _BatchNorm

from vipl.errors import UserError
from vipl.training.resuming.files import Found

Value = str | int | float | bool | list[Any] | None
Recipe = dict[str, Value]
Record = dict[str, Any]
"""What a checkpoint says of its run: `recipe`, and `processes`, how many trained."""

_SECTIONS = {
    "model": None,  # every key
    "data": (
        "batch_size",
        "image_size",
        "tuples",
        "tuples_per_clip",
        "pairs_per_clip",
        "crop_scale",
        "central_fraction",
        "decode_short_side",
    ),
    "trainer": (
        "precision",
        "accumulate_grad_batches",
        "gradient_clip_val",
        "gradient_clip_algorithm",
        "sync_batchnorm",
    ),
}
_OF_EMBEDDING = "model.encoder.own_size"
"""Says what the encoder is to do with images of others; training has none of these."""
MANIFEST_HASH = "the manifest's content hash"
"""A recipe's key of the clips that were trained on."""


def recipe_of(config: Mapping[str, Any], manifest_sha256: str) -> Recipe:
    """Return what determines the losses of a run, as flat dotted keys.

    Args:
        config: The run's resolved configuration, JSON values.
        manifest_sha256: Of the clips that it trains on.
    """
    recipe: Recipe = {MANIFEST_HASH: manifest_sha256, "seed_everything": config["seed_everything"]}
    for section, keys in _SECTIONS.items():
        content = config[section]
        chosen = content if keys is None else {key: content.get(key) for key in keys}
        recipe.update(_flat(chosen, section))
    recipe.pop(_OF_EMBEDDING, None)
    return recipe


def differences(before: Recipe, now: Recipe) -> list[str]:
    """Return what differs, one phrase a key."""
    keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    return [f"{key} was {_short(before.get(key))}, is {_short(now.get(key))}" for key in keys]


def check(found: Found, recipe: Recipe, *, accept_changes: bool) -> list[str]:
    """Refuse to go on with other clips or another recipe, unless that is asked for.

    Returns:
        What has changed.

    Raises:
        UserError: If something has, and it is not accepted.
    """
    if found.record is None:
        changes = ["it does not say how it was made"]
    else:
        changes = differences(found.record["recipe"], recipe)
    if changes and not accept_changes:
        raise UserError(
            f"{found.path} belongs to another run: {'; '.join(changes)}. Restore that, or go on "
            "all the same by accept_changes=true"
        )
    return changes


def note_on_processes(found: Found, processes: int, model: torch.nn.Module) -> str | None:
    """Return what a run should know that goes on with another number of processes."""
    before = processes if found.record is None else found.record["processes"]
    if before == processes:
        return None
    note = f"{before} processes trained before, {processes} go on with the same samples"
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    if norms and not any(isinstance(module, SyncBatchNorm) for module in norms):
        note += "; BatchNorm now takes its statistics from other shares of the batch"
    return note


def _flat(content: Any, prefix: str) -> Iterator[tuple[str, Value]]:
    if not isinstance(content, Mapping):
        yield prefix, content
        return
    for key, value in content.items():
        yield from _flat(value, f"{prefix}.{key}")


def _short(value: Value) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:16]}…"
