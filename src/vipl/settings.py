"""Numbers of a configuration that can never be right, refused before anything is made."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from vipl.errors import UserError

_NOT_NEGATIVE = ("lr", "weight_decay", "eps", "momentum", "l1_weight", "l2_weight")


def check_numbers(config: Mapping[str, Any]) -> None:
    """Refuse numbers of the section `model` that are not finite, and negative rates and weights.

    What an objective is given it checks itself: it may have a use for infinity.

    Args:
        config: The checked configuration, plain values.

    Raises:
        UserError: With the key, its value and what was expected.
    """
    model = {key: value for key, value in config["model"].items() if key != "objective"}
    for key, value in _numbers(model, "model"):
        if not math.isfinite(value):
            raise UserError(f"{key} is {value}, expected a finite number")
        if value < 0 and key.rpartition(".")[2] in _NOT_NEGATIVE:
            raise UserError(f"{key} is {value:g}, expected 0 or more")
    clip = config["trainer"]["gradient_clip_val"]
    if clip is not None and not 0 <= clip < math.inf:
        raise UserError(
            f"trainer.gradient_clip_val is {clip:g}, expected more than 0, or null not to clip"
        )


def _numbers(content: Any, key: str) -> Iterator[tuple[str, float]]:
    if isinstance(content, int | float) and not isinstance(content, bool):
        yield key, content
    elif isinstance(content, Mapping):
        for name, value in content.items():
            yield from _numbers(value, f"{key}.{name}")
    elif isinstance(content, list | tuple):
        for index, value in enumerate(content):
            yield from _numbers(value, f"{key}[{index}]")
