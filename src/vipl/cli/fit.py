"""`vipl fit`: pre-training, and the help on its keys."""

import argparse
from inspect import isclass

from vipl.errors import UserError
from vipl.lazy import Commands, let_threads_sleep


class _FitHelp(argparse.Action):
    """Shows the options and every configuration key with its docstring."""

    def __call__(self, parser: argparse.ArgumentParser, *unused: object) -> None:
        from vipl.training.fit import FitCLI

        parser.print_help()
        print("\nConfiguration keys, in a YAML file or as KEY=VALUE without the dashes:\n")
        keys = FitCLI({"data": {"manifest": "…"}}).parser
        keys.usage = argparse.SUPPRESS
        keys.print_help()
        _print_objectives()
        parser.exit()


def _print_objectives() -> None:
    """Show the keys of each objective, which depend on the one that is chosen."""
    from jsonargparse import ArgumentParser

    from vipl import objectives

    public = [getattr(objectives, name) for name in objectives.__all__]
    classes = [one for one in public if isclass(one) and issubclass(one, objectives.Objective)]
    for objective in classes:
        if objective is objectives.Objective:
            continue
        keys = ArgumentParser(usage=argparse.SUPPRESS, add_help=False)
        keys.add_class_arguments(objective, "model.objective.init_args")
        print(f"\nmodel.objective.class_path={objective.__name__}\n")
        keys.print_help()


def add_fit(commands: Commands) -> None:
    """Add `vipl fit`."""
    parser = commands.add_parser(
        "fit",
        add_help=False,
        help="pre-train an encoder on the clips of a manifest",
        usage="vipl fit --config FILE [--config FILE …] [key=value …]",
        description="Pre-train an encoder on the clips of a manifest.",
    )
    parser.add_argument("--config", "-c", action="append", default=[], metavar="FILE")
    parser.add_argument(
        "--print-config", action="store_true", help="print the resolved configuration and stop"
    )
    parser.add_argument(
        "--help", "-h", action=_FitHelp, nargs=0, help="show this and every key, and stop"
    )
    parser.set_defaults(run=run_fit, overrides=[])


def run_fit(args: argparse.Namespace) -> None:
    """Compose the configuration, train, and say where the result is."""
    if not args.config:
        raise UserError(
            "which run? name one: vipl fit --config folder (`vipl configs` lists those that ship)"
        )
    let_threads_sleep()

    from vipl.training.fit import FitCLI, fit
    from vipl.training.fit_config import composing

    config = composing(args.config, args.overrides)
    if args.print_config:
        print(FitCLI(config).as_yaml(), end="")
        return
    from vipl.console import say

    run_dir = fit(config)
    curves = f", its curves in {run_dir / 'curves'}" if (run_dir / "curves").is_dir() else ""
    say(f"Trained. The encoder is in {run_dir / 'encoder'}{curves}.")
