"""What an encoder's `config.json` may say: nothing unknown, nothing of another kind.

It comes with weights that somebody else may have made: each key is checked by itself, before a
network is built by it.
"""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

from vipl.errors import UserError
from vipl.models.encoder import Distance, Encoder, Interpolation, OwnSize
from vipl.names import choose

FORMAT, VERSION = "vipl-encoder", 1

_MAX_BYTES = 2**20
_LARGEST, _MOST_PARTS = 2**16, 2**10


def read_configuration(file: Path) -> dict[str, Any]:
    """Read the arguments of `Encoder` from a `config.json`.

    Raises:
        UserError: If it is no such file, or says something that `Encoder` does not know.
    """
    try:
        if file.stat().st_size > _MAX_BYTES:
            raise ValueError(f"it has more than {_MAX_BYTES} bytes")
        config = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(config, dict) or config.pop("format", None) != FORMAT:
            raise ValueError(f"it does not say 'format': '{FORMAT}'")
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file.parent} is not an encoder that vipl can read: {error}") from error
    version = config.pop("version", VERSION)
    if version != VERSION:
        raise UserError(f"{file} has version {version!r}, expected {VERSION}: upgrade vipl")
    check_configuration(config, str(file))
    return config


def check_configuration(config: Any, source: str) -> None:
    """See that a configuration holds the arguments of `Encoder`, and values of their kinds.

    Args:
        config: As it was read.
        source: To name in errors.

    Raises:
        UserError: Naming the key, the value and what was expected.
    """
    if not isinstance(config, Mapping) or "backbone" not in config:
        raise UserError(f"{source} names no backbone: it is no encoder's configuration")
    try:
        choose("key", list(map(str, config)), _KINDS)
    except UserError as error:
        raise UserError(f"{source}: {error}") from error
    for key, value in config.items():
        expected, fits = _KINDS[key]
        if not fits(value):
            raise UserError(f"{source}: {key} is {_short(value)}, expected {expected}")


def build_encoder(config: Mapping[str, Any], source: str) -> Encoder:
    """Build an encoder by a configuration that has been checked, with random weights.

    Raises:
        UserError: If there is no such network.
    """
    try:
        return Encoder(**{**config, "pretrained": False})
    except UserError as error:
        raise UserError(f"{source}: {error}") from error


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return _is_whole(value) or (isinstance(value, float) and math.isfinite(value))


def _are_three(value: object) -> bool:
    return isinstance(value, list | tuple) and len(value) == 3 and all(map(_is_number, value))


def _are_three_above_0(value: Any) -> bool:
    return _are_three(value) and min(value) > 0


def _are_arguments(value: object) -> bool:
    named = isinstance(value, dict) and all(isinstance(key, str) for key in value)
    return named and _is_argument(value)


def _is_argument(value: object) -> bool:
    """Whether it is as large as arguments are: nobody waits for a network of 10,000,000 layers."""
    if isinstance(value, dict | list | tuple):
        parts = list(value.values()) if isinstance(value, dict) else value
        return len(parts) <= _MOST_PARTS and all(map(_is_argument, parts))
    return value is None or isinstance(value, str | bool) or _is_between(-_LARGEST, _LARGEST, value)


def _is_between(low: float, high: float, value: Any) -> bool:
    return _is_number(value) and low <= value <= high


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_truth(value: object) -> bool:
    return isinstance(value, bool)


def _one_of(words: tuple[str, ...]) -> tuple[str, Callable[[Any], bool]]:
    return " or ".join(words), lambda value: isinstance(value, str) and value in words


_KINDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "backbone": ("the name of a timm model", _is_text),
    "output_dim": ("0 to 2**20", lambda x: _is_whole(x) and _is_between(0, 2**20, x)),
    "image_size": ("1 to 4096 pixels", lambda x: _is_whole(x) and _is_between(1, 4096, x)),
    "central_fraction": ("a share of 0.05 to 1", lambda x: _is_between(0.05, 1, x)),
    "keep_aspect": ("true or false", _is_truth),
    "interpolation": _one_of(get_args(Interpolation)),
    "own_size": _one_of(get_args(OwnSize)),
    "mean": ("three numbers", _are_three),
    "std": ("three numbers above 0", _are_three_above_0),
    "pretrained": ("true or false", _is_truth),
    "distance": _one_of(get_args(Distance)),
    "output_scale": ("a number above 0", lambda x: _is_number(x) and x > 0),
    "network_args": (f"names of arguments, with numbers up to {_LARGEST:,}", _are_arguments),
}


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
