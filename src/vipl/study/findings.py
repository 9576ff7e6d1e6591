"""What the evaluations of a study came to: figures by encoder, with intervals.

Shapes: S trainings of an encoder, G samples (tasks, or demonstrations).
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from vipl.errors import UserError
from vipl.evaluation.evaluator import MAIN
from vipl.evaluation.intervals import Interval
from vipl.evaluation.reports.data import Measure, Results, read_results
from vipl.evaluation.reports.statistics import metric_of
from vipl.evaluation.results import Record
from vipl.names import choose
from vipl.study.description import EvaluationEntry, Study
from vipl.study.statistics import Table, difference, mean, paired
from vipl.study.steps import EvaluationStep, Step

FEWEST = 6
"""Values that a resampled interval needs: of five, all have one sign by chance once in 16."""


@dataclass(frozen=True)
class Figure:
    """A metric of an encoder in one evaluation.

    Attributes:
        encoder: Its name in the study.
        mean: Over trainings and samples.
        difference: From the baseline, on the samples that both have; None for the baseline.
        trainings: How many were evaluated.
        samples: How many there are.
        records: How many finished cells it is the mean of.
    """

    encoder: str
    mean: Interval
    difference: Interval | None
    trainings: int
    samples: int
    records: int

    @property
    def told_apart(self) -> bool:
        """Whether the difference leaves out 0, and is of enough values to say so."""
        one = self.difference
        return (
            max(self.trainings, self.samples) >= FEWEST
            and one is not None
            and one.low is not None
            and one.high is not None
            and (one.low > 0 or one.high < 0)
        )


class Evaluated:
    """One evaluation of a study, as far as it has been run.

    Args:
        name: In the study.
        entry: In the study.
        results: By encoder and seed of its training.
        baseline: The encoder that others are compared with.
    """

    def __init__(
        self,
        name: str,
        entry: EvaluationEntry,
        results: Mapping[tuple[str, int], Results],
        baseline: str,
    ) -> None:
        self.name = name
        self.entry = entry
        self.results = results
        self.baseline = baseline
        self._figures: dict[tuple[str, int | None], list[Figure]] = {}

    @property
    def encoders(self) -> list[str]:
        """Those with results."""
        return list(dict.fromkeys(encoder for encoder, _ in self.results))

    @cached_property
    def measures(self) -> list[Measure]:
        """The metrics that the page shows.

        Raises:
            UserError: If the study names one that the suite has not.
        """
        first = next(iter(self.results.values()))
        known = {measure.name: measure for measure in first.measures}
        binary = {
            name: all(
                found.binary
                for results in self.results.values()
                for found in results.measures
                if found.name == name
            )
            for name in known
        }
        chosen = choose("metric", self.entry.metrics or None, known)
        return [
            Measure(name, known[name].label, known[name].higher_is_better, binary[name])
            for name in chosen
        ]

    @cached_property
    def budgets(self) -> list[int]:
        """Planning budgets that every encoder has been run with, where there are several."""
        found = [set(_variants(results)) for results in self.results.values()]
        shared = sorted(set.intersection(*found)) if found else []
        return shared if len(shared) > 1 else []

    def figures(self, metric: str, *, budget: int | None = None) -> list[Figure]:
        """Return a metric of each encoder.

        Args:
            metric: Of `measures`.
            budget: Number of planning samples; None: as the evaluation is configured.
        """
        if (metric, budget) not in self._figures:  # resampling takes its time
            self._figures[metric, budget] = self._resample(metric, budget)
        return self._figures[metric, budget]

    def _resample(self, metric: str, budget: int | None) -> list[Figure]:
        measure = next(one for one in self.measures if one.name == metric)
        tables = {encoder: self.table(encoder, metric, budget=budget) for encoder in self.encoders}
        figures = []
        for encoder, (table, records) in tables.items():
            apart = None
            if encoder != self.baseline and self.baseline in tables:
                apart = difference(*paired(table, tables[self.baseline][0]))
            known, _ = paired(table, table)
            whole = mean(known, binary=measure.binary)
            trainings, samples = known.shape
            figures.append(Figure(encoder, whole, apart, trainings, samples, records))
        return figures

    def table(self, encoder: str, metric: str, *, budget: int | None = None) -> tuple[Table, int]:
        """Return an encoder's values [S, G], NaN where there is none, and how many records."""
        seeds = [seed for name, seed in self.results if name == encoder]
        values: list[dict[str, list[float]]] = []
        for seed in seeds:
            found: dict[str, list[float]] = defaultdict(list)
            for record in _records(self.results[encoder, seed], budget):
                value = metric_of(record, metric)
                if value is not None:
                    found[self.sample(record)].append(value)
            values.append(found)
        records = sum(len(group) for found in values for group in found.values())
        rows = [[_mean(found.get(name)) for name in self.samples] for found in values]
        return np.array(rows, dtype=np.float64).reshape(len(seeds), len(self.samples)), records

    @cached_property
    def samples(self) -> list[str]:
        """All samples of all encoders."""
        every = (
            self.sample(record) for results in self.results.values() for record in results.of(MAIN)
        )
        return sorted(dict.fromkeys(every))

    def sample(self, record: Record) -> str:
        """Return the sample that a record is of."""
        if self.entry.sample is None:
            return record.task
        found = re.search(self.entry.sample, record.task)
        if found is None or not found.groups():
            raise UserError(
                f"evaluations.{self.name}.sample is {self.entry.sample!r}, whose first group finds "
                f"nothing in {record.task!r}"
            )
        return found[1]

    @property
    def failed(self) -> int:
        """How many cells ended in an error."""
        return sum(
            record.error is not None for one in self.results.values() for record in one.records
        )


def read_findings(study: Study, steps: Sequence[Step]) -> list[Evaluated]:
    """Read what there is of a study's evaluations, in the study's order.

    Args:
        study: The study.
        steps: All of it.
    """
    found: dict[str, dict[tuple[str, int], Results]] = {name: {} for name in study.evaluations}
    for step, results in _results(steps):
        found[step.evaluation][step.encoder, step.seed] = results
    return [
        Evaluated(name, entry, found[name], study.baseline)
        for name, entry in study.evaluations.items()
        if any(results.of(MAIN) for results in found[name].values())
    ]


def _results(steps: Sequence[Step]) -> Iterator[tuple[EvaluationStep, Results]]:
    for step in steps:
        if isinstance(step, EvaluationStep):
            for folder in step.outputs():
                yield step, read_results(folder)


def _variants(results: Results) -> dict[int, str]:
    """Return the variants by their planning budget."""
    found = {samples: variant for variant, samples in results.budget_variants.items()}
    if results.main_budget is not None:
        found[results.main_budget] = MAIN
    return found


def _records(results: Results, budget: int | None) -> list[Record]:
    return results.of(MAIN if budget is None else _variants(results)[budget])


def _mean(values: list[float] | None) -> float:
    return float(np.mean(values)) if values else float("nan")
