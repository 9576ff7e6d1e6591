"""The configuration of an evaluation: the keys of `vipl eval` and those of its suite, checked."""

import json
import warnings
from argparse import SUPPRESS, ArgumentError
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal

from jsonargparse import ArgumentParser

from vipl.config.composing import Config, as_now
from vipl.config.explain import explain
from vipl.config.keys import Keys
from vipl.errors import UserError
from vipl.evaluation.earlier_keys import as_before, renames
from vipl.evaluation.evaluator import CONTROLS, Evaluator, Grid
from vipl.evaluation.suites.registry import Suite, load_suite
from vipl.names import choose, is_plain

HELP_COMMAND = "vipl eval --suite SUITE --help"


@dataclass(frozen=True)
class Options:
    """Keys of every evaluation.

    Attributes:
        suite: Name of an installed suite, or module:Class.
        encoder: The encoder under test: a folder, a checkpoint, timm:NAME, oracle (the
            ground-truth state), or random[:NAME] (an untrained timm network). {task} and {camera}
            are replaced by those of the cell: runs/{task}-{camera}.
        protocol: How the encoder is used; the first protocol of the suite if null.
        tasks: Names of tasks; all if null.
        cameras: Names of cameras; all if null.
        seeds: Random seeds; every cell is run once with each.
        controls: What to run for comparison: oracle (the ground-truth state), random (an untrained
            encoder) and random_goal (another task's goal); with online_rl also sparse_reward and
            true_reward (the encoder's features, rewarded by the ground-truth state). The encoder
            under test is not run again as its own control, and oracle has none.
        budgets: More planning budgets (numbers of samples) for the encoder under test.
        workers: Worker processes; one per core if null; 0 runs in this process, for a debugger.
        launcher: local, or ray (a cluster that RAY_ADDRESS names, else this machine).
        device: Device of the encoders, such as cpu or cuda.
        out: Folder of all results.
        run_id: Name of the run's folder; derived from encoder and settings if null.
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
class Choice:
    """The evaluator that a configuration chooses, made of plain values.

    Attributes:
        arguments: Of its `__init__`, all of them, as JSON values.
        protocol: Of the suite.
        section: What stands under the protocol's name, as JSON values; None: it has no settings.
    """

    arguments: Config
    protocol: str
    section: Config | None = None

    def build(self, cls: type[Evaluator]) -> Evaluator:
        """Build the evaluator.

        Raises:
            UserError: If it, or its protocol, refuses a value.
        """
        parser = make_parser(cls, options=False, protocols=())
        values = parser.instantiate_classes(parser.parse_object(dict(self.arguments)))
        try:
            evaluator = cls(**vars(values))
        except UserError:
            raise
        except ValueError as error:
            raise UserError(f"{cls.__name__}: {error}") from error
        if self.section is not None:
            settings = _instantiate(self.protocol, cls.sections[self.protocol], self.section)
            evaluator.settings = {self.protocol: settings}
        return evaluator


@dataclass(frozen=True)
class Settings:
    """A checked configuration. Nothing is looked up or resolved after it.

    Attributes:
        suite: To run.
        options: Of the run; `encoder` and `protocol` are set.
        choice: Of the evaluator.
    """

    suite: Suite
    options: Options
    choice: Choice

    @property
    def config(self) -> Config:
        """The whole configuration, as it is given to `vipl eval`."""
        section = {} if self.choice.section is None else {self.protocol: self.choice.section}
        return {**asdict(self.options), **self.choice.arguments, **section}

    @property
    def heeded(self) -> Config:
        """The settings that bear on the protocol, by which records are told apart."""
        arguments = self.choice.arguments
        heeded = {name: v for name, v in arguments.items() if name not in self.unheeded}
        section = self.choice.section
        return heeded if section is None else {**heeded, **as_before(self.protocol, section)}

    @property
    def unheeded(self) -> Sequence[str]:
        """Names of the suite's arguments that do not bear on the protocol."""
        return self.suite.cls.unheeded.get(self.protocol, ())

    @property
    def encoder(self) -> str:
        """The encoder under test, as the user named it."""
        assert self.options.encoder is not None
        return self.options.encoder

    @property
    def protocol(self) -> str:
        """How it is used."""
        return self.choice.protocol


def resolve(config: Config, suite: Suite | None = None) -> Settings:
    """Check the keys of a configuration, and those of its suite.

    Args:
        config: Plain values, as `vipl.config.composing.compose` returns them.
        suite: That it names, where it is loaded already.

    Raises:
        UserError: If there is no such suite, or a name, a type or a value is wrong.
    """
    if not config.get("suite"):
        raise UserError(
            "which suite? name one, e.g. vipl eval --suite frankakitchen --encoder runs/my_run "
            "(`vipl eval --list` shows them)"
        )
    suite = suite or load_suite(str(config["suite"]))
    parser, keys = make_parser(suite.cls), keys_of(suite)
    config = {key: _as_list(key, value) for key, value in as_now(config, keys).items()}
    try:
        checked = parser.parse_object(config)
    except ArgumentError as error:
        help_command = HELP_COMMAND.replace("SUITE", str(config["suite"]))
        raise UserError(explain(error, parser, config, help_command=help_command)) from error
    values = _plain(parser, checked)
    options = _checked(Options(**{name: values.pop(name) for name in _NAMES}), suite)
    sections = {name: values.pop(name) for name in suite.cls.sections}
    assert options.protocol is not None
    choice = Choice(values, options.protocol, sections.get(options.protocol))
    return Settings(suite, options, choice)


def keys_of(suite: Suite | None) -> Keys:
    """Return the keys of an evaluation, those of its suite among them."""
    if suite is None:
        return Keys.of(make_parser(None))
    own = make_parser(suite.cls, protocols=()).get_defaults().keys()
    return Keys.of(make_parser(suite.cls), renames(suite.cls.sections, [*own]))


def make_parser(
    cls: type[Evaluator] | None, *, options: bool = True, protocols: Sequence[str] | None = None
) -> ArgumentParser:
    """Return the parser of an evaluation's keys.

    Args:
        cls: Its evaluator, whose arguments of `__init__` are keys.
        options: Whether the keys of every evaluation are among them.
        protocols: Those of the evaluator's whose settings are, too; None: all.

    Raises:
        UserError: If an argument has no type, or the name of another key.
    """
    parser = ArgumentParser(exit_on_error=False, add_help=False, usage=SUPPRESS)
    if options:
        parser.add_class_arguments(Options, nested_key=None)
    if cls is None:
        return parser
    try:
        parser.add_class_arguments(cls, nested_key=None, instantiate=False)
        for name, settings in cls.sections.items():
            if protocols is None or name in protocols:
                _add_section(parser, name, settings)
    except ValueError as error:
        raise UserError(f"{cls.__name__} cannot be configured: {error}") from error
    return parser


def _add_section(parser: ArgumentParser, name: str | None, settings: Any) -> None:
    parser.add_class_arguments(type(settings), nested_key=name)
    prefix = "" if name is None else f"{name}."
    parser.set_defaults({f"{prefix}{key}": value for key, value in asdict(settings).items()})


def _instantiate(name: str, default: Any, section: Config) -> Any:
    parser = ArgumentParser(exit_on_error=False, add_help=False)
    _add_section(parser, None, default)
    try:
        values = parser.instantiate_classes(parser.parse_object(section))
        return type(default)(**vars(values))
    except ArgumentError as error:
        raise UserError(f"{name}.{error}") from error
    except UserError as error:
        raise UserError(f"{name}.{error}") from error


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


def _checked(options: Options, suite: Suite) -> Options:
    if not options.encoder:
        raise UserError(
            "which encoder? name one by --encoder: a folder, a checkpoint, timm:NAME, oracle, or "
            "random"
        )
    protocol = options.protocol or next(iter(suite.cls.protocols))
    choose("protocol", [protocol], suite.cls.protocols)
    choose("control", options.controls, CONTROLS)
    lists = {name: getattr(options, name) for name in (*_NAME_LISTS, *_NUMBER_LISTS)}
    unique: dict[str, Any] = {
        name: values and list(dict.fromkeys(values)) for name, values in lists.items()
    }
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
    return replace(options, protocol=protocol, **unique)
