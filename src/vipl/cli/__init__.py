"""The `vipl` command: one subcommand, one short function, which imports what it needs."""

import argparse
import errno
import io
import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import TypeAlias

from vipl._version import __version__
from vipl.cli.encoders import add_encoder_commands
from vipl.config.arguments import add_configs
from vipl.config.paths import path_argument, text_argument
from vipl.data.manifests.arguments import add_manifest, add_prepare
from vipl.errors import UserError
from vipl.lazy import lazily, let_threads_sleep

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

EXIT_USER_ERROR = 2
EXIT_BROKEN_PIPE = 141  # what a shell says of a program that a closed pipe ended

# What a disk or its rights can refuse; anything else the system says is a defect of ours.
_USER_ERRNOS = {
    errno.EACCES, errno.EDQUOT, errno.EEXIST, errno.EISDIR, errno.ENOENT, errno.ENOSPC,
    errno.ENOTDIR, errno.EPERM, errno.EROFS,
}  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status: 2 for what the user can mend, else 0 or 1."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names of files may hold what no text can
            stream.reconfigure(errors="backslashreplace")
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        args = parse(arguments)
        args.run(args)
        sys.stdout.flush()
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE
    except UserError as error:
        return _refuse(str(error), debug)
    except OSError as error:
        if error.errno not in _USER_ERRNOS:
            raise
        where = f"{error.filename}: " if error.filename else ""
        remedy = "; free some, or write to another disk" if error.errno == errno.ENOSPC else ""
        return _refuse(f"{where}{error.strerror}{remedy}", debug)
    except KeyboardInterrupt:
        return 130
    return 0


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return what was asked for: `run`, its arguments, and `overrides`, the key=value ones."""
    parser = make_parser()
    args, rest = parser.parse_known_args(arguments)
    if rest and not hasattr(args, "overrides"):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    args.overrides = rest
    return args


def make_parser() -> argparse.ArgumentParser:
    """Return the parser with the project's commands and those of installed plugins."""
    parser = argparse.ArgumentParser(
        prog="vipl",
        description="Pre-train image encoders on video, and use their distance as a reward.",
        epilog="--debug with any command: show the traceback of an error.",
    )
    parser.add_argument("--version", action="version", version=f"vipl {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add in (
        add_fit, add_bench, add_eval, add_compare, add_study, add_configs, add_manifest,
        add_prepare, add_encoder_commands,
    ):  # fmt: skip
        add(commands)
    for plugin in sorted(entry_points(group="vipl.commands")):
        add_plugin(commands, plugin)
    return parser


def add_plugin(commands: Commands, plugin: EntryPoint) -> None:
    """Add an installed plugin's command; one that does not load fails when it is called."""
    try:
        add = plugin.load()
    except Exception as error:
        reason = f"the command {plugin.name!r} ({plugin.value}) does not load: {error!r}"
        broken = commands.add_parser(plugin.name, help="does not load", add_help=False)
        broken.set_defaults(run=_raise(reason), overrides=[])
        return
    add(commands)


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

    from vipl.objectives import LSTD, TCN, VIP

    for objective in (VIP, TCN, LSTD):
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
    say(f"Trained. The encoder is in {run_dir / 'encoder'}, its curves in {run_dir / 'curves'}.")


def add_bench(commands: Commands) -> None:
    """Add `vipl bench step` and `vipl bench data`."""
    parser = commands.add_parser("bench", help="measure what bounds a run of your configuration")
    actions = parser.add_subparsers(metavar="WHAT", required=True)
    for what, text in (
        ("step", "the training step: images/s, its parts, memory"),
        ("data", "the data: clips/s with all workers, decoding, resampling"),
    ):
        action = actions.add_parser(
            what,
            help=text,
            usage=f"vipl bench {what} --config FILE [--config FILE …] [key=value …]",
            description=f"Measure {text}; and say which of step and data starves the other.",
        )
        action.add_argument("--config", "-c", action="append", default=[], metavar="FILE")
        action.add_argument("--steps", type=int, default=10, help="that are timed (10)")
        action.add_argument("--warmup", type=int, default=3, help="steps before (3)")
        action.add_argument("--seconds", type=float, default=5.0, help="of loading data (5)")
        action.set_defaults(run=run_bench, what=what, overrides=[])


def run_bench(args: argparse.Namespace) -> None:
    """Measure the step or the data."""
    let_threads_sleep()
    lazily("vipl.training.bench.command", f"run_{args.what}")(args)


def add_eval(commands: Commands) -> None:
    """Add `vipl eval`."""
    parser = commands.add_parser(
        "eval",
        add_help=False,
        help="evaluate an encoder's distance as a reward, on the tasks of a suite",
        usage="vipl eval --suite SUITE --encoder ENCODER [--config FILE …] [key=value …]",
        description="Evaluate an encoder on a suite of tasks, beside the true state and others.",
    )
    parser.add_argument("--suite", metavar="S", help="an installed suite, or module:Class")
    parser.add_argument(
        "--encoder",
        type=text_argument,
        metavar="E",
        help="a folder, a checkpoint, timm:NAME, oracle, random[:NAME]",
    )
    parser.add_argument("--protocol", metavar="P", help="how the encoder is used")
    parser.add_argument("--config", "-c", action="append", default=[], metavar="FILE")
    parser.add_argument(
        "--workers", type=int, metavar="N", help="processes (one a core); 0: this one"
    )
    parser.add_argument("--launcher", choices=("local", "ray"), help="where cells run (local)")
    parser.add_argument("--device", metavar="D", help="where encoders run (cpu)")
    parser.add_argument(
        "--out", type=text_argument, metavar="DIR", help="folder of all results (results)"
    )
    parser.add_argument("--run-id", metavar="ID", help="folder of this run (made of its settings)")
    parser.add_argument("--list", action="store_true", help="show suites, protocols and tasks")
    parser.add_argument(
        "--print-config", action="store_true", help="print the resolved configuration and stop"
    )
    parser.add_argument(
        "--help", "-h", action="store_true", help="show this and every key, and stop"
    )
    parser.set_defaults(
        run=lazily("vipl.evaluation.running.command", "run"), parser=parser, overrides=[]
    )


def add_compare(commands: Commands) -> None:
    """Add `vipl compare`."""
    parser = commands.add_parser(
        "compare",
        help="compare the encoders of several evaluations, over the cells that all of them have",
        description="Compare evaluations of one suite, over the cells that all of them have. The "
        "first is what the others are measured against.",
    )
    parser.add_argument(
        "runs", nargs="+", type=text_argument, metavar="RUN",
        help="a folder that `vipl eval` wrote, or its records.jsonl; [LABEL=]RUN",
    )  # fmt: skip
    parser.add_argument("--metric", metavar="M", help="one of the suite's (its first)")
    parser.add_argument(
        "--out",
        type=path_argument,
        metavar="DIR",
        help="write compare.csv and compare.html there too",
    )
    parser.set_defaults(run=lazily("vipl.evaluation.reports.comparison.command", "run"))


def add_study(commands: Commands) -> None:
    """Add `vipl study run`, `vipl study status` and `vipl study page`."""
    parser = commands.add_parser(
        "study", help="train and evaluate several encoders alike, and write a page of the outcome"
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    for name, text in (
        ("run", "run what is left of a study, and write its page"),
        ("status", "show which steps of a study are done"),
        ("page", "write the page of what has been run so far"),
    ):
        action = actions.add_parser(
            name,
            help=text,
            usage=f"vipl study {name} FILE [key=value …]",
            description=f"{text[0].upper()}{text[1:]}.",
        )
        action.add_argument("file", metavar="FILE", help="of the study, YAML, or one that ships")
        if name == "run":
            action.add_argument(
                "--only", action="append", metavar="STEP",
                help="these steps, such as evaluate/curves or 'train/vip/*', and what they need",
            )  # fmt: skip
            action.add_argument(
                "--again", action="append", metavar="STEP",
                help="remove what these steps, and those that follow from them, have made",
            )  # fmt: skip
            action.add_argument(
                "--jobs", type=int, default=1, metavar="N", help="steps that run at a time (1)"
            )
            action.add_argument("--dry-run", action="store_true", help="print the commands only")
        action.set_defaults(run=lazily("vipl.study.command", name), overrides=[])


def _raise(reason: str) -> Callable[[argparse.Namespace], None]:
    def run(args: argparse.Namespace) -> None:
        raise UserError(reason)

    return run


def _refuse(message: str, debug: bool) -> int:
    if debug:
        import traceback

        traceback.print_exc()
    from vipl.console import say

    say(f"vipl: {' '.join(message.splitlines())}", file=sys.stderr)
    return EXIT_USER_ERROR
