"""The runs that `vipl compare` is given: found, labelled, and checked to be comparable."""

import difflib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

from vipl.errors import UserError
from vipl.evaluation.evaluator import MAIN
from vipl.evaluation.reports.data import Measure, Results, read_results
from vipl.evaluation.reports.statistics import metric_of, place_of
from vipl.evaluation.results import RECORDS_FILE, Record
from vipl.evaluation.run_file import RUN_FILE, identifying_settings
from vipl.evaluation.wording import NOTHING, plural
from vipl.names import choose

Place: TypeAlias = tuple[str, str | None, int]
"""Task, camera and seed: what makes cells of two runs the same."""

# What is compared, what must not differ, and what only chooses cells.
_NO_SETTING = frozenset({"encoder", "suite", "tasks", "cameras", "seeds", "controls", "budgets"})
_FILES_OF_A_RUN = (RECORDS_FILE, RUN_FILE, "summary.json", "report.html")


@dataclass(frozen=True)
class LabelledRun:
    """A run under the name that it has in this comparison.

    Attributes:
        label: Unique.
        results: As its folder was read.
    """

    label: str
    results: Results

    def episodes(self, metric: str) -> dict[Place, Record]:
        """Return the records of the encoder under test that have a finite value of a metric."""
        records = self.results.of(MAIN)
        return {place_of(r): r for r in records if metric_of(r, metric) is not None}

    @cached_property
    def finished(self) -> list[Record]:
        """Records of the encoder under test, failed ones included."""
        return [record for record in self.results.records if record.variant == MAIN]

    @property
    def failed(self) -> int:
        """How many of them failed."""
        return sum(record.error is not None for record in self.finished)

    @property
    def planned(self) -> int:
        """How many cells of the encoder under test the run is to have."""
        planned: Mapping[str, int] = self.results.run.get("cells") or {}
        return planned.get(MAIN, 0)

    @property
    def suite(self) -> str:
        """Name and version, as the folder of its results is called."""
        suite = self.results.run.get("suite", {})
        return f"{suite.get('name')}-v{suite.get('version')}"


def read_runs(texts: Sequence[str]) -> list[LabelledRun]:
    """Read runs given as RUN or LABEL=RUN, RUN being a folder of results or a file in it.

    A run without a label is called like its encoder or, where another is called so too, like its
    folder.

    Raises:
        UserError: If there are fewer than two, one cannot be read, or two have one label.
    """
    if len(texts) < 2:
        raise UserError(f"{texts[0]} is one run: name two or more to compare")
    given = [_split(text) for text in texts]
    results = [read_results(find_run(text)) for _, text in given]
    own = [run.variant_label(MAIN) for run in results]
    proposed = [label or name for (label, _), name in zip(given, own, strict=True)]
    labels = [
        label or (name if proposed.count(name) == 1 else run.folder.resolve().name)
        for (label, _), name, run in zip(given, own, results, strict=True)
    ]
    for label, count in Counter(labels).items():
        if count > 1:
            raise UserError(f"{count} runs are called {label!r}: name them by LABEL=RUN")
    return [LabelledRun(label, run) for label, run in zip(labels, results, strict=True)]


def find_run(text: str) -> Path:
    """Return the folder of a run.

    Args:
        text: The folder, or a file of it such as its `records.jsonl`.

    Raises:
        UserError: If there is none; near names are listed.
    """
    path = Path(text).expanduser()
    if path.is_file():
        if path.name not in _FILES_OF_A_RUN:
            raise UserError(f"{path} is no run: expected a folder of results or its records.jsonl")
        return path.parent
    if not path.is_dir():
        raise UserError(f"there is no run {path}{_near(path)}")
    if not (path / RUN_FILE).is_file():
        below = sorted({*path.glob(f"*/{RUN_FILE}"), *path.glob(f"*/*/{RUN_FILE}")})
        if below:
            names = ", ".join(str(found.parent) for found in below[:3])
            more = ", …" if len(below) > 3 else ""
            raise UserError(f"{path} holds {plural(len(below), 'run')}: name each, {names}{more}")
    return path


def check_comparable(runs: Sequence[LabelledRun]) -> None:
    """Check that the runs are of one suite and version, and agree on what is better.

    Raises:
        UserError: If not; it says what differs.
    """
    first = runs[0]
    for other in runs[1:]:
        if other.suite != first.suite:
            raise UserError(
                f"{first.label} is of {first.suite} and {other.label} of {other.suite}: only runs "
                "of one suite and one version of it can be compared; evaluate one again"
            )
        directions = first.results.run["higher_is_better"], other.results.run["higher_is_better"]
        for name in directions[0].keys() & directions[1].keys():
            if directions[0][name] != directions[1][name]:
                raise UserError(
                    f"{first.label} and {other.label} disagree on whether a higher {name} is "
                    f"better, though both are of {first.suite}: run one again"
                )


def choose_measure(runs: Sequence[LabelledRun], metric: str | None) -> Measure:
    """Return a metric that all runs have, by default the suite's first.

    Raises:
        UserError: If they have none of that name.
    """
    measures = [{one.name: one for one in run.results.measures} for run in runs]
    common = [name for name in measures[0] if all(name in known for known in measures)]
    if not common:
        raise UserError(f"the runs have no metric in common: {', '.join(measures[0])} in the first")
    (name,) = choose("metric", [metric or common[0]], common)
    one = measures[0][name]
    binary = all(known[name].binary for known in measures)
    return Measure(name, one.label, one.higher_is_better, binary)


def differing_settings(runs: Sequence[LabelledRun]) -> dict[str, list[str]]:
    """Return the settings that can move a number and are not the same in all runs.

    Returns:
        Key, as in the configuration, to each run's value as text. A run that was made before there
        was such a key has none; where only that differs, the key is left out.

    Raises:
        UserError: If a run does not say its settings.
    """
    settings = [_settings(run) for run in runs]
    keys = dict.fromkeys(key for one in settings for key in one)
    rows = {key: [one.get(key, NOTHING) for one in settings] for key in keys}
    return {key: values for key, values in rows.items() if len({*values} - {NOTHING}) > 1}


def unknown_settings(runs: Sequence[LabelledRun]) -> dict[str, list[str]]:
    """Return the sections of settings that not all runs have: to the labels of those without."""
    settings = [_settings(run) for run in runs]
    missing: dict[str, dict[str, None]] = {}
    for key in dict.fromkeys(key for one in settings for key in one):
        for run, one in zip(runs, settings, strict=True):
            if key not in one:
                missing.setdefault(key.partition(".")[0], {})[run.label] = None
    return {section: list(labels) for section, labels in missing.items()}


def same_evaluations(runs: Sequence[LabelledRun]) -> list[tuple[str, str]]:
    """Return the pairs of runs that have one encoder and the same settings."""
    known: dict[str, str] = {}
    pairs = []
    for run in runs:
        identity = run.results.run["encoder"].get("identity")
        text = json.dumps([identity, _settings(run)], sort_keys=True)
        if text in known:
            pairs.append((known[text], run.label))
        known.setdefault(text, run.label)
    return pairs


def _settings(run: LabelledRun) -> dict[str, str]:
    try:
        settings = identifying_settings(run.results.run)
    except (KeyError, TypeError, AttributeError) as error:
        path = run.results.folder / RUN_FILE
        raise UserError(f"{path} does not say its settings ({error!r}): run it again") from error
    return {key: _text(value) for key, value in settings.items() if key not in _NO_SETTING}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _split(text: str) -> tuple[str | None, str]:
    """Return the label, if one is given, and the run: a path may hold `=` too."""
    label, equals, rest = text.partition("=")
    if not equals or "/" in label or Path(text).expanduser().exists():
        return None, text
    if not label.strip() or not rest:
        raise UserError(f"{text!r} is no run: expected RUN or LABEL=RUN")
    return label.strip(), rest


def _near(path: Path) -> str:
    """Return what there is in the place of a path that is not there."""
    missing = path
    while not missing.parent.is_dir():
        missing = missing.parent
    names = sorted(one.name for one in missing.parent.iterdir() if one.is_dir())
    near = [name for name in names if name.startswith(missing.name)]
    near += difflib.get_close_matches(missing.name, names, n=3, cutoff=0.5)
    if near:
        found = list(dict.fromkeys(near))[:3]
        return f": did you mean {' or '.join(str(missing.parent / name) for name in found)}?"
    shown = [name for name in names if not name.startswith(".")][:5]
    return f": {missing.parent} holds {', '.join(shown)}" if shown else ""
