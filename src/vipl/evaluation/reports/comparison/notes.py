"""What a reader of a comparison must know: which cells there are, and what is left out."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from vipl.evaluation.reports.comparison.runs import (
    LabelledRun,
    Place,
    same_evaluations,
    unknown_settings,
)
from vipl.evaluation.reports.data import Measure
from vipl.evaluation.results import Record
from vipl.evaluation.wording import plural


def few(names: Sequence[str]) -> str:
    """Return the first of some names, and how many more there are."""
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def by_task(places: Iterable[Place]) -> dict[str, list[Place]]:
    """Return places by their task, in the order in which they come."""
    tasks: dict[str, list[Place]] = {}
    for place in places:
        tasks.setdefault(place[0], []).append(place)
    return tasks


def find_notes(
    runs: Sequence[LabelledRun],
    measure: Measure,
    episodes: Sequence[Mapping[Place, Record]],
    shared: Sequence[Place],
) -> Iterator[str]:
    """Yield what a reader must know of the cells and settings, a sentence each.

    Args:
        runs: That are compared.
        measure: The metric.
        episodes: Of each run: its records that have the metric.
        shared: Cells of all runs.
    """
    for run, found in zip(runs, episodes, strict=True):
        yield from _gaps(run, measure, found)
    places, tasks = set(shared), by_task(shared)
    for run, found in zip(runs, episodes, strict=True):
        left = by_task(place for place in found if place not in places)
        count = sum(map(len, left.values()))
        whole = [task for task in left if task not in tasks]
        if count:
            yield (
                f"{run.label}: {count} of {plural(len(found), 'cell')} left out, as not every run "
                f"has them{f' (all of {few(whole)})' if whole else ''}"
            )
    for one, other in same_evaluations(runs):
        yield f"{one} and {other} are the same encoder with the same settings"
    by_runs: dict[str, list[str]] = {}
    for section, labels in unknown_settings(runs).items():
        by_runs.setdefault(few(labels), []).append(section)
    for labels_text, sections in by_runs.items():
        yield f"{labels_text}: made without the settings {', '.join(sections)}, which others have"


def _gaps(run: LabelledRun, measure: Measure, found: Mapping[Place, Record]) -> Iterator[str]:
    """Yield what a run lacks."""
    if len(run.finished) < run.planned:
        yield f"{run.label}: {len(run.finished)} of {plural(run.planned, 'cell')} finished so far"
    if run.failed:
        yield f"{run.label}: {plural(run.failed, 'cell')} failed"
    if lacking := len(run.finished) - run.failed - len(found):
        yield f"{run.label}: {plural(lacking, 'cell')} without a value of {measure.name}"
    if run.results.unreadable:
        lines = plural(run.results.unreadable, "line")
        yield f"{run.label}: {lines} of records.jsonl could not be read"
