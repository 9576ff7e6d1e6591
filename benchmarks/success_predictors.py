"""Which figure of an encoder tells whether its reward solves the task.

`python -m benchmarks.success_predictors runs/studies/curve_to_control/rdoor_close` reads what
studies/curve_to_control has made so far. For every figure it says how often, of two trainings of
which one solves the task and the other does not, it is better for the former (the area under the
ROC curve: one half is chance; ties count half). The interval resamples trainings: 95%, percentile
bootstrap.
"""

import argparse
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu

from vipl.evaluation.evaluator import MAIN
from vipl.evaluation.results import RECORDS_FILE, read_records
from vipl.evaluation.statistics import latest

PLANNED = "planned"


class Figure(NamedTuple):
    """What may tell it.

    Attributes:
        evaluation: Of the study.
        metric: Of its records.
        sign: 1 where higher is better, -1 where lower is.
    """

    evaluation: str
    metric: str
    sign: int


FIGURES = (
    Figure("curves", "bumps", -1),
    Figure("curves", "value_order_correlation", 1),
    Figure("correlation", "value_correlation", 1),
    Figure("correlation", "object_sensitivity", 1),
)


def mean_metric(results: Path, evaluation: str, training: str, metric: str) -> float:
    """Return a metric's mean over a training's records; not a number where there are none."""
    for run in results.glob(f"*/{evaluation}-{training}"):
        records = latest(read_records(run / RECORDS_FILE)[0])
        own = [r.metrics[metric] for r in records if r.variant == MAIN and metric in r.metrics]
        return float(np.mean(own)) if own else np.nan
    return np.nan


def area(values: NDArray[np.float64], solved: NDArray[np.bool_]) -> float:
    """Return how often a value of a solved one is above that of one that is not."""
    if solved.all() or not solved.any():
        return np.nan
    count = mannwhitneyu(values[solved], values[~solved]).statistic
    return float(count / (solved.sum() * (~solved).sum()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", type=Path, metavar="FOLDER", help="the study's `out`")
    parser.add_argument("--without", nargs="*", default=[], metavar="ENCODER", help="leave out")
    parser.add_argument("--resamples", type=int, default=4000)
    args = parser.parse_args()
    results: Path = args.study / "results"
    names = sorted(run.name.removeprefix(f"{PLANNED}-") for run in results.glob(f"*/{PLANNED}-*"))
    names = [name for name in names if name.rpartition("-seed")[0] not in args.without]
    columns = [(PLANNED, "success"), *((figure.evaluation, figure.metric) for figure in FIGURES)]
    table = np.array([[mean_metric(results, e, name, m) for e, m in columns] for name in names])
    table = table.reshape(-1, len(columns))
    table = table[np.isfinite(table).all(axis=1)]
    if len(set(table[:, 0] > 0.5)) < 2:
        raise SystemExit(f"{results}: no two trainings of which one solves the task, one does not")
    solved, rng = table[:, 0] > 0.5, np.random.default_rng(0)
    draws = rng.integers(len(table), size=(args.resamples, len(table)))
    found = {}
    for figure, column in zip(FIGURES, table.T[1:], strict=True):
        values = figure.sign * column
        resampled = [area(values[rows], solved[rows]) for rows in draws]
        low, high = np.nanpercentile(resampled, [2.5, 97.5])
        found[figure.metric] = [round(float(x), 3) for x in (area(values, solved), low, high)]
        print(f"{figure.metric}: {found[figure.metric][0]:.2f} [{low:.2f}, {high:.2f}]")
    summary = {"trainings": len(table), "solved": int(solved.sum()), "areas": found}
    print(json.dumps({"name": "success_predictors", **summary}))


if __name__ == "__main__":
    main()
