"""The file that describes a study: which data, encoders and evaluations it has."""

import re
from argparse import SUPPRESS, ArgumentError
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from jsonargparse import ArgumentParser

from vipl.config.composing import Config, compose
from vipl.config.explain import explain
from vipl.config.keys import Keys
from vipl.errors import UserError
from vipl.names import choose, is_plain


@dataclass
class Training:
    """A training: `vipl fit`.

    Attributes:
        configs: YAML files, in their order.
        set: Keys that differ from them, nested as there; "{seed}" in a value is the training's.
    """

    configs: list[str]
    set: dict[str, Any] = field(default_factory=dict)


@dataclass
class EncoderEntry:
    """An encoder of the study; it says one of `train`, `name` and `untrained`.

    Attributes:
        label: For people.
        train: How it is trained, once for each of the study's seeds.
        name: What `vipl eval --encoder` takes instead: a folder, a name, oracle.
        untrained: Another encoder of the study, whose networks before training this is.
        change: What is changed against the study's baseline, in words.
    """

    label: str
    train: Training | None = None
    name: str | None = None
    untrained: str | None = None
    change: str = ""


@dataclass
class EvaluationEntry:
    """An evaluation of the encoders: `vipl eval`.

    Attributes:
        label: For people.
        configs: YAML files, in their order.
        set: Keys that differ from them, nested as there.
        metrics: Of the suite, that the page shows; all if empty.
        encoders: That are evaluated; all if null.
        seeds: Trainings that are evaluated; all if null.
        sample: What is a sample of independent ones, a regular expression whose first group is
            found in the name of a task; each task is one if null. Intervals resample these.
        about: What a reader must know of it.
    """

    label: str
    configs: list[str] = field(default_factory=list)
    set: dict[str, Any] = field(default_factory=dict)
    metrics: list[str] = field(default_factory=list)
    encoders: list[str] | None = None
    seeds: list[int] | None = None
    sample: str | None = None
    about: str = ""


@dataclass
class Study:
    """A study, as its file describes it.

    Attributes:
        title: Of its page.
        out: Folder of everything that it makes.
        encoders: By name; the order is that of the page.
        evaluations: By name.
        baseline: The encoder that others are compared with.
        prepare: Commands of `vipl` that make data, as lists of words, by the name of what they
            make: the folder `{out}/data/NAME`, which they are to name. What names that folder runs
            after it. A word with "{seed}" stands for as many as there are seeds.
        seeds: Of trainings.
        about: What a reader must know before the numbers.
        setting: Which of `settings` is chosen; for interpolation in the file.
        settings: Values by setting; for interpolation in the file.
        chosen: The chosen one's values; for interpolation in the file.
    """

    title: str
    out: str
    encoders: dict[str, EncoderEntry]
    evaluations: dict[str, EvaluationEntry]
    baseline: str
    prepare: dict[str, list[str]] = field(default_factory=dict)
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2])
    about: str = ""
    setting: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    chosen: dict[str, Any] = field(default_factory=dict)


def read_study(file: str, overrides: Sequence[str] = ()) -> Study:
    """Read the file of a study.

    Args:
        file: YAML, or the name of a study that ships.
        overrides: Such as "setting=full"; they come after the file.

    Raises:
        UserError: If a key, a type or a name is wrong.
    """
    parser = ArgumentParser(exit_on_error=False, add_help=False, usage=SUPPRESS)
    parser.add_class_arguments(Study, nested_key=None)
    try:
        config = _with_lists_of_words(
            compose([file], overrides, kind="study", keys=Keys.of(parser))
        )
    except UserError as error:
        if unknown := re.search(r"'settings\.(\w+)' not found", str(error)):
            raise UserError(f"{file} has no setting {unknown[1]!r} under settings") from error
        if (lost := re.search(r"'chosen\.(\w+)' not found", str(error))) is None:
            raise
        raise UserError(
            f"{file}: chosen has no {lost[1]!r}. To change one value of a setting, say "
            "settings.NAME.KEY=…: chosen.KEY=… takes the place of all of them"
        ) from error
    try:
        values = parser.parse_object(config)
    except ArgumentError as error:
        message = explain(error, parser, config, help_command="vipl study --help")
        raise UserError(f"{file}: {message}") from error
    study = Study(**vars(parser.instantiate_classes(values)))
    _check(study, file)
    return study


def _with_lists_of_words(config: Config) -> Config:
    """Let the words of commands be numbers."""
    prepare = config.get("prepare")
    if not isinstance(prepare, dict):
        return config
    words = {
        name: [str(word) for word in _flat(command)] if isinstance(command, list) else command
        for name, command in prepare.items()
    }
    return {**config, "prepare": words}


def _flat(command: Iterable[Any]) -> list[Any]:
    """Put the items of lists in a command (the tasks of a setting, for one) in their place."""
    return [word for part in command for word in (part if isinstance(part, list) else [part])]


def _check(study: Study, file: str) -> None:
    if study.setting is not None:
        choose("setting", [study.setting], study.settings)
    if not study.seeds:
        raise UserError(f"{file}: seeds is empty, expected one at least")
    choose("encoder", [study.baseline], study.encoders)
    for name in (*study.encoders, *study.evaluations, *study.prepare):  # of folders, too
        if not is_plain(name):
            raise UserError(f"{file}: the name {name!r} is none of a folder, as vip or vip-1 is")
    for name, encoder in study.encoders.items():
        given = [encoder.train, encoder.name, encoder.untrained]
        if sum(one is not None for one in given) != 1:
            raise UserError(
                f"{file}: the encoder {name!r} must say exactly one of train, name and untrained"
            )
        if encoder.untrained is not None:
            choose("encoder", [encoder.untrained], study.encoders)
            if study.encoders[encoder.untrained].train is None:
                raise UserError(
                    f"{file}: {name!r} is {encoder.untrained!r} before training, which is not "
                    "trained here: name an encoder with train"
                )
    for name, evaluation in study.evaluations.items():
        choose("encoder", evaluation.encoders, study.encoders)
        unknown = sorted(set(evaluation.seeds or ()) - set(study.seeds))
        if unknown:
            raise UserError(
                f"{file}: the evaluation {name!r} asks for seeds {unknown}, expected some of the "
                f"study's {study.seeds}"
            )
