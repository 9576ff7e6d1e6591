"""Recipes: a source of clips and its options in a YAML file, `vipl manifest build --recipe FILE`.

A recipe's keys are the command's options, with underscores, and `source`, `directory` and `out`.
Interpolation is OmegaConf's, so that a root may come from the environment: `${oc.env:EGO4D_ROOT}`.
"""

import argparse
from collections.abc import Iterable, Sequence
from typing import NoReturn

from vipl.config.composing import Config, compose
from vipl.config.keys import Keys
from vipl.data.sources.arguments import add_sources
from vipl.errors import UserError
from vipl.names import choose


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"recipe: {message}")


def read_recipe(file: str, overrides: Sequence[str]) -> argparse.Namespace:
    """Return what `vipl manifest build SOURCE …` would have parsed.

    Args:
        file: The recipe, or the name of one that ships.
        overrides: `option=value`, such as "directory=/data/ego4d".

    Raises:
        UserError: If there is no such file, a key is unknown or missing, or a value is none.
    """
    parser: argparse.ArgumentParser = _Parser(prog="vipl manifest build")
    sources = parser.add_subparsers()
    add_sources(sources)
    config = compose([file], overrides, kind="recipe", keys=_keys(sources.choices.values()))
    for key in ("source", "directory", "out"):
        if not config.get(key):
            raise UserError(f"{file} does not name its {key}: add {key}=…")
    source = str(config["source"])
    choose("source", [source], sources.choices)
    options = {a.dest: a for a in sources.choices[source]._actions if a.dest != "help"}
    choose(f"option of the source {source}", [k for k in config if k != "source"], options)
    args = parser.parse_args([source, *_arguments(config, options)])
    assert args.source == source
    return args


def _keys(parsers: Iterable[argparse.ArgumentParser]) -> Keys:
    """Return the keys of all sources: text but for flags, as on the command line."""
    types: dict[str, type] = {"source": str}
    for parser in parsers:
        types |= {a.dest: bool if a.nargs == 0 else str for a in parser._actions}
    return Keys({name: hint | None for name, hint in types.items() if name != "help"})


def _arguments(config: Config, options: dict[str, argparse.Action]) -> list[str]:
    arguments = []
    for key, value in config.items():
        if key == "source" or value is None:
            continue
        name = options[key].option_strings[-1:]
        if options[key].nargs != 0:
            arguments.append(f"{name[0]}={value}" if name else str(value))
        elif not isinstance(value, bool):
            raise UserError(f"recipe: {key} is {value!r}, expected true or false")
        elif value:
            arguments += name
    return arguments
