"""Means and intervals against independent computations, and what a summary counts."""

import json
import math

import numpy as np
import pytest

from vipl.evaluation.intervals import Interval, bootstrap_mean
from vipl.evaluation.reports.statistics import binary_metrics, latest, summarise
from vipl.evaluation.results import Record


def record(task="door", camera="left", seed=0, variant="main", error=None, **metrics):
    return Record(task, camera, seed, "trajopt", variant, "key", metrics, error=error)


def failed(**place):
    return record(**place, error="RuntimeError: lost")


def run_of(cells, seeds=(0, 1, 2), **higher_is_better):
    higher_is_better = higher_is_better or {"success": True}
    return {
        "run_id": "r", "cells": cells, "seeds": list(seeds), "higher_is_better": higher_is_better
    }  # fmt: skip


def summary_of(records, run):
    summary = summarise(records, run)
    return json.loads(json.dumps(summary, allow_nan=False))


def plain_bootstrap(groups, resamples=20_000):
    """Resample each group, average the groups' means, and take the quantiles."""
    rng = np.random.default_rng(1)
    means = [
        np.mean([rng.choice(group, size=len(group)).mean() for group in groups])
        for _ in range(resamples)
    ]
    return np.quantile(means, [0.025, 0.975])


def test_an_interval_agrees_with_a_plain_bootstrap():
    values = np.random.default_rng(0).exponential(size=40)
    interval = bootstrap_mean(values.tolist())
    assert interval.mean == pytest.approx(values.mean())
    assert interval.n == 40
    np.testing.assert_allclose([interval.low, interval.high], plain_bootstrap([values]), atol=0.02)


def test_strata_are_resampled_apart_and_weigh_the_same():
    rng = np.random.default_rng(0)
    groups = [rng.normal(centre, 1, size) for centre, size in ((0, 5), (10, 9), (30, 20))]
    values = np.concatenate(groups)
    strata = ["a"] * 5 + ["b"] * 9 + ["c"] * 20
    order = rng.permutation(len(values))
    interval = bootstrap_mean(values[order].tolist(), strata=[strata[i] for i in order])
    assert interval.mean == pytest.approx(np.mean([group.mean() for group in groups]))
    np.testing.assert_allclose([interval.low, interval.high], plain_bootstrap(groups), atol=0.03)
    together = bootstrap_mean(values.tolist())
    assert together.high - together.low > 5 * (interval.high - interval.low)


def test_the_same_arguments_give_the_same_interval():
    values = [0.0, 1.0, 1.0, 0.5, 0.25]
    assert bootstrap_mean(values) == bootstrap_mean(values)
    assert bootstrap_mean(values, confidence=0.5).low > bootstrap_mean(values).low


@pytest.mark.parametrize("strata", [[0, 1, 2, 3, 4, 5], [0, 0, 0, 1, 1, 1]], ids=["one", "equal"])
def test_strata_that_cannot_tell_the_spread_are_resampled_together(strata):
    values = [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]
    interval = bootstrap_mean(values, strata=strata)
    low, high = plain_bootstrap([np.array(values)])
    assert (interval.low, interval.high) == pytest.approx((low, high))
    assert interval.mean == 0.5


def test_a_lone_value_keeps_the_weight_of_its_stratum():
    interval = bootstrap_mean([1.0, 0.0, 0.1, 0.2, 0.1], strata=["lone", "b", "b", "b", "b"])
    assert interval.mean == pytest.approx((1 + 0.1) / 2)
    assert interval.low < 0.1 < 0.8 < interval.high


@pytest.mark.parametrize(("successes", "n"), [(0, 3), (3, 3), (1, 1), (0, 108)])
def test_equal_outcomes_get_the_wilson_interval(successes, n):
    interval = bootstrap_mean([1.0] * successes + [0.0] * (n - successes))
    z, p = 1.959964, successes / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    assert (interval.mean, interval.n) == (p, n)
    assert (interval.low, interval.high) == pytest.approx((centre - half, centre + half), abs=1e-6)


def test_other_degenerate_values_claim_nothing():
    assert bootstrap_mean([0.3]) == Interval(0.3, None, None, 1)
    assert bootstrap_mean([0.3, 0.3]) == Interval(0.3, 0.3, 0.3, 2)
    assert bootstrap_mean([1.0], binary=False) == Interval(1.0, None, None, 1)
    assert bootstrap_mean([]) == Interval(None, None, None, 0)


def test_values_that_are_no_numbers_are_refused():
    with pytest.raises(ValueError, match="finite, got \\[nan\\]"):
        bootstrap_mean([1.0, math.nan])
    with pytest.raises(ValueError, match="2 values have 1 strata"):
        bootstrap_mean([1.0, 2.0], strata=["a"])


def test_where_tasks_are_a_sample_they_are_resampled():
    """Many seeds say much of each task, and nothing of the tasks that were not drawn."""
    means = np.linspace(0, 1, 12)
    records = [
        record(task=f"clip {index}", camera=None, seed=seed, bumps=mean + noise)
        for index, mean in enumerate(means)
        for seed, noise in enumerate((-0.01, 0.0, 0.01))
    ]
    run = {**run_of({"main": 36}, bumps=False), "sampled_tasks": True}
    entry = summary_of(records, run)["variants"]["main"]["metrics"]["bumps"]
    expected = plain_bootstrap([means])
    assert entry["overall"]["n"] == 12
    assert entry["overall"]["mean"] == pytest.approx(0.5)
    interval = [entry["overall"]["low"], entry["overall"]["high"]]
    np.testing.assert_allclose(interval, expected, atol=0.02)
    assert entry["cameras"] == {"none": entry["overall"]}


def test_a_sampled_metric_is_no_rate_though_all_its_values_are_ones():
    records = [record(task=task, bumps=1.0) for task in "ab"]
    run = run_of({"main": 2}, bumps=False)
    assert binary_metrics(records, run) == {"bumps"}
    assert binary_metrics(records, {**run, "sampled_tasks": True}) == set()


def test_a_summary_counts_every_group():
    records = [
        record(success=1.0),
        record(seed=1, success=0.0),
        record(camera="right", success=1.0),
        record(task="knob", success=0.0),
        failed(task="knob", seed=1),
        record(camera=None, variant="oracle", success=1.0),
    ]
    summary = summary_of(records, run_of({"main": 12, "oracle": 2}))
    assert summary["cells"] == {
        "main": {"planned": 12, "finished": 5, "failed": 1},
        "oracle": {"planned": 2, "finished": 1, "failed": 0},
    }
    metric = summary["variants"]["main"]["metrics"]["success"]
    assert metric["higher_is_better"] is True
    assert metric["overall"]["mean"] == pytest.approx((2 / 3 + 0) / 2)  # the tasks weigh the same
    counts = {name: (entry["n"], entry["failed"]) for name, entry in metric["tasks"].items()}
    assert counts == {"door": (3, 0), "knob": (1, 1)}
    assert metric["cameras"]["left"]["n"] == 3
    assert metric["tasks_cameras"]["door"]["left"]["mean"] == 0.5
    oracle = summary["variants"]["oracle"]["metrics"]["success"]
    assert list(oracle["cameras"]) == ["none"]


def test_a_cell_that_was_run_again_counts_once():
    records = [failed(), record(success=0.0), record(seed=1, success=0.0), record(success=1.0)]
    assert [r.metrics["success"] for r in latest(records)] == [1.0, 0.0]
    summary = summary_of(records, run_of({"main": 2}))
    assert summary["cells"]["main"] == {"planned": 2, "finished": 2, "failed": 0}
    assert summary["variants"]["main"]["metrics"]["success"]["overall"]["mean"] == 0.5


def test_what_is_missing_is_null_and_never_nan():
    records = [failed(), record(seed=1, error_left=math.nan), record(seed=2)]
    summary = summary_of(records, run_of({"main": 3, "random": 3}, error_left=False))
    for variant in ("main", "random"):
        overall = summary["variants"][variant]["metrics"]["error_left"]["overall"]
        assert [overall[key] for key in ("mean", "low", "high", "n")] == [None, None, None, 0]
    assert "solved_by_majority" not in summary["variants"]["main"]


def test_ones_of_a_metric_that_is_not_binary_get_no_wilson_interval():
    records = [record(error=None, gap=1.0), record(task="knob", gap=0.4)]
    summary = summary_of(records, run_of({"main": 2}, gap=False))
    assert summary["variants"]["main"]["metrics"]["gap"]["tasks"]["door"]["low"] is None


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ([1.0, 1.0, 0.0], True),
        ([1.0, 0.0, 0.0], False),
        ([1.0, 1.0], True),
        ([0.0, 0.0], False),
        ([1.0, 0.0], None),
        ([1.0, None, None], False),
    ],
)
def test_a_majority_of_the_seeds(outcomes, expected):
    records = [
        failed(seed=seed) if outcome is None else record(seed=seed, success=outcome)
        for seed, outcome in enumerate(outcomes)
    ]
    summary = summary_of(records, run_of({"main": 3}))
    assert summary["variants"]["main"]["solved_by_majority"] == {"door": {"left": expected}}
