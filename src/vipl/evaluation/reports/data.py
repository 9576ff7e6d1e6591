"""What a report is made of: the files of a results folder, and how its numbers read."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from vipl.errors import UserError
from vipl.evaluation.earlier_keys import as_now, described
from vipl.evaluation.evaluator import (
    BUDGET,
    CONTROLS,
    MAIN,
    ORACLE,
    RANDOM,
    RANDOM_GOAL,
    SPARSE_REWARD,
    TRAJOPT,
    TRUE_REWARD,
)
from vipl.evaluation.reports.statistics import (
    NO_CAMERA,
    Run,
    binary_metrics,
    camera_key,
    is_sampled,
    latest,
    metric_of,
    summarise,
)
from vipl.evaluation.results import FORMAT, FORMAT_VERSION, RECORDS_FILE, Record, read_records
from vipl.evaluation.run_file import RUN_FILE
from vipl.evaluation.wording import NOTHING, number, percent, plural

VARIANTS = (MAIN, *CONTROLS)
"""Those that are compared, the encoder under test first."""

_CONTROLS = {
    ORACLE: "oracle (ground-truth state)",
    RANDOM: "untrained encoder",
    RANDOM_GOAL: "another task's goal",
    SPARSE_REWARD: "rewarded when solved",
    TRUE_REWARD: "rewarded by the ground-truth state",
}


@dataclass(frozen=True)
class Measure:
    """A metric, and how its values are written.

    Attributes:
        name: As in the records.
        label: For people.
        higher_is_better: Its direction.
        binary: Whether it is 0 or 1 in every episode, so that its mean is a rate.
        unit: What an episode is called.
    """

    name: str
    label: str
    higher_is_better: bool
    binary: bool
    unit: str = "episode"

    def text(self, value: float | None, *, unit: bool = True) -> str:
        """Return a mean as text: a rate in per cent, anything else in about three digits."""
        if value is None:
            return NOTHING
        return percent(value, unit=unit) if self.binary else number(value)

    def interval(self, entry: Mapping[str, Any]) -> str:
        """Return the interval of a summary's entry as text, or nothing where there is none."""
        if entry["low"] is None:
            return ""
        return f"[{self.text(entry['low'], unit=False)}, {self.text(entry['high'], unit=False)}]"

    def full(self, entry: Mapping[str, Any]) -> str:
        """Return a mean with its interval as text."""
        return f"{self.text(entry['mean'])} {self.interval(entry)}".strip()

    def count(self, entry: Mapping[str, Any]) -> str:
        """Return how many episodes there are, and for a rate how many of them counted."""
        total = plural(entry["n"], self.unit)
        if not self.binary or entry["mean"] is None:
            return total
        return f"{entry['hits']} of {total}"


@dataclass(frozen=True)
class Results:
    """A results folder as it was read.

    Attributes:
        folder: That `run.json` is in.
        run: What it holds.
        records: The last of each cell.
        unreadable: Lines of `records.jsonl` that are no record, such as one cut off by a kill.
    """

    folder: Path
    run: Run
    records: Sequence[Record]
    unreadable: int = 0

    @cached_property
    def summary(self) -> dict[str, Any]:
        """What `summary.json` is to hold."""
        return summarise(self.records, self.run)

    @cached_property
    def measures(self) -> list[Measure]:
        """The metrics, the primary one first."""
        binary = binary_metrics(self.records, self.run)
        return [
            Measure(name, self.label(name), bool(higher), name in binary, self.unit)
            for name, higher in self.run["higher_is_better"].items()
        ]

    @property
    def sampled(self) -> bool:
        """Whether the tasks are a sample of many alike."""
        return is_sampled(self.run)

    @property
    def unit(self) -> str:
        """What one run of a task is called: an episode, a training, a data set."""
        return str(self.run.get("unit") or "episode")

    @property
    def primary(self) -> Measure:
        """The metric that the tables show."""
        return self.measures[0]

    @cached_property
    def tasks(self) -> dict[str, str]:
        """The tasks that were asked for or run, with their labels."""
        tasks = {name: str(label or "") for name, label in self.run.get("tasks", {}).items()}
        for record in self.records:
            tasks.setdefault(record.task, "")
        return tasks

    @cached_property
    def cameras(self) -> list[str]:
        """The cameras of the encoder under test: none where a suite has none."""
        names = [name for name in self.run.get("cameras") or () if name is not None]
        seen = [camera_key(record) for record in self.records if record.variant == MAIN]
        return [name for name in dict.fromkeys([*names, *seen]) if name != NO_CAMERA]

    def of(self, variant: str) -> list[Record]:
        """Return a variant's records, failed cells left out."""
        return [r for r in self.records if r.variant == variant and r.error is None]

    def has(self, variant: str) -> bool:
        """Whether a variant was asked for or run."""
        return variant in self.summary["variants"]

    def entry(
        self,
        variant: str,
        *,
        task: str | None = None,
        camera: str | None = None,
        metric: str | None = None,
    ) -> dict[str, Any]:
        """Return the summary's entry of a metric for a task and camera; None is all.

        The metric is the primary one where none is named; then the entry also says how many `hits`
        make up a rate. Its n is 0 where nothing was `run`, or what was has no value.
        """
        found: Any = self.summary["variants"].get(variant, {}).get("metrics", {})
        for key in (metric or self.primary.name, *_path(task, camera)):
            found = found.get(key, {})
        entry = found or {"mean": None, "low": None, "high": None, "n": 0, "failed": 0}
        return {**entry, "hits": self._hits[variant, task, camera], "run": bool(found)}

    @cached_property
    def _hits(self) -> Counter[tuple[str, str | None, str | None]]:
        hits: Counter[tuple[str, str | None, str | None]] = Counter()
        for record in self.records:
            if metric_of(record, self.primary.name) == 1:
                for task in (record.task, None):
                    for camera in (camera_key(record), None):
                        hits[record.variant, task, camera] += 1
        return hits

    def solved(self, record: Record) -> bool | None:
        """Whether an episode counts as solved; None where the primary metric does not say."""
        value = metric_of(record, self.primary.name)
        if not self.primary.binary or value is None:
            return None
        return (value == 1) == self.primary.higher_is_better

    def label(self, name: str) -> str:
        """Return a metric's or trace's name for people, with its unit where the suite gives it."""
        return str(self.run.get("labels", {}).get(name) or name.replace("_", " "))

    def variant_label(self, variant: str) -> str:
        """Return a variant's name for people."""
        if variant == MAIN:
            return str(self.run.get("encoder", {}).get("label") or "encoder under test")
        if variant == RANDOM_GOAL and self.sampled:
            return f"another {self.unit}'s goal"
        return _CONTROLS.get(variant, variant.replace("=", " = "))

    @property
    def budget_variants(self) -> dict[str, int]:
        """The variants of the encoder under test with another planning budget, and what it is."""
        budgets = {
            v: v.removeprefix(BUDGET) for v in self.summary["variants"] if v.startswith(BUDGET)
        }
        return {variant: int(text) for variant, text in budgets.items() if text.isdecimal()}

    @property
    def main_budget(self) -> int | None:
        """The number of planning samples of the encoder under test, where it plans."""
        config, protocol = self.run.get("config", {}), self.run.get("protocol", TRAJOPT)
        if not self.run.get("plans"):
            return None
        settings = as_now(protocol, config).get(protocol)
        samples = settings.get("samples") if isinstance(settings, dict) else None
        return samples if isinstance(samples, int) else None


def read_results(folder: Path) -> Results:
    """Read a results folder.

    Raises:
        UserError: If it has no `run.json` that can be read.
    """
    path = folder / RUN_FILE
    try:
        run = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"{folder} has no run.json: expected a folder that `vipl eval` wrote, such as "
            "results/frankakitchen-v1/RUN_ID"
        ) from None
    except ValueError as error:
        raise UserError(f"{path} is not JSON ({error}): run the evaluation again") from error
    if not isinstance(run, dict) or run.get("format") != FORMAT:
        raise UserError(f"{path} is not of an evaluation: expected the format {FORMAT!r}")
    if run.get("format_version") != FORMAT_VERSION:
        raise UserError(
            f"{path} has the format version {run.get('format_version')!r}, expected "
            f"{FORMAT_VERSION}: use the version of vipl that wrote it"
        )
    if not run.get("higher_is_better"):
        raise UserError(f"{path} names no metric: give the suite's higher_is_better at least one")
    records, unreadable = read_records(folder / RECORDS_FILE)
    return Results(folder, described(run), latest(records), len(unreadable))


def _path(task: str | None, camera: str | None) -> tuple[str, ...]:
    if task is None:
        return ("overall",) if camera is None else ("cameras", camera)
    return ("tasks", task) if camera is None else ("tasks_cameras", task, camera)
