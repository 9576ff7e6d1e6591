"""The page of a study: every figure, how sure it is, and the line that makes it again."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vipl.evaluation.reports.comparison.rows import difference_rows, make_row, mean_axis
from vipl.evaluation.reports.comparison.text import full, signed
from vipl.evaluation.reports.data import Measure
from vipl.evaluation.reports.pages import render_page, write_page
from vipl.evaluation.reports.plots import Plot, Shape, bar, budget_axis, dot, line
from vipl.evaluation.reports.success import Mark, Rows, TaskRow
from vipl.evaluation.wording import plural
from vipl.files import write_csv
from vipl.study.description import Study
from vipl.study.findings import FEWEST, Evaluated, Figure, read_findings
from vipl.study.runner import StepRecord, in_words, is_done, read_record
from vipl.study.steps import EVALUATE, Step

PAGE_FILE, TABLE_FILE = "study.html", "figures.csv"
_COLOURS = 12  # that the style sheet has for encoders
_MAX_SAMPLES = 40  # that a table shows one by one


@dataclass(frozen=True)
class MetricCard:
    """A metric of an evaluation: means, differences from the baseline, samples, budgets."""

    measure: Measure
    means: Rows
    differences: Rows
    columns: tuple[str, ...]
    samples: tuple[TaskRow, ...]
    budgets: Plot | None


@dataclass(frozen=True)
class EvaluationPart:
    """A section of the page."""

    name: str
    label: str
    about: str
    failed: int
    cards: tuple[MetricCard, ...]
    again: str


@dataclass(frozen=True)
class StepLine:
    """How a step went."""

    name: str
    state: str
    time: str
    command: str


def write_study(study: Study, steps: Sequence[Step], *, command: str) -> Path:
    """Write the page and the table of a study, of what has been run; return the page.

    Args:
        study: The study.
        steps: All of it.
        command: That was typed, without options: what follows makes parts of it again.
    """
    out = Path(study.out)
    findings = read_findings(study, steps)
    write_csv(
        out / TABLE_FILE,
        (
            "evaluation", "encoder", "metric", "mean", "low", "high", "difference",
            "difference_low", "difference_high", "trainings", "samples", "records", "again",
        ),
        _table(study, findings, command),
    )  # fmt: skip
    write_page(out / PAGE_FILE, render_study(study, steps, findings, command=command))
    return out / PAGE_FILE


def render_study(
    study: Study, steps: Sequence[Step], findings: Sequence[Evaluated], *, command: str
) -> str:
    """Return the page."""
    out = Path(study.out)
    records = [read_record(out, step) for step in steps]
    done = sum(is_done(out, step) for step in steps)
    seconds = sum(record.seconds for record in records if record is not None)
    return render_page(
        "study.html.jinja",
        study=study,
        command=command,
        baseline=study.encoders[study.baseline].label,
        fewest=FEWEST,
        done=done,
        total=len(steps),
        took=in_words(seconds),
        overview=_overview(study, findings),
        columns=[(one.entry.label, measure) for one in findings for measure in one.measures],
        kinds={_kind(study, name): entry.label for name, entry in study.encoders.items()},
        parts=[_part(study, one, command) for one in findings],
        steps=[_line(out, step, record) for step, record in zip(steps, records, strict=True)],
        facts=_facts(findings),
    )


def _kind(study: Study, encoder: str) -> str:
    return f"e{list(study.encoders).index(encoder) % _COLOURS}"


def _count(figure: Figure) -> str:
    parts = [plural(figure.records, "cell")]
    if figure.trainings > 1:
        parts.append(plural(figure.trainings, "training"))
    return ", ".join([*parts, f"{figure.samples} samples"])


def _overview(study: Study, findings: Sequence[Evaluated]) -> list[TaskRow]:
    """Return a line an encoder, with each metric of each evaluation."""
    marks: dict[str, list[Mark]] = {name: [] for name in study.encoders}
    for one in findings:
        for measure in one.measures:
            figures = {f.encoder: f for f in one.figures(measure.name)}
            for name, row in marks.items():
                row.append(_mark(measure, figures.get(name)))
    return [
        TaskRow(study.encoders[name].label, study.encoders[name].change, tuple(row))
        for name, row in marks.items()
        if any(mark.text for mark in row)
    ]


def _mark(measure: Measure, figure: Figure | None) -> Mark:
    """Return a place of the overview; a word says how it is told apart from the baseline."""
    if figure is None or figure.mean.mean is None:
        return Mark("", "", "not evaluated", None)
    text, _, limits = full(measure, figure.mean).partition(" ")
    title = _count(figure)
    if figure.difference is not None:
        title += f"; difference {signed(measure, figure.difference)}"
    if figure.told_apart and figure.difference is not None:
        higher = (figure.difference.mean or 0) > 0
        better = higher == measure.higher_is_better
        limits = f"{limits} {'better' if better else 'worse'}"
    return Mark(text, limits, title, None)


def _part(study: Study, one: Evaluated, command: str) -> EvaluationPart:
    return EvaluationPart(
        one.name,
        one.entry.label,
        one.entry.about,
        one.failed,
        tuple(_card(study, one, measure) for measure in one.measures),
        f"{command} --only {shlex.quote(f'{EVALUATE}/{one.name}')}",
    )


def _card(study: Study, one: Evaluated, measure: Measure) -> MetricCard:
    figures = one.figures(measure.name)
    axis = mean_axis(measure, [figure.mean for figure in figures])
    means = tuple(
        make_row(
            study.encoders[figure.encoder].label,
            _kind(study, figure.encoder),
            (full(measure, figure.mean), _count(figure)),
            figure.mean,
            axis,
        )
        for figure in figures
    )
    differences = [
        (
            study.encoders[figure.encoder].label,
            _kind(study, figure.encoder),
            figure.difference,
            "told apart" if figure.told_apart else "not told apart",
        )
        for figure in figures
        if figure.difference is not None
    ]
    return MetricCard(
        measure,
        Rows(axis, means),
        difference_rows(measure, differences),
        tuple(_kind(study, name) for name in one.encoders),
        _samples(study, one, measure) if 1 < len(one.samples) <= _MAX_SAMPLES else (),
        _budgets(study, one, measure) if one.budgets else None,
    )


def _samples(study: Study, one: Evaluated, measure: Measure) -> tuple[TaskRow, ...]:
    """Return a line a sample: the mean over trainings of each encoder."""
    tables = [one.table(name, measure.name)[0] for name in one.encoders]
    known = np.concatenate([table[np.isfinite(table)] for table in tables])
    low, high = (0.0, 1.0) if measure.binary else (known.min(), known.max())
    rows = []
    for number, sample in enumerate(one.samples):
        marks = []
        for table in tables:
            values = table[:, number]
            value = float(values.mean()) if np.isfinite(values).all() else None
            share = 0.0 if value is None or high == low else (value - low) / (high - low)
            strength = share if measure.higher_is_better else 1 - share
            marks.append(
                Mark(measure.text(value), "", "", None if value is None else round(strength, 3))
            )
        rows.append(TaskRow(sample, "", tuple(marks)))
    return tuple(rows)


def _budgets(study: Study, one: Evaluated, measure: Measure) -> Plot:
    """Return the metric against the number of planning samples, a line an encoder."""
    x = budget_axis(one.budgets)
    places = np.log2(one.budgets)
    found = [one.figures(measure.name, budget=budget) for budget in one.budgets]
    y = mean_axis(measure, [figure.mean for figures in found for figure in figures])
    lines, dots = [], []
    for encoder in one.encoders:
        kind = _kind(study, encoder)
        means = [next(f.mean for f in figures if f.encoder == encoder) for figures in found]
        values = np.array([interval.mean for interval in means], dtype=np.float64)
        lines.append(Shape(line(places, values, x, y), kind))
        for place, interval in zip(places.tolist(), means, strict=True):
            if interval.mean is None:
                continue
            if interval.low is not None and interval.high is not None:
                path = bar(place, interval.low, interval.high, x, y)
                lines.append(Shape(path, f"{kind} whisker"))
            title = f"{study.encoders[encoder].label}: {full(measure, interval)}"
            dots.append(Shape(dot(place, interval.mean, x, y), kind, title))
    kinds = {_kind(study, name): study.encoders[name].label for name in one.encoders}
    return Plot(measure.label, x, y, lines=tuple(lines), dots=tuple(dots), kinds=kinds)


def _line(out: Path, step: Step, record: StepRecord | None) -> StepLine:
    state = "done" if is_done(out, step) else "not finished" if record else "not run"
    time = in_words(record.seconds) if record is not None else ""
    return StepLine(step.name, state, time, step.command)


def _facts(findings: Sequence[Evaluated]) -> list[tuple[str, str, str]]:
    """Return what each encoder and its inputs hash to, as its evaluation noted."""
    rows: dict[tuple[str, int], tuple[str, str, str]] = {}
    for one in findings:
        for (encoder, seed), results in one.results.items():
            sha256 = results.run.get("encoder", {}).get("sha256")
            if sha256 and (encoder, seed) not in rows:
                rows[encoder, seed] = (f"{encoder}, seed {seed}", "encoder sha256", str(sha256))
    inputs = {
        (one.entry.label, word, str(value))
        for one in findings
        for results in one.results.values()
        for word, value in results.run.get("inputs", {}).items()
    }
    machines = {
        ("all", word, str(value))
        for one in findings
        for results in one.results.values()
        for word, value in (
            *results.run.get("machine", {}).items(),
            *results.run.get("packages", {}).items(),
            ("git revision", results.run.get("git")),
        )
        if value is not None
    }
    return [*rows.values(), *sorted(inputs), *sorted(machines)]


def _table(study: Study, findings: Sequence[Evaluated], command: str) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for one in findings:
        for measure in one.measures:
            for figure in one.figures(measure.name):
                apart, whole = figure.difference, figure.mean
                ends = (None, None, None) if apart is None else (apart.mean, apart.low, apart.high)
                again = f"{command} --only {shlex.quote(f'{EVALUATE}/{one.name}/{figure.encoder}')}"
                rows.append(
                    (
                        one.name, figure.encoder, measure.name, whole.mean, whole.low, whole.high,
                        *ends, figure.trainings, figure.samples, figure.records, again,
                    )
                )  # fmt: skip
    return rows
