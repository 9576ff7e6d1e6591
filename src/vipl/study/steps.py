"""The steps of a study: commands of `vipl`, what each needs, and the folder that each makes."""

import fnmatch
import hashlib
import json
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from vipl.errors import UserError
from vipl.names import choose
from vipl.study.description import EncoderEntry, EvaluationEntry, Study

PREPARE, TRAIN, EVALUATE = "prepare", "train", "evaluate"
SEED = "{seed}"  # in a training's settings: its own; in a word of prepare: all, a word for each


@dataclass(frozen=True)
class Step:
    """A command, and where what it makes is.

    Attributes:
        name: Such as "train/vip/seed0".
        arguments: Of `vipl`.
        output: Folder that it makes.
        needs: Steps that come before it.
        seed: Of the training that it makes or evaluates; 0 where there is none.
    """

    name: str
    arguments: tuple[str, ...]
    output: Path
    needs: tuple["Step", ...] = ()
    seed: int = 0

    def outputs(self) -> list[Path]:
        """Return the folders that it has made."""
        return [self.output] if self.output.exists() else []

    @property
    def place(self) -> str:
        """Where it makes them, as a regular expression."""
        return re.escape(str(self.output))

    @property
    def command(self) -> str:
        """As it is typed."""
        return shlex.join(["vipl", *self.arguments])

    @cached_property
    def fingerprint(self) -> str:
        """Of the command and of all that came before: sha256."""
        content = [list(self.arguments), [step.fingerprint for step in self.needs]]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()


@dataclass(frozen=True)
class EvaluationStep(Step):
    """A step that evaluates an encoder.

    Attributes:
        evaluation: Its name in the study.
        encoder: Its name in the study.
    """

    evaluation: str = ""
    encoder: str = ""

    def outputs(self) -> list[Path]:
        """Return the folders of its results; the version of a suite is in their paths."""
        return sorted(self.output.parent.glob(f"*/{self.output.name}"))

    @property
    def place(self) -> str:
        """Where it makes them, as a regular expression, with any version of the suite."""
        return rf"{re.escape(str(self.output.parent))}/[^/\s]+/{re.escape(self.output.name)}"


def list_steps(study: Study) -> list[Step]:
    """Return all steps of a study, each after those that it needs.

    One seed comes after the other, so that a study that is cut short has all encoders. Data are
    prepared when they are needed: they may be made of what encoders did.

    Raises:
        UserError: If data are not made where they are to be, or of themselves in the end.
    """
    out = Path(study.out)
    prepared = [
        Step(f"{PREPARE}/{name}", _for_each_seed(words, study.seeds), out / "data" / name)
        for name, words in study.prepare.items()
    ]
    for step in prepared:
        if not _names(step, step):
            raise UserError(
                f"prepare.{step.name.partition('/')[2]} does not name the folder that it is to "
                f"make, {step.output}: have its command write there"
            )
    trained = {
        (name, seed): _training(out, name, encoder, seed)
        for name, encoder in study.encoders.items()
        if encoder.train is not None
        for seed in study.seeds
    }
    evaluations = [
        _evaluation(out, (name, entry), encoder, seed, study, trained)
        for name, entry in study.evaluations.items()
        for encoder in (study.encoders if entry.encoders is None else entry.encoders)
        for seed in _seeds(study, entry, encoder)
    ]
    rounds = [*trained.values(), *evaluations]
    return _in_order([*sorted(rounds, key=lambda step: step.seed), *prepared])


def choose_steps(steps: Sequence[Step], patterns: Sequence[str] | None) -> list[Step]:
    """Return the steps whose names match one of the patterns, and all that they need.

    Args:
        steps: Of a study.
        patterns: Such as "evaluate/curves/*" (also without what follows: "evaluate/curves");
            None: all.

    Raises:
        UserError: If a pattern matches none.
    """
    if patterns is None:
        return list(steps)
    wanted: set[str] = set()
    for step in find_steps(steps, patterns):
        wanted |= {step.name, *(need.name for need in everything_before(step))}
    return [step for step in steps if step.name in wanted]


def find_steps(steps: Sequence[Step], patterns: Sequence[str]) -> list[Step]:
    """Return the steps whose names match one of the patterns of `choose_steps`, and no others.

    Raises:
        UserError: If a pattern matches none; near names are listed.
    """
    found = []
    for pattern in patterns:
        own = [step for step in steps if _matches(step, pattern)]
        if not own:
            choose("step", [pattern], [step.name for step in steps])
        found += own
    return found


def _matches(step: Step, pattern: str) -> bool:
    return fnmatch.fnmatchcase(step.name, pattern) or step.name.startswith(f"{pattern}/")


def everything_before(step: Step) -> Iterable[Step]:
    """Yield the steps that a step needs, and those that they need."""
    for need in step.needs:
        yield need
        yield from everything_before(need)


def _for_each_seed(words: Sequence[str], seeds: Sequence[int]) -> tuple[str, ...]:
    """Have each word that names a seed once for every seed."""
    filled: list[str] = []
    for word in words:
        filled += [word.replace(SEED, str(seed)) for seed in seeds] if SEED in word else [word]
    return tuple(filled)


def _training(out: Path, name: str, encoder: EncoderEntry, seed: int) -> Step:
    assert encoder.train is not None
    output = out / "encoders" / name / f"seed{seed}"
    overrides = [word.replace(SEED, str(seed)) for word in to_overrides(encoder.train.set)]
    arguments = ["fit", *_configs(encoder.train.configs), *overrides]
    arguments += [f"seed_everything={seed}", f"run_dir={output}", "ckpt_path=last"]
    return Step(f"{TRAIN}/{name}/seed{seed}", tuple(arguments), output, seed=seed)


def _evaluation(
    out: Path,
    evaluation: tuple[str, EvaluationEntry],
    encoder: str,
    seed: int,
    study: Study,
    trained: dict[tuple[str, int], Step],
) -> Step:
    name, entry = evaluation
    described = study.encoders[encoder]
    training = trained.get((described.untrained or encoder, seed))
    if training is None:
        source = str(described.name)
    else:
        before = training.output / "encoder_initial"
        source = str(before if described.untrained else training.output)
    run_id = f"{name}-{encoder}-seed{seed}"
    arguments = ["eval", *_configs(entry.configs), "--encoder", source]
    arguments += ["--out", str(out / "results"), "--run-id", run_id, *to_overrides(entry.set)]
    return EvaluationStep(
        f"{EVALUATE}/{name}/{encoder}/seed{seed}",
        tuple(arguments),
        out / "results" / run_id,
        evaluation=name,
        encoder=encoder,
        seed=seed,
    )


def _seeds(study: Study, entry: EvaluationEntry, encoder: str) -> list[int]:
    """Return the trainings of an encoder that are evaluated; one that is not trained has one."""
    described = study.encoders[encoder]
    if described.train is None and described.untrained is None:
        return [0]
    return study.seeds if entry.seeds is None else entry.seeds


def _in_order(steps: Sequence[Step]) -> list[Step]:
    """Have each step come after those whose folders its command names.

    Raises:
        UserError: If a step needs, in the end, what it makes.
    """
    ordered: dict[str, Step] = {}

    def put(step: Step, awaited: tuple[str, ...]) -> Step:
        if step.name in awaited:
            raise UserError(f"{' needs '.join([*awaited, step.name])}: none of them can be first")
        if step.name not in ordered:
            named = [one for one in steps if one.name != step.name and _names(step, one)]
            needs = tuple(put(one, (*awaited, step.name)) for one in named)
            ordered[step.name] = replace(step, needs=needs)
        return ordered[step.name]

    for step in steps:
        put(step, ())
    return list(ordered.values())


def _names(step: Step, other: Step) -> bool:
    """Tell whether the command of a step names what another makes."""
    return re.search(rf"{other.place}(?![\w-])", " ".join(step.arguments)) is not None


def _configs(files: Sequence[str]) -> list[str]:
    return [word for file in files for word in ("--config", file)]


def to_overrides(settings: dict[str, Any], prefix: str = "") -> list[str]:
    """Return nested settings as `key=value` arguments, values as JSON where they are no text."""
    words = []
    for key, value in settings.items():
        if isinstance(value, dict) and value:
            words += to_overrides(value, f"{prefix}{key}.")
        else:
            words.append(f"{prefix}{key}={value if isinstance(value, str) else json.dumps(value)}")
    return words
