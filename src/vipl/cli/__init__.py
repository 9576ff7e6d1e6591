"""The `vipl` command: one subcommand, one short function, which imports what it needs."""

import argparse
import errno
import io
import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint, entry_points

from vipl._version import __version__
from vipl.cli.bench import add_bench
from vipl.cli.encoders import add_encoder_commands
from vipl.cli.evaluate import add_compare, add_eval
from vipl.cli.fit import add_fit
from vipl.cli.study import add_study
from vipl.config.arguments import add_configs
from vipl.data.sources.arguments import add_manifest, add_prepare
from vipl.errors import UserError
from vipl.lazy import Commands

EXIT_USER_ERROR = 2
EXIT_BROKEN_PIPE = 141  # what a shell says of a program that a closed pipe ended

# What a disk or its rights can refuse; anything else the system says is a defect of ours.
_USER_ERRNOS = {
    errno.EACCES, errno.EDQUOT, errno.EEXIST, errno.EFBIG, errno.EISDIR, errno.ELOOP, errno.EMFILE,
    errno.ENAMETOOLONG, errno.ENFILE, errno.ENOENT, errno.ENOSPC, errno.ENOTDIR, errno.EPERM,
    errno.EROFS, errno.ETXTBSY,
}  # fmt: skip
_REMEDIES = {
    errno.EDQUOT: "free some, or write to another disk",
    errno.EFBIG: "allow larger files by `ulimit -f unlimited`",
    errno.EMFILE: "allow more by `ulimit -n 65536`",
    errno.ENOSPC: "free some, or write to another disk",
}


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
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        reason = _refusal_of_the_system(error)
        if reason is None:
            raise
        return _refuse(reason, debug)
    return 0


def _refusal_of_the_system(error: BaseException | None) -> str | None:
    """Return what a disk, its rights or a limit refused, None if it was something else.

    A library may have raised an error of its own while it dealt with that: torch does, a
    RuntimeError, where it closes a file that it could not write. Errors of other kinds that came up
    on the way are defects.
    """
    while isinstance(error, OSError | RuntimeError):
        if isinstance(error, OSError) and error.errno in _USER_ERRNOS:
            where = f"{error.filename}: " if error.filename else ""
            remedy = _REMEDIES.get(error.errno or 0)
            return f"{where}{error.strerror}{f'; {remedy}' if remedy else ''}"
        if isinstance(error, RuntimeError) and str(error).startswith("Symlink loop"):  # pathlib's
            return str(error)
        error = error.__cause__ or error.__context__
    return None


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
