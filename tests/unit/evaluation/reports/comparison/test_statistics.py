"""The figures of a comparison, against direct loops, published values and cases that are known."""

import itertools
import random

import numpy as np
import pytest
from scipy import stats

from vipl.evaluation.reports.comparison.statistics import (
    difference,
    interquartile_mean,
    mean,
    outcomes,
    p_value,
    probability_of_improvement,
    share_of_wins,
)


def columns(matrix):
    """Return a matrix of episodes by tasks as scores."""
    return [matrix[:, task] for task in range(matrix.shape[1])]


@pytest.fixture(scope="module")
def pair():
    """Twelve tasks with nine episodes each, of two runs."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(9, 12)).cumsum(1) * 0.2 + rng.normal(size=(9, 12))
    return columns(x), columns(x * 0.5 + rng.normal(size=(9, 12)) + 0.4)


def uneven(seed, values=None):
    """Five tasks with 2 to 6 episodes."""
    rng = np.random.default_rng(seed)
    return [rng.choice(values or np.arange(50), n).astype(float) for n in (2, 3, 4, 5, 6)]


def test_the_figures_are_those_of_rliable(pair):
    """Version 1.2.0 of it on the same scores, 3,000 resamples."""
    ours, theirs = pair
    rliable = {
        mean: (-0.006157, -0.211, 0.187),
        interquartile_mean: (-0.020088, -0.240, 0.215),
    }
    for figure, expected in rliable.items():
        found = figure(ours, binary=False)
        assert found.n == 108
        assert found.mean == pytest.approx(expected[0], abs=1e-6)
        assert (found.low, found.high) == pytest.approx(expected[1:], abs=0.02)
    found = probability_of_improvement(ours, theirs, higher_is_better=True)
    assert found.mean == pytest.approx(0.396091, abs=1e-6)
    assert (found.low, found.high) == pytest.approx((0.317, 0.475), abs=0.01)
    found = difference(theirs, ours, binary=False)
    assert (found.mean, found.low, found.high) == pytest.approx((0.3919, 0.192, 0.606), abs=0.02)


def test_the_middle_half_is_a_sorted_list_without_its_quarters():
    assert interquartile_mean([np.arange(8.0)], binary=False).mean == 3.5  # of 2, 3, 4 and 5
    scores = uneven(1)
    ordered = sorted(value for task in scores for value in task)
    cut = len(ordered) // 4
    kept = ordered[cut : len(ordered) - cut]
    assert interquartile_mean(scores, binary=False).mean == pytest.approx(sum(kept) / len(kept))


def test_the_middle_half_of_rates_is_over_tasks():
    scores = [np.array(task, dtype=float) for task in ([0, 0], [0, 1], [1, 1, 1, 0], [1, 1])]
    found = interquartile_mean(scores, binary=True)
    assert found.mean == pytest.approx((0.5 + 0.75) / 2)
    assert found.low < found.mean < found.high


def test_the_probability_of_improvement_is_a_double_loop():
    ours, theirs = uneven(2, [0, 1, 2]), [task[1:] for task in uneven(3, [0, 1, 2])]
    shares = [
        sum((a > b) + 0.5 * (a == b) for a in one for b in other) / (len(one) * len(other))
        for one, other in zip(ours, theirs, strict=True)
    ]
    expected = sum(shares) / len(shares)
    for higher, value in ((True, expected), (False, 1 - expected)):
        found = probability_of_improvement(ours, theirs, higher_is_better=higher)
        assert found.mean == pytest.approx(value)
        assert share_of_wins(ours, theirs, higher_is_better=higher) == found.mean


def test_intervals_are_percentiles_of_resamples_within_tasks():
    ours, theirs = uneven(4, [0, 1, 2, 3]), uneven(5, [0, 1, 2, 3])
    rng = random.Random(0)
    middles, wins = [], []
    for _ in range(1500):
        a = [rng.choices(task.tolist(), k=len(task)) for task in ours]
        b = [rng.choices(task.tolist(), k=len(task)) for task in theirs]
        middles.append(stats.trim_mean([value for task in a for value in task], 0.25))
        wins.append(
            np.mean(
                [
                    np.mean([(x > y) + 0.5 * (x == y) for x in one for y in other])
                    for one, other in zip(a, b, strict=True)
                ]
            )
        )
    found = interquartile_mean(ours, binary=False)
    assert (found.low, found.high) == pytest.approx(np.percentile(middles, (2.5, 97.5)), abs=0.1)
    found = probability_of_improvement(ours, theirs, higher_is_better=True)
    assert (found.low, found.high) == pytest.approx(np.percentile(wins, (2.5, 97.5)), abs=0.03)


def test_pairs_cancel_what_both_share():
    noise = uneven(6)
    better = [task + 1 + 0.01 * np.arange(len(task)) for task in noise]
    found = difference(better, noise, binary=False)
    assert 1 <= found.low < found.mean < found.high < 1.06
    assert mean(better, binary=False).low < mean(noise, binary=False).high
    assert outcomes(better, noise, higher_is_better=True) == (20, 0, 0)
    assert outcomes(better, noise, higher_is_better=False) == (0, 0, 20)
    assert outcomes(noise, noise, higher_is_better=True) == (0, 20, 0)


def test_one_episode_and_equal_ones_claim_nothing():
    one, other = [np.array([1.0])], [np.array([0.0])]
    for found in (
        mean(one, binary=True),
        interquartile_mean(one, binary=True),
        difference(one, other, binary=True),
        probability_of_improvement(one, other, higher_is_better=True),
        difference([np.full(9, 0.5)], [np.full(9, 0.3)], binary=False),
        probability_of_improvement([np.ones(9)], [np.zeros(9)], higher_is_better=True),
    ):
        assert (found.low, found.high) == (None, None)
    assert p_value(one, other) == 1


def test_rates_without_spread_have_the_intervals_of_wilson_and_newcombe():
    solved, failed = [np.ones(9)], [np.zeros(9)]
    low = 9 / (9 + stats.norm.ppf(0.975) ** 2)  # Wilson's, of nine in nine
    found = mean(solved, binary=True)
    assert (found.low, found.high) == pytest.approx((low, 1))
    found = difference(solved, failed, binary=True)
    assert (found.low, found.high) == pytest.approx((1 - np.sqrt(2) * (1 - low), 1))
    found = difference(solved, solved, binary=True)
    assert (found.low, found.high) == pytest.approx((low - 1, 1 - low))


def test_tasks_with_one_episode_are_resampled_themselves():
    rng = np.random.default_rng(0)
    ours = [rng.normal(1, 1, 1) for _ in range(40)]
    theirs = [rng.normal(0, 1, 1) for _ in range(40)]
    wins = np.array([float(a[0] > b[0]) for a, b in zip(ours, theirs, strict=True)])
    error = 1.96 * wins.std() / np.sqrt(40)
    found = probability_of_improvement(ours, theirs, higher_is_better=True)
    assert found.mean == wins.mean()
    assert (found.low, found.high) == pytest.approx(
        (wins.mean() - error, wins.mean() + error), abs=0.04
    )
    found = interquartile_mean(ours, binary=False)
    assert found.low < found.mean < found.high


def test_the_sign_flip_test_is_that_of_scipy(pair):
    def statistic(a, b, axis):
        return (a - b).mean(axis)

    ours, theirs = (np.concatenate(scores) for scores in pair)
    for count in (6, 9, 108):
        a, b = ours[:count], theirs[:count]
        expected = stats.permutation_test(
            (a, b), statistic, permutation_type="samples", vectorized=True, random_state=0
        )
        assert p_value([a], [b]) == pytest.approx(expected.pvalue, abs=0.01 if count > 13 else 1e-9)
    assert p_value([np.arange(1.0, 7)], [np.zeros(6)]) == 2 / 2**6
    assert p_value([ours], [ours]) == 1


def test_the_sign_flip_test_weighs_tasks_alike():
    two, three, *_, six = uneven(7)
    pairs = [two - 20, three - 20, six - 20]
    observed = abs(np.mean([task.mean() for task in pairs]))
    far = 0
    for signs in itertools.product((-1, 1), repeat=11):
        flipped, rest = [], iter(signs)
        for task in pairs:
            flipped.append(np.mean([next(rest) * value for value in task]))
        far += abs(np.mean(flipped)) >= observed - 1e-9
    assert p_value(pairs, [np.zeros(len(task)) for task in pairs]) == far / 2**11
