"""`vipl eval`: what its arguments mean, and the list of suites."""

import argparse
import shlex

from vipl.config.composing import Config, compose, read_layer, to_yaml
from vipl.config.keys import Keys
from vipl.console import Console
from vipl.errors import UserError
from vipl.evaluation.running.config import HELP_COMMAND, make_parser, resolve
from vipl.evaluation.suites.registry import Listing, describe_suite, list_suites, load_suite

FLAGS = (
    "suite", "encoder", "protocol", "workers", "launcher", "device", "out", "run_id",
)  # fmt: skip
"""Options that are keys of the configuration too."""


def run(args: argparse.Namespace) -> None:
    """Do what the command's arguments ask for."""
    if args.list:
        _list(args.suite)
        return
    config = compose(args.config, args.overrides, kind="eval", keys=_keys(args))
    config.update({key: getattr(args, key) for key in FLAGS if getattr(args, key) is not None})
    if args.help:
        args.parser.print_help()
        _print_keys(config)
        return
    if args.print_config:
        print(to_yaml(resolve(config).config), end="")
        return
    from vipl.evaluation.running.runner import evaluate

    evaluate(config, command=command_line(args))


def _keys(args: argparse.Namespace) -> Keys:
    """Return the keys of an evaluation, those of the suite among them that it names."""
    named = [word.partition("=")[2] for word in args.overrides if word.startswith("suite=")]
    layers = (read_layer(file, "eval") for file in reversed(args.config))
    name = args.suite or next(
        iter([*reversed(named), *(layer["suite"] for layer in layers if layer.get("suite"))]), None
    )
    return Keys.of(make_parser(load_suite(str(name)).cls if name else None))


def _print_keys(config: Config) -> None:
    suite = load_suite(str(config["suite"])) if config.get("suite") else None
    print("\nConfiguration keys, in a YAML file or as KEY=VALUE without the dashes:\n")
    make_parser(suite.cls if suite else None).print_help()
    if suite is None:
        print("\nName a suite to see its keys too: vipl eval --suite SUITE --help")


def command_line(args: argparse.Namespace) -> str:
    """Return the command as it can be typed again."""
    words = ["vipl", "eval"]
    for file in args.config:
        words += ["--config", file]
    for key in FLAGS:
        if getattr(args, key) is not None:
            words += [f"--{key.replace('_', '-')}", str(getattr(args, key))]
    return shlex.join([*words, *args.overrides])


def _list(name: str | None) -> None:
    listings = list_suites() if name is None else [describe_suite(load_suite(name))]
    if not listings:
        raise UserError("no suite is installed; --suite module:Class names one of your own")
    console = Console(highlight=False, soft_wrap=True, markup=False)
    for listing in listings:
        for line in _lines(listing):
            console.print(line)


def _lines(listing: Listing) -> list[str]:
    if listing.error is not None:
        return [f"{listing.name}: does not load: {listing.error}", ""]
    width = max(map(len, [*listing.tasks, *listing.protocols]))
    lines = [f"{listing.name} (version {listing.version}): {listing.description}", "  protocols"]
    lines += [f"    {name:{width}}  {line}" for name, line in listing.protocols.items()]
    if not listing.tasks:
        help_command = HELP_COMMAND.replace("SUITE", listing.name)
        return [*lines, f"  tasks: those that its keys name ({help_command})", ""]
    lines += ["  tasks"]
    lines += [f"    {name:{width}}  {label}" for name, label in listing.tasks.items()]
    return [*lines, ""]
