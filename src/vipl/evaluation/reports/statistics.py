"""What records amount to: means over episodes with intervals, and the summary of an evaluation."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeAlias

import numpy as np

from vipl.evaluation.intervals import CONFIDENCE, Interval, bootstrap_mean
from vipl.evaluation.results import Record

Run: TypeAlias = Mapping[str, Any]

NO_CAMERA = "none"
SUCCESS = "success"


def mean_over_tasks(
    records: Iterable[Record], name: str, *, binary: bool, sampled: bool = False
) -> Interval:
    """Return a metric's mean over tasks and its interval, of the records that have the metric.

    Args:
        records: Of one variant.
        name: Of the metric.
        binary: Whether it can only be 0 or 1.
        sampled: Whether the tasks are a sample themselves: then tasks are resampled, each with its
            mean, and n counts them. Else episodes are, within each task.
    """
    values = [(record.task, metric_of(record, name)) for record in records]
    known = [(task, value) for task, value in values if value is not None]
    if sampled:
        of_task: dict[str, list[float]] = defaultdict(list)
        for task, value in known:
            of_task[task].append(value)
        return bootstrap_mean([float(np.mean(own)) for own in of_task.values()], binary=binary)
    return bootstrap_mean(
        [value for _, value in known], strata=[task for task, _ in known], binary=binary
    )


def summarise(records: Iterable[Record], run: Run) -> dict[str, Any]:
    """Return what `summary.json` holds: JSON values, with null where there is no number.

    `variants` has, for each variant, `metrics`: for each metric `higher_is_better` and its
    `overall` (the mean over tasks), `tasks`, `cameras` and `tasks_cameras` entries, each with
    `mean, low, high, n` and `failed`, the number of cells that ended in an error. A metric called
    "success" also gives `solved_by_majority`: for each task and camera whether more than half of
    the seeds succeeded, or null while the seeds to come can still decide. `cells` counts, for
    each variant, what was `planned`, is `finished` (failed ones included) and has `failed`.
    A camera of None is called "none". Where a run's tasks are a sample, intervals are over tasks,
    and n counts these.

    Args:
        records: In the order in which they were made: of one cell the last counts.
        run: What `run.json` holds.
    """
    by_variant: dict[str, list[Record]] = {variant: [] for variant in run.get("cells", {})}
    for record in latest(records):
        by_variant.setdefault(record.variant, []).append(record)
    binary = binary_metrics((record for cells in by_variant.values() for record in cells), run)
    return {
        "format": "vipl-summary",
        "format_version": 1,
        "run_id": run.get("run_id"),
        "confidence": CONFIDENCE,
        "cells": {
            variant: {
                "planned": run.get("cells", {}).get(variant, len(cells)),
                "finished": len(cells),
                "failed": _failed(cells),
            }
            for variant, cells in by_variant.items()
        },
        "variants": {
            variant: _variant(cells, run, binary) for variant, cells in by_variant.items()
        },
    }


def is_sampled(run: Run) -> bool:
    """Tell whether a run's tasks are a sample of many alike."""
    return bool(run.get("sampled_tasks"))


def latest(records: Iterable[Record]) -> list[Record]:
    """Return the last record of each cell: one that was run again replaces what it was."""
    return list({record.cell: record for record in records}.values())


def place_of(record: Record) -> tuple[str, str | None, int]:
    """Return the task, camera and seed, by which the variants' episodes are matched."""
    return record.task, record.camera, record.seed


def camera_key(record: Record) -> str:
    """Return the name of the record's camera, as the summary calls it."""
    return NO_CAMERA if record.camera is None else str(record.camera)


def metric_of(record: Record, name: str) -> float | None:
    """Return a metric's value, or None where the record has no finite one."""
    value = record.metrics.get(name) if record.error is None else None
    return float(value) if value is not None and math.isfinite(value) else None


def binary_metrics(records: Iterable[Record], run: Run) -> set[str]:
    """Return the metrics whose values are all 0 or 1; success is one before there are any.

    Where tasks are sampled there are none: what is measured of a sample is no yes or no.
    """
    if is_sampled(run):
        return set()
    yes_or_no = [name for name in run["higher_is_better"] if name not in run.get("graded", ())]
    seen: dict[str, set[float | None]] = {name: set() for name in yes_or_no}
    for record in records:
        for name, values in seen.items():
            values.add(metric_of(record, name))
    found = {name: values - {None} for name, values in seen.items()}
    return {
        name for name, values in found.items() if values <= {0, 1} and (values or name == SUCCESS)
    }


def _variant(records: Sequence[Record], run: Run, binary: set[str]) -> dict[str, Any]:
    metrics = {
        name: {
            "higher_is_better": higher,
            **_groups(records, name, name in binary, is_sampled(run)),
        }
        for name, higher in run["higher_is_better"].items()
    }
    result: dict[str, Any] = {"metrics": metrics}
    if SUCCESS in metrics:
        result["solved_by_majority"] = _majorities(records, len(run.get("seeds", ())))
    return result


def _groups(records: Sequence[Record], name: str, binary: bool, sampled: bool) -> dict[str, Any]:
    tasks: dict[str, list[Record]] = defaultdict(list)
    cameras: dict[str, list[Record]] = defaultdict(list)
    both: dict[str, dict[str, list[Record]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        tasks[record.task].append(record)
        cameras[camera_key(record)].append(record)
        both[record.task][camera_key(record)].append(record)

    def entry(group: Sequence[Record]) -> dict[str, Any]:
        return _entry(group, name, binary, sampled)

    def by_camera(
        groups: Mapping[str, list[Record]], whole: dict[str, Any]
    ) -> dict[str, dict[str, Any]]:
        if len(groups) == 1:  # the same records: nothing to compute again
            return {camera: whole for camera in groups}
        return {camera: entry(group) for camera, group in groups.items()}

    overall = entry(records)
    of_task = {task: entry(group) for task, group in tasks.items()}
    return {
        "overall": overall,
        "tasks": of_task,
        "cameras": by_camera(cameras, overall),
        "tasks_cameras": {task: by_camera(groups, of_task[task]) for task, groups in both.items()},
    }


def _entry(records: Sequence[Record], name: str, binary: bool, sampled: bool) -> dict[str, Any]:
    interval = mean_over_tasks(records, name, binary=binary, sampled=sampled)
    return {**asdict(interval), "failed": _failed(records)}


def _failed(records: Sequence[Record]) -> int:
    return sum(record.error is not None for record in records)


def _majorities(records: Sequence[Record], seeds: int) -> dict[str, dict[str, bool | None]]:
    outcomes: dict[str, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        outcomes[record.task][camera_key(record)].append(metric_of(record, SUCCESS) == 1)
    return {
        task: {camera: _majority(solved, seeds) for camera, solved in cameras.items()}
        for task, cameras in outcomes.items()
    }


def _majority(solved: Sequence[bool], seeds: int) -> bool | None:
    total = max(seeds, len(solved))
    if 2 * sum(solved) > total:
        return True
    can_still = 2 * (sum(solved) + total - len(solved)) > total
    return None if can_still else False
