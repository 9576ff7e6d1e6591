"""The configuration of a run: how it is composed, and what is tried before a folder is made."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TypeAlias

from pytorch_lightning.cli import LightningArgumentParser

from vipl.config.composing import Config, compose
from vipl.config.keys import Keys
from vipl.errors import UserError

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
