"""Composing a run's configuration from YAML files and `key=value` arguments.

OmegaConf merges the layers and resolves interpolations once all of them are known; what comes out
is a plain dict, whose names and types the parser of the command then checks.
"""

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException
from yaml import YAMLError

from vipl.config import shipped
from vipl.config.keys import Keys
from vipl.config.layers import Config as Config
from vipl.config.layers import at, merge, nested, without_empty_sections
from vipl.config.paths import expand
from vipl.console import say
from vipl.errors import UserError

_NUMBER_OR_YAML = re.compile(
    r"""[\[{"'].*|true|false|null|[+-]?\.inf|\.nan
    |[+-]?(0|[1-9]\d*)(\.\d*)?(e[+-]?\d+)?|[+-]?\.\d+(e[+-]?\d+)?""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
"""What reads as YAML where a key is of any type; the rest is text."""


def compose(
    files: Sequence[str | Path],
    overrides: Sequence[str],
    *,
    kind: shipped.Kind | None = None,
    keys: Keys | None = None,
) -> Config:
    """Merge YAML files in their order, then `key=value` arguments, and resolve interpolations.

    `vipl.config.layers.merge` says how. `~` at the beginning of a text and `$NAME` in one are
    replaced as a shell does it.

    Args:
        files: YAML files, each a mapping, or names of those that ship.
        overrides: Such as "data.batch_size=16" or "trainer.callbacks=[]".
        kind: Of the files that ship, which names may mean.
        keys: What the command knows, where that is known: what is typed for a key that is text
            stays as it was typed, and nulls are refused where none may be.

    Returns:
        Plain dicts, lists and values.

    Raises:
        UserError: If a file is missing or is not YAML, an argument is not `key=value`, an
            interpolation does not resolve, or a variable of the environment is not set.
    """
    keys = keys or Keys({})
    merged: Config = {}
    for file in files:
        layer = read_layer(file, kind)
        for name in [name for name in layer if name in keys.renamed]:
            _say_what_to_write(name, keys, where=f"{file}: ")
        merged = merge(merged, without_empty_sections(as_now(layer, keys), keys.sections))
    for text in _in_form(overrides):
        _say_what_to_write(text.partition("=")[0], keys)
        for one in _texts_now(text, keys):
            layer = _override(one, keys, merged)
            key = _split(one)[0]
            keys.check_section(key, at(layer, key))
            merged = merge(merged, layer)
    composed = _resolve(merged)
    composed = {key: _expand(value, key) for key, value in composed.items()}
    keys.check(composed)
    return composed


def as_now(config: Config, keys: Keys) -> Config:
    """Return a configuration with the sections of earlier versions as they are called now."""
    renamed: Config = {name: value for name, value in config.items() if name not in keys.renamed}
    for name in keys.renamed.keys() & config.keys():
        for key in keys.now(name):
            renamed = merge(renamed, nested(key, config[name]))
    return renamed


def _texts_now(text: str, keys: Keys) -> list[str]:
    key, equals, value = text.partition("=")
    return [f"{new}{equals}{value}" for new in keys.now(key)]


def _say_what_to_write(key: str, keys: Keys, *, where: str = "") -> None:
    now = keys.now(key)
    if now != [key]:
        which = "write that" if len(now) == 1 else "write that of your protocol"
        say(f"{where}{key} is now {' or '.join(now)}: {which}", file=sys.stderr)


def _resolve(merged: Config) -> Config:
    try:
        resolved = OmegaConf.to_container(
            OmegaConf.create(merged), resolve=True, throw_on_missing=True
        )
    except MissingMandatoryValue as error:
        key = error.full_key or "a key"
        raise UserError(f"configuration: {key} is required: add {key}=…") from error
    except OmegaConfBaseException as error:
        raise UserError(f"configuration: {_unresolved(error)}") from error
    assert isinstance(resolved, dict)
    return {str(key): value for key, value in resolved.items()}


def _unresolved(error: OmegaConfBaseException) -> str:
    """Return which interpolation does not resolve, and the remedy."""
    # An environment variable that is not set comes wrapped into another error's text.
    reason = re.sub(r'^KeyError raised .*?: "(.*)"$', r"\1", str(error).splitlines()[0])
    if not error.full_key:
        return reason
    name = re.search(r"Interpolation key '(\w+)' not found", reason)
    if name is not None and (name[1] in os.environ or name[1].isupper()):
        reason += f" (a variable of the environment is written ${{oc.env:{name[1]}}})"
    variable = re.search(r"Environment variable '(\w+)' not found", reason)
    remedy = f"say {error.full_key}=…" + (", or set it" if variable else "")
    return f"{error.full_key}: {reason}: {remedy}"


def _expand(value: Any, key: str) -> Any:
    """Replace `~` and `$NAME` in every text."""
    if isinstance(value, dict):
        return {name: _expand(one, f"{key}.{name}") for name, one in value.items()}
    if isinstance(value, list):
        return [_expand(one, key) for one in value]
    return expand(value, key) if isinstance(value, str) else value


class _Dumper(yaml.SafeDumper):
    """Puts quotes around text that OmegaConf reads as a number, and PyYAML does not, as 1e5."""


_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d[\d_]*(\.[\d_]*)?|\.[\d_]+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def to_yaml(config: Config) -> str:
    """Return a configuration as YAML; what reads it has the same values."""
    text: str = yaml.dump(config, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    return text


def read_layer(name: str | Path, kind: shipped.Kind | None) -> Config:
    """Read one YAML file, interpolations as they are.

    Args:
        name: Of a file, or of one that ships.
        kind: Of the latter; None: none is meant.

    Raises:
        UserError: If there is none, or it is no mapping.
    """
    path = shipped.resolve(name, kind)
    if not path.is_file():
        raise UserError(f"there is no configuration file {name}{shipped.hint(name, kind)}")
    try:
        return _plain(OmegaConf.load(path), f"{path}")
    except (YAMLError, OmegaConfBaseException, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path} is not valid YAML: {reason}") from error


def _override(text: str, keys: Keys, merged: Config) -> Config:
    key, value = _split(text)
    if keys.wants_text(key, merged):
        return nested(key, _as_text(value))
    if keys.wants_texts(key, merged) and not _is_null(value):
        return nested(key, _as_texts(value, text))
    of_any_type = keys.types and keys.type_of(key, merged) in (None, Any)
    if of_any_type and not _NUMBER_OR_YAML.fullmatch(value):
        return nested(key, value)
    try:
        return _plain(OmegaConf.from_dotlist([text]), text)
    except (YAMLError, OmegaConfBaseException) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{text!r} cannot be read: {reason}; is it in quotes?") from error


def _in_form(overrides: Sequence[str]) -> Sequence[str]:
    """Return arguments as they are, if all of them are `key=value`.

    Raises:
        UserError: With what the first of the others is meant to be.
    """
    for number, text in enumerate(overrides):
        key, equals, _ = text.partition("=")
        if equals and key.strip() == key != "" and not key.startswith("-"):
            continue
        before = overrides[number - 1] if number and overrides[number - 1].endswith("=") else ""
        words = " ".join([f"{before}{text}", *overrides[number + 1 : number + 3]])
        meant = re.match(r"-*([a-z_][\w.]*)\s*[= ]\s*([^\s=]+)(?:\s|$)", words)
        remedy = f"write {meant[1]}={meant[2]}" if meant else "put quotes around what has blanks"
        raise UserError(
            f"{text!r} is not an argument of the form key=value, e.g. data.batch_size=8: {remedy}"
        )
    return overrides


def _split(text: str) -> tuple[str, str]:
    """Return key and value of an argument.

    Raises:
        UserError: If it has no value.
    """
    key, _, value = text.partition("=")
    if not value:
        raise UserError(
            f"{key} is given no value, as by a variable of the shell that is not set: say "
            f"{key}=… or leave it out; null is {key}=null, and empty text {key}='\"\"'"
        )
    return key, value


def _is_null(value: str) -> bool:
    return value.lower() == "null"


def _as_text(value: str) -> str | None:
    """Return what is typed for a key that is text: as it is, but for null and quotes around it."""
    if _is_null(value):
        return None
    if value[0] in "\"'" and value[-1] == value[0] and len(value) > 1:
        try:
            quoted = yaml.safe_load(value)
        except YAMLError:
            return value
        return quoted if isinstance(quoted, str) else value
    return value


def _as_texts(value: str, text: str) -> Any:
    """Return what is typed for a key that is a list of text."""
    if not value.startswith("["):
        return _as_text(value)
    try:
        texts: list[str] = yaml.load(value, Loader=yaml.BaseLoader)
        return texts
    except YAMLError as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{text!r} cannot be read: {reason}; is it in quotes?") from error


def _plain(config: Any, name: str) -> Config:
    plain = OmegaConf.to_container(config, resolve=False)
    if not isinstance(plain, dict):
        raise UserError(f"{name} holds a {type(plain).__name__}, expected a mapping of keys")
    return {str(key): value for key, value in plain.items()}
