"""Composing a run's configuration from YAML files and `key=value` arguments.

OmegaConf merges the layers and resolves interpolations once all of them are known; what comes out
is a plain dict, whose names and types the parser of the command then checks.
"""

import copy
import difflib
import importlib
import inspect
import re
from argparse import ArgumentError
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException
from yaml import YAMLError

from vipl.errors import UserError

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

Config = dict[str, Any]


def compose(files: Sequence[str | Path], overrides: Sequence[str]) -> Config:
    """Merge YAML files in their order, then `key=value` arguments, and resolve interpolations.

    Where a layer changes a `class_path`, the `init_args` of the class before are dropped. Lists
    are replaced; a key that ends in "+" adds to the list of the layers before.

    Args:
        files: YAML files, each a mapping.
        overrides: Such as "data.batch_size=16" or "trainer.callbacks=[]".

    Returns:
        Plain dicts, lists and values.

    Raises:
        UserError: If a file is missing or is not YAML, an argument is not `key=value`, or an
            interpolation does not resolve.
    """
    merged: Config = {}
    for layer in [*map(_read, files), *map(_override, overrides)]:
        merged = _merge(merged, layer)
    try:
        resolved = OmegaConf.to_container(
            OmegaConf.create(merged), resolve=True, throw_on_missing=True
        )
    except MissingMandatoryValue as error:
        key = error.full_key or "a key"
        raise UserError(f"configuration: {key} is required: add {key}=…") from error
    except OmegaConfBaseException as error:
        # An environment variable that is not set comes wrapped into another error's text.
        reason = re.sub(r'^KeyError raised .*?: "(.*)"$', r"\1", str(error).splitlines()[0])
        if error.full_key:
            reason = f"{error.full_key}: {reason}: say {error.full_key}=…"
        raise UserError(f"configuration: {reason}") from error
    assert isinstance(resolved, dict)
    return {str(key): value for key, value in resolved.items()}


def explain(error: ArgumentError, parser: "ArgumentParser", *, help_command: str) -> str:
    """Turn the message of a command's parser into one sentence with the key and the remedy.

    Args:
        error: What `parser.parse_object` raised.
        parser: Whose keys are searched for near ones.
        help_command: That lists the keys.
    """
    text = " ".join(re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", str(error)).split())
    nameless = re.search(r'key "([\w.]+)": Expected a dot import path string: (\S+)', text)
    if nameless is not None:
        section, name = nameless.groups()
        return (
            f"configuration: {section}.class_path is {name!r}, which is none of the known classes "
            f"(`{help_command}` lists them) and no path to one of your own, such as module.{name}"
        )
    unknown = re.search(r"(?:Group '([\w.]+)' does not accept option|Key|Option) '([\w.]+)'", text)
    if unknown is None:
        return f"configuration: {text}"
    if "is required" in text:
        return f"configuration: {unknown[2]} is required, e.g. {unknown[2]}=…"
    key = ".".join(part for part in unknown.groups() if part)
    known = list(parser.get_defaults().keys(branches=True))
    section, arguments = _arguments_of_class(text)
    if section:
        key = f"{section}.init_args.{key}"
        known = [f"{section}.init_args.{argument}" for argument in arguments]
    near = difflib.get_close_matches(key, known, n=3, cutoff=0.6)
    hint = f": did you mean {' or '.join(near)}?" if near else f" (`{help_command}` lists them)"
    return f"configuration: there is no key {key!r}{hint}"


def _arguments_of_class(text: str) -> tuple[str, list[str]]:
    """Return the key and the arguments of the class that a parser's message is about, if any."""
    found = re.search(r"key \"([\w.]+)\": .*class_path(?: |=)'([\w.]+)'", text)
    if found is None:
        return "", []
    section, path = found.groups()
    module, _, name = path.rpartition(".")
    signature = inspect.signature(getattr(importlib.import_module(module), name))
    return section, list(signature.parameters)


def _read(path: str | Path) -> Config:
    if not Path(path).is_file():
        raise UserError(f"there is no configuration file {path}")
    try:
        return _plain(OmegaConf.load(path), f"{path}")
    except (YAMLError, OmegaConfBaseException, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path} is not valid YAML: {reason}") from error


def _override(text: str) -> Config:
    key, equals, _ = text.partition("=")
    if not equals or not key or key.startswith("-"):
        raise UserError(
            f"{text!r} is not an argument of the form key=value, e.g. data.batch_size=8"
        )
    try:
        return _plain(OmegaConf.from_dotlist([text]), text)
    except (YAMLError, OmegaConfBaseException) as error:
        raise UserError(f"{text!r}: {' '.join(str(error).split())}") from error


def _plain(config: Any, name: str) -> Config:
    plain = OmegaConf.to_container(config, resolve=False)
    if not isinstance(plain, dict):
        raise UserError(f"{name} holds a {type(plain).__name__}, expected a mapping of keys")
    return {str(key): value for key, value in plain.items()}


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _merge(base: Config, layer: Config) -> Config:
    merged = copy.copy(base)
    if "class_path" in layer and base.get("class_path") != layer["class_path"]:
        merged.pop("init_args", None)
    for key, value in layer.items():
        if key.endswith("+"):
            merged[key[:-1]] = [*_as_list(merged.get(key[:-1])), *_as_list(value)]
            continue
        before = merged.get(key)
        if isinstance(value, dict):
            value = _merge(before if isinstance(before, dict) else {}, value)
        merged[key] = value
    return merged
