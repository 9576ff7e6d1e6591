"""The configuration of an evaluation: the keys of `vipl eval` and those of its suite, checked."""

import json
import warnings
from argparse import SUPPRESS, ArgumentError
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from jsonargparse import ArgumentParser

from vipl.config.composing import Config
from vipl.config.explain import explain
from vipl.errors import UserError
from vipl.evaluation.evaluator import CONTROLS, Evaluator, Grid
from vipl.evaluation.suites.registry import Suite, load_suite
from vipl.names import choose, is_plain

HELP_COMMAND = "vipl eval --suite SUITE --help"


@dataclass
class Options:
    """Keys of every evaluation.

    Attributes:
        suite: Name of an installed suite, or module:Class.
        encoder: The encoder under test: a folder, a checkpoint, timm:NAME, oracle (the true
            state), or random[:NAME] (an untrained network of timm's). {task} and {camera} in it
            stand for a cell's: runs/{task}-{camera}.
        protocol: One of the suite's; its first if null.
        tasks: Names; all if null.
        cameras: Names; all if null.
        seeds: Of everything random.
        controls: Of oracle, random (untrained encoder) and random_goal (another task's goal); with
            online_rl, sparse_reward and true_reward (the encoder sees, the true state rewards).
            Those that the encoder under test is itself are left out, and all for oracle.
        budgets: Further planning budgets to run the encoder under test with.
        workers: Processes; one a core if null, 0 runs in the command's own, for a debugger.
        launcher: local, or ray (a cluster that RAY_ADDRESS names, else this machine).
        device: Where encoders run, such as cpu or cuda.
        out: Folder of all results.
        run_id: Folder of this run in that of its suite; made of encoder and settings if null.
    """

    suite: str | None = None
    encoder: str | None = None
    protocol: str | None = None
    tasks: list[str] | None = None
    cameras: list[str] | None = None
    seeds: list[int] = field(default_factory=lambda: list(Grid.seeds))
    controls: list[str] = field(default_factory=lambda: list(Grid.controls))
    budgets: list[int] = field(default_factory=list)
    workers: int | None = None
    launcher: Literal["local", "ray"] = "local"
    device: str = "cpu"
    out: str = "results"
    run_id: str | None = None


_NAMES = tuple(option.name for option in fields(Options))
_NAME_LISTS = ("tasks", "cameras", "controls")
_NUMBER_LISTS = ("seeds", "budgets")


@dataclass(frozen=True)
class Settings:
    """A checked configuration.

    Attributes:
        suite: To run.
        options: Of the run; `encoder` and `protocol` are set.
        arguments: Of the evaluator's `__init__`, all of them, as JSON values.
    """

    suite: Suite
    options: Options
    arguments: Config

    @property
    def config(self) -> Config:
        """The whole configuration, as it is given to `vipl eval`."""
        return {**asdict(self.options), **self.arguments}

    @property
    def heeded_arguments(self) -> Config:
        """Those of the arguments that bear on the protocol."""
        return {name: v for name, v in self.arguments.items() if name not in self.unheeded}

    @property
    def unheeded(self) -> Sequence[str]:
        """Names of the others."""
        return self.suite.cls.unheeded.get(self.protocol, ())

    @property
    def encoder(self) -> str:
        """The encoder under test, as the user named it."""
        assert self.options.encoder is not None
        return self.options.encoder

    @property
    def protocol(self) -> str:
        """How it is used."""
        assert self.options.protocol is not None
        return self.options.protocol


def resolve(config: Config) -> Settings:
    """Load the suite that a configuration names, and check its keys and the suite's.

    Args:
        config: Plain values, as `vipl.config.composing.compose` returns them.

    Raises:
        UserError: If there is no such suite, or a name, a type or a value is wrong.
    """
    if not config.get("suite"):
        raise UserError(
            "which suite? name one, e.g. vipl eval --suite frankakitchen --encoder runs/my_run "
            "(`vipl eval --list` shows them)"
        )
    suite = load_suite(str(config["suite"]))
    parser = make_parser(suite.cls)
    try:
        checked = parser.parse_object({key: _as_list(key, value) for key, value in config.items()})
    except ArgumentError as error:
        help_command = HELP_COMMAND.replace("SUITE", str(config["suite"]))
        raise UserError(explain(error, parser, config, help_command=help_command)) from error
    values = _plain(parser, checked)
    options = Options(**{name: values.pop(name) for name in _NAMES})
    if not options.encoder:
        raise UserError(
            "which encoder? name one by --encoder: a folder, a checkpoint, timm:NAME, oracle, or "
            "random"
        )
    options.protocol = options.protocol or next(iter(suite.cls.protocols))
    _check(options, suite)
    return Settings(suite, options, values)


def make_parser(cls: type[Evaluator] | None, *, options: bool = True) -> ArgumentParser:
    """Return the parser of an evaluation's keys.

    Args:
        cls: Its evaluator, whose arguments of `__init__` are keys.
        options: Whether the keys of every evaluation are among them.

    Raises:
        UserError: If an argument has no type, or the name of another key.
    """
    parser = ArgumentParser(exit_on_error=False, add_help=False, usage=SUPPRESS)
    if options:
        parser.add_class_arguments(Options, nested_key=None)
    if cls is not None:
        try:
            parser.add_class_arguments(cls, nested_key=None, instantiate=False)
        except ValueError as error:
            raise UserError(f"{cls.__name__} cannot be configured: {error}") from error
    return parser


def build_evaluator(cls: type[Evaluator], arguments: Config) -> Evaluator:
    """Build an evaluator from the arguments of `Settings`.

    Raises:
        UserError: If it refuses a value.
    """
    parser = make_parser(cls, options=False)
    values = parser.instantiate_classes(parser.parse_object(dict(arguments)))
    try:
        return cls(**vars(values))
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"{cls.__name__}: {error}") from error


def _as_list(key: str, value: Any) -> Any:
    """Accept one name, or several with commas, where a list is wanted."""
    if key not in _NAME_LISTS + _NUMBER_LISTS or value is None or isinstance(value, list):
        return value
    return [part.strip() for part in str(value).split(",") if part.strip()]


def _plain(parser: ArgumentParser, checked: Any) -> Config:
    with warnings.catch_warnings():  # jsonargparse renames it from one version to the next
        warnings.simplefilter("ignore", DeprecationWarning)
        values: Config = json.loads(parser.dump(checked, format="json", skip_none=False))
    return values


def _check(options: Options, suite: Suite) -> None:
    choose("protocol", [options.protocol or ""], suite.cls.protocols)
    choose("control", options.controls, CONTROLS)
    for name in (*_NAME_LISTS, *_NUMBER_LISTS):
        values = getattr(options, name)
        setattr(options, name, values and list(dict.fromkeys(values)))
    if not options.seeds or min(options.seeds) < 0:
        raise UserError(f"seeds is {options.seeds}, expected integers of 0 or more")
    if options.budgets and min(options.budgets) < 1:
        raise UserError(f"budgets is {options.budgets}, expected integers of 1 or more")
    if options.workers is not None and options.workers < 0:
        raise UserError(f"--workers is {options.workers}, expected 0 or more")
    if options.run_id is not None and not is_plain(options.run_id):
        raise UserError(
            f"--run-id is {options.run_id!r}, expected one plain name of a folder, such as vip-1"
        )
