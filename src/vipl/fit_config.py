"""The configuration of a run: how it is composed, and what is tried before a folder is made."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TypeAlias

from jsonargparse import Namespace
from pytorch_lightning.cli import LightningArgumentParser

from vipl.config import Config, compose
from vipl.errors import UserError
from vipl.keys import Keys

_RANGES: tuple[tuple[str, float, float | None], ...] = (
    ("seed_everything", 0, None),
    ("trainer.max_steps", 1, -1),
    ("trainer.max_epochs", 1, -1),
    ("trainer.min_steps", 0, None),
    ("trainer.min_epochs", 0, None),
    ("trainer.log_every_n_steps", 1, None),
    ("trainer.accumulate_grad_batches", 1, None),
    ("trainer.check_val_every_n_epoch", 1, None),
    ("trainer.gradient_clip_val", 0, None),
    ("trainer.num_sanity_val_steps", 0, -1),
    ("model.l1_weight", 0, None),
    ("model.l2_weight", 0, None),
)
"""Keys, the least that each may be, and what else: Lightning takes more, and fails on it later."""

_GREATEST_SEED = 2**32 - 1  # numpy's

Composer: TypeAlias = Callable[[LightningArgumentParser], Config]
"""Composes a configuration for a parser, whose keys say how arguments read."""


def composing(files: Sequence[str], overrides: Sequence[str]) -> Composer:
    """Return what composes the configuration of a run.

    Args:
        files: YAML files, or names of those that ship, at least one.
        overrides: `key=value`.
    """

    def composed(parser: LightningArgumentParser) -> Config:
        config = compose(files, overrides, kind="fit", keys=Keys.of(parser))
        config.setdefault("run_dir", f"runs/{Path(files[0]).stem}")
        return config

    return composed


def check_numbers(config: Namespace) -> None:
    """Refuse numbers that make no sense, and that would fail once the run has begun.

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


def write_times_as_text(config: Config) -> None:
    """Write `max_time={minutes: 5}` as Lightning's text: a mapping would be saved as its repr.

    Raises:
        UserError: If the mapping is of no time.
    """
    trainer = config.get("trainer") or {}
    for key in ("max_time", "val_check_interval"):
        value = trainer.get(key)
        if not isinstance(value, dict):
            continue
        try:
            seconds = round(timedelta(**value).total_seconds())
        except TypeError as error:
            raise UserError(
                f"trainer.{key} is {value}, expected days, hours, minutes or seconds: "
                f"trainer.{key}='{{minutes: 5}}', or 00:00:05:00"
            ) from error
        minutes, hours = seconds // 60, seconds // 3600
        clock = (hours // 24, hours % 24, minutes % 60, seconds % 60)
        trainer[key] = ":".join(f"{part:02d}" for part in clock)
