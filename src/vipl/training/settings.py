"""Numbers of a run's configuration that can never be right, refused before anything is made."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from jsonargparse import Namespace

from vipl.errors import UserError

_NOT_NEGATIVE = ("lr", "weight_decay", "eps", "momentum", "l1_weight", "l2_weight")

_RANGES: tuple[tuple[str, float, float | None], ...] = (
    ("seed_everything", 0, None),
    ("threads", 1, None),
    ("trainer.max_steps", 1, -1),
    ("trainer.max_epochs", 1, -1),
    ("trainer.min_steps", 0, None),
    ("trainer.min_epochs", 0, None),
    ("trainer.log_every_n_steps", 1, None),
    ("trainer.accumulate_grad_batches", 1, None),
    ("trainer.check_val_every_n_epoch", 1, None),
    ("trainer.num_sanity_val_steps", 0, -1),
)
"""Keys, the least that each may be, and what else: Lightning takes more, and fails on it later."""

_GREATEST_SEED = 2**32 - 1  # numpy's


def check_numbers(config: Namespace) -> None:
    """Refuse numbers that make no sense, and that would fail once the run has begun.

    What an objective is given it checks itself: it may have a use for infinity.

    Raises:
        UserError: With what is expected.
    """
    for key in ("run_dir", "data.manifest"):
        if not config[key]:
            raise UserError(f"{key} is empty, expected a path: {key}=…")
    for key, least, other in _RANGES:
        value = config.get(key)
        if value is not None and not value >= least and value != other:
            besides = "" if other is None else f", or {other}"
            raise UserError(f"{key} is {value}, expected {least} or more{besides}")
    if config.seed_everything > _GREATEST_SEED:
        raise UserError(
            f"seed_everything is {config.seed_everything}, expected {_GREATEST_SEED} or less"
        )
    if config.trainer.val_check_interval == 0:
        raise UserError(
            "trainer.val_check_interval is 0, expected steps, or a share of an epoch; "
            "trainer.limit_val_batches=0 leaves validation out"
        )
    if config.trainer.limit_train_batches == 0:
        raise UserError(
            "trainer.limit_train_batches is 0, expected steps, or a share of an epoch: there would "
            "be no step"
        )
    _check_model(config.model.as_dict())
    clip = config.trainer.gradient_clip_val
    if clip is not None and not 0 <= clip < math.inf:
        raise UserError(
            f"trainer.gradient_clip_val is {clip:g}, expected more than 0, or null not to clip"
        )


def _check_model(model: Mapping[str, Any]) -> None:
    """Refuse numbers that are not finite, and negative rates and weights."""
    content = {key: value for key, value in model.items() if key != "objective"}
    for key, value in _numbers(content, "model"):
        if not math.isfinite(value):
            raise UserError(f"{key} is {value}, expected a finite number")
        if value < 0 and key.rpartition(".")[2] in _NOT_NEGATIVE:
            raise UserError(f"{key} is {value:g}, expected 0 or more")


def _numbers(content: Any, key: str) -> Iterator[tuple[str, float]]:
    if isinstance(content, int | float) and not isinstance(content, bool):
        yield key, content
    elif isinstance(content, Mapping):
        for name, value in content.items():
            yield from _numbers(value, f"{key}.{name}")
    elif isinstance(content, list | tuple):
        for index, value in enumerate(content):
            yield from _numbers(value, f"{key}[{index}]")
