"""Intervals over trainings and samples."""

import numpy as np
import pytest

from vipl.evaluation.intervals import Interval
from vipl.study.findings import Figure
from vipl.study.statistics import difference, mean, paired


def drawn(rng, *, trainings, samples, training_sd, sample_sd, noise_sd):
    """Values whose mean is 0: what a training adds, what a sample adds, and noise."""
    return (
        rng.normal(0, training_sd, (trainings, 1))
        + rng.normal(0, sample_sd, (1, samples))
        + rng.normal(0, noise_sd, (trainings, samples))
    )


def coverage(one, truth=0.0, repeats=200):
    rng = np.random.default_rng(0)
    intervals = [one(rng) for _ in range(repeats)]
    return np.mean([interval.low <= truth <= interval.high for interval in intervals])


def test_intervals_of_means_hold_the_truth_as_often_as_they_say():
    def one(rng):
        settings = {"training_sd": 1.0, "sample_sd": 1.0, "noise_sd": 1.0}
        return mean(drawn(rng, trainings=12, samples=20, **settings), binary=False)

    assert 0.88 <= coverage(one) <= 1


def test_samples_alone_would_be_too_sure():
    """What the test above would not notice if it could not fail."""

    def one(rng):
        table = drawn(rng, trainings=12, samples=20, training_sd=1.0, sample_sd=0.1, noise_sd=0.1)
        return mean(table.mean(axis=0, keepdims=True), binary=False)

    assert coverage(one) < 0.5


def test_differences_are_paired_by_sample():
    """What the samples have in common does not widen the interval."""
    rng = np.random.default_rng(1)
    samples = rng.normal(0, 10, (1, 15))
    ours = samples + 1 + rng.normal(0, 0.1, (3, 15))
    theirs = samples + rng.normal(0, 0.1, (4, 15))
    found = difference(ours, theirs)
    assert found.mean == pytest.approx(1, abs=0.1)
    assert 0.8 < found.low < 1 < found.high < 1.2
    assert mean(ours, binary=False).high - mean(ours, binary=False).low > 5


def test_trainings_widen_the_interval():
    rng = np.random.default_rng(2)
    alike = drawn(rng, trainings=3, samples=30, training_sd=0, sample_sd=1, noise_sd=0.1)
    apart = alike + np.array([[-1.0], [0.0], [1.0]])
    narrow, wide = mean(alike, binary=False), mean(apart, binary=False)
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)


def test_one_training_resamples_its_samples():
    table = np.array([[0.0, 1.0, 2.0, 3.0]])
    found = mean(table, binary=False)
    assert found.mean == 1.5
    assert 0 < found.low < 1.5 < found.high < 3


def test_rates_without_spread_have_wilsons_interval():
    found = mean(np.zeros((3, 4)), binary=True)
    assert (found.mean, found.low) == (0, 0)
    assert found.high == pytest.approx(0.2425, abs=1e-4)  # 0 of 12
    assert difference(np.ones((3, 4)), np.zeros((1, 4))).low is None


def test_nothing_is_no_figure():
    assert mean(np.zeros((3, 0)), binary=False).mean is None
    assert difference(np.zeros((3, 0)), np.zeros((2, 0))).mean is None


def test_samples_that_one_lacks_are_left_out_of_both():
    ours = np.array([[1.0, 2.0, np.nan], [1.0, 2.0, 3.0]])
    theirs = np.array([[np.nan, 5.0, 6.0]])
    left, right = paired(ours, theirs)
    assert left.tolist() == [[2.0], [2.0]]
    assert right.tolist() == [[5.0]]
    with pytest.raises(ValueError, match="2 samples against 3"):
        difference(np.zeros((1, 2)), np.zeros((1, 3)))


def test_equal_tables_give_equal_intervals():
    table = np.random.default_rng(3).normal(size=(3, 9))
    assert mean(table, binary=False) == mean(table.copy(), binary=False)


@pytest.mark.parametrize(
    ("trainings", "samples", "low", "expected"),
    [(3, 12, 0.1, True), (6, 1, 0.1, True), (3, 12, -0.1, False), (3, 5, 0.1, False)],
)
def test_few_values_tell_nothing_apart(trainings, samples, low, expected):
    apart = Interval(0.5, low, 0.9, trainings * samples)
    figure = Figure("vip", apart, apart, trainings, samples, trainings * samples)
    assert figure.told_apart is expected
