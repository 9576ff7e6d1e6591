"""Which figure of an encoder tells whether its reward solves the task.

`python -m studies.curve_to_control.predictors studies/curve_to_control/study.yaml` reads what that
study has made so far. For every figure it says how often, of two trainings of which one solves the
task and the other does not, it is better for the former (the area under the ROC curve: one half is
chance; ties count half). `KEY=VALUE` are the study's. The interval resamples trainings: 95%,
percentile bootstrap.
"""

import argparse
import json
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu

from vipl.evaluation.reports.statistics import SUCCESS
from vipl.study.description import read_study
from vipl.study.findings import Evaluated, read_findings
from vipl.study.steps import list_steps

PLANNED = "planned"
"""The evaluation of the study whose success is asked for."""

Training = tuple[str, int]
"""An encoder of the study, and a seed."""


def of_trainings(evaluated: Evaluated, metric: str) -> Iterator[tuple[Training, float]]:
    """Yield each training with a metric's mean over samples, where there is one."""
    for encoder in evaluated.encoders:
        seeds = [seed for name, seed in evaluated.results if name == encoder]
        table, _ = evaluated.table(encoder, metric)
        for seed, row in zip(seeds, table, strict=True):
            if (known := row[np.isfinite(row)]).size:
                yield (encoder, seed), float(known.mean())


def area(values: NDArray[np.float64], solved: NDArray[np.bool_]) -> float:
    """Return how often a value of a solved one is above that of one that is not."""
    if solved.all() or not solved.any():
        return np.nan
    count = mannwhitneyu(values[solved], values[~solved]).statistic
    return float(count / (solved.sum() * (~solved).sum()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", metavar="FILE", help="of the study")
    parser.add_argument("key", nargs="*", metavar="KEY=VALUE", help="of the study")
    parser.add_argument("--without", nargs="*", default=[], metavar="ENCODER", help="leave out")
    parser.add_argument("--resamples", type=int, default=4000)
    args = parser.parse_args()
    study = read_study(args.study, args.key)
    success: dict[Training, float] = {}
    figures: dict[str, dict[Training, float]] = {}
    for evaluated in read_findings(study, list_steps(study)):
        if evaluated.name == PLANNED:  # what else is of those episodes tells nothing beforehand
            success = dict(of_trainings(evaluated, SUCCESS))
            continue
        for measure in evaluated.measures:
            sign, own = 1 if measure.higher_is_better else -1, of_trainings(evaluated, measure.name)
            figures[f"{evaluated.name}/{measure.name}"] = {one: sign * mean for one, mean in own}
    trainings = [
        one
        for one in success
        if one[0] not in args.without and all(one in values for values in figures.values())
    ]
    solved = np.array([success[one] > 0.5 for one in trainings], dtype=bool)
    if len(set(solved)) < 2:
        raise SystemExit(
            f"{study.out}: no two trainings of which one solves the task, one does not"
        )
    draws = np.random.default_rng(0).integers(len(solved), size=(args.resamples, len(solved)))
    found = {}
    for name, of_training in figures.items():
        values = np.array([of_training[one] for one in trainings])
        resampled = [area(values[rows], solved[rows]) for rows in draws]
        low, high = np.nanpercentile(resampled, [2.5, 97.5])
        found[name] = [round(float(x), 3) for x in (area(values, solved), low, high)]
        print(f"{name}: {found[name][0]:.2f} [{low:.2f}, {high:.2f}]")
    summary = {"trainings": len(trainings), "solved": int(solved.sum()), "areas": found}
    print(json.dumps({"name": "success_predictors", **summary}))


if __name__ == "__main__":
    main()
