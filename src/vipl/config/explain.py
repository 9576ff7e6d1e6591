"""What a command's parser says of a configuration, in one sentence."""

import difflib
import importlib
import inspect
import re
from argparse import ArgumentError
from typing import TYPE_CHECKING

from vipl.config.keys import Keys
from vipl.config.layers import Config, at

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser


def explain(
    error: ArgumentError, parser: "ArgumentParser", config: Config, *, help_command: str
) -> str:
    """Turn the message of a command's parser into one sentence with the key and the remedy.

    Args:
        error: What `parser.parse_object` raised.
        parser: Whose keys are searched for near ones.
        config: That was parsed.
        help_command: That lists the keys.
    """
    text = " ".join(re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", str(error)).split())
    nameless = re.search(
        r'key "([\w.]+)": (?:Does not validate against .*?Errors: - )?'
        r"Expected a dot import path string: (\S+)",
        text,
    )
    if nameless is not None:
        section, name = nameless.groups()
        return (
            f"configuration: {section}.class_path is {name!r}, which is none of the known classes "
            f"(`{help_command}` lists them) and no path to one of your own, such as module.{name}"
        )
    unknown = re.search(r"(?:Group '([\w.]+)' does not accept option|Key|Option) '([\w.]+)'", text)
    if unknown is None:
        return f"configuration: {_wrong_value(text, Keys.of(parser), config) or text}"
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


def refusal_of_a_class(text: str) -> str:
    """Return what a class said of its arguments, out of a parser's list of all that it tried."""
    tried = re.findall(r"^ *- (.+)$", text.partition("Errors:")[2], re.MULTILINE)
    own = [one for one in tried if not one.startswith(("Expected", "Not a valid", "a "))]
    return " ".join((own[0] if own else text).split())


def _wrong_value(text: str, keys: Keys, config: Config) -> str | None:
    """Return what is wrong with the value that a parser's message is about, if it can be told."""
    missing = re.search(r"arguments are required: ([\w.]+)", text)
    if missing is not None:
        return f"{missing[1]} is required: add {missing[1]}=…"
    argument = re.search(
        r'key "([\w.]+)": .* expects a function or a callable class: '
        r'Parser key "(\w+)": Expected ([^.]+)\. Got value: (.+?)\. Got value',
        text,
    )
    if argument is not None:
        section, name, expected, value = argument.groups()
        return f"{section}.init_args.{name} is {value}, expected {expected}"
    named = re.findall(r'key "([\w.]+)"', text)
    if not named:
        return None
    key = named[0]
    for inner in named[1:]:
        key = inner if inner.startswith(f"{key}.") else f"{key}.init_args.{inner}"
    key = keys.links.get(key, key)
    value = at(config, key)
    if isinstance(value, (dict, list)) or keys.type_of(key, config) is None:
        return None
    return keys.refusal(key, value, config)


def _arguments_of_class(text: str) -> tuple[str, list[str]]:
    """Return the key and the arguments of the class that a parser's message is about, if any."""
    found = re.search(r"key \"([\w.]+)\": .*class_path(?: |=)'([\w.]+)'", text)
    if found is None:
        return "", []
    section, path = found.groups()
    module, _, name = path.rpartition(".")
    signature = inspect.signature(getattr(importlib.import_module(module), name))
    return section, list(signature.parameters)
