"""`vipl eval`: what its arguments mean, and the list of suites."""

import argparse
import shlex

from vipl.config.composing import compose, read_layer, to_yaml
from vipl.console import Console
from vipl.errors import UserError
from vipl.evaluation.running.config import HELP_COMMAND, keys_of, make_parser, resolve
from vipl.evaluation.suites.registry import (
    Listing,
    Suite,
    describe_suite,
    list_suites,
    load_suite,
)
from vipl.names import choose

FLAGS = (
    "suite", "encoder", "protocol", "workers", "launcher", "device", "out", "run_id",
)  # fmt: skip
"""Options that are keys of the configuration too."""


def run(args: argparse.Namespace) -> None:
    """Do what the command's arguments ask for."""
    if args.list:
        _list(args.suite)
        return
    suite = _suite(args)
    config = compose(args.config, args.overrides, kind="eval", keys=keys_of(suite))
    config.update({key: getattr(args, key) for key in FLAGS if getattr(args, key) is not None})
    if args.help:
        args.parser.print_help()
        _print_keys(suite, config.get("protocol"))
        return
    settings = resolve(config, suite)
    if args.print_config:
        print(to_yaml(settings.config), end="")
        return
    from vipl.evaluation.running.runner import evaluate

    evaluate(settings, command=command_line(args))


def _suite(args: argparse.Namespace) -> Suite | None:
    """Return the suite that a command names: its keys are needed to read the rest."""
    named = [word.partition("=")[2] for word in args.overrides if word.startswith("suite=")]
    layers = (read_layer(file, "eval") for file in reversed(args.config))
    name = args.suite or next(
        iter([*reversed(named), *(layer["suite"] for layer in layers if layer.get("suite"))]), None
    )
    return load_suite(str(name)) if name else None


def _print_keys(suite: Suite | None, protocol: str | None) -> None:
    print("\nConfiguration keys, in a YAML file or as KEY=VALUE without the dashes:\n")
    if suite is None:
        make_parser(None).print_help()
        print(f"\nName a suite to see its keys too: {HELP_COMMAND}")
        return
    protocols = list(suite.cls.protocols)
    shown = choose("protocol", [protocol or protocols[0]], protocols)
    make_parser(suite.cls, protocols=shown).print_help()
    if others := [name for name in suite.cls.sections if name not in shown]:
        command = f"vipl eval --suite {suite.name} --protocol {others[0]} --help"
        print(f"\nSettings of {', '.join(others)}: {command}")


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
