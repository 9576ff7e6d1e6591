"""Figures of distance curves, on curves whose figures are known."""

from dataclasses import astuple

import numpy as np
import pytest

from vipl.errors import UserError
from vipl.rewards.curves import (
    curve_metrics,
    distances_to,
    distances_to_last,
    is_constant,
    mean_of_known,
)


def test_a_straight_fall():
    metrics = curve_metrics(np.linspace(10, 0, 11))
    assert metrics.bumps == 0
    assert metrics.value_order_correlation == pytest.approx(1)
    assert metrics.normalised_distance == pytest.approx(0.5)


def test_a_curve_that_grows_before_it_ends():
    metrics = curve_metrics(np.array([1.0, 2.0, 3.0, 4.0, 0.0]))
    assert metrics.bumps == 0.75
    assert metrics.value_order_correlation == pytest.approx(0.0)


def test_ranks_by_hand():
    # -distance has the ranks 1 3 2 4, so the sum of squared differences is 2.
    metrics = curve_metrics(np.array([3.0, 1.0, 2.0, 0.0]))
    assert metrics.value_order_correlation == pytest.approx(1 - 6 * 2 / (4 * 15))
    assert metrics.bumps == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    "distances", [[0.0] * 5, [3.0] * 5, [3.0, 3.0 + 1e-7, 3.0], [2.0, np.nan, 0.0], [np.inf, 0.0]]
)
def test_a_curve_that_does_not_change_has_no_figures(distances):
    metrics = curve_metrics(np.array(distances))
    assert np.isnan(astuple(metrics)).all()


def test_a_way_that_begins_at_its_end_is_no_share_of_its_beginning():
    metrics = curve_metrics(np.array([0.0, 1.0, 2.0, 0.0]))
    assert np.isnan(metrics.normalised_distance)
    assert metrics.bumps == pytest.approx(2 / 3)


@pytest.mark.parametrize("distance", ["l2", "cosine"])
def test_rounding_is_no_distance(distance):
    rng = np.random.default_rng(0)
    embeddings = np.full((6, 64), 20, np.float32) * (1 + 2e-8 * rng.standard_normal((6, 64)))
    assert not distances_to_last(embeddings, distance).any()
    assert is_constant(distances_to_last(embeddings, distance))
    embeddings[0, 0] += 1
    assert distances_to_last(embeddings, distance)[0] > 0


def test_embeddings_without_length_have_no_direction():
    assert not distances_to_last(np.zeros((3, 4)), "l2").any()
    np.testing.assert_equal(distances_to_last(np.zeros((3, 4)), "cosine"), 1)


@pytest.mark.parametrize("distance", ["l2", "cosine"])
def test_distances_that_are_not_finite_are_refused(distance):
    embeddings = np.ones((4, 2))
    embeddings[1, 1] = np.nan
    with pytest.raises(UserError, match=r"1 of 4 distances are not finite, expected"):
        distances_to_last(embeddings, distance)


def test_the_mean_is_of_what_is_known():
    assert mean_of_known([1.0, np.nan, 2.0]) == 1.5
    assert np.isnan(mean_of_known([np.nan]))


def test_distances_are_to_the_last_frame():
    embeddings = np.array([[3.0, 4.0], [0.0, 1.0], [0.0, 0.0]])
    np.testing.assert_allclose(distances_to_last(embeddings), [5, 1, 0])


def test_the_cosine_is_a_distance_too():
    embeddings = np.array([[2.0, 0.0], [1.0, 1.0], [0.0, 3.0]])
    cosine = distances_to_last(embeddings, "cosine")
    np.testing.assert_allclose(cosine, [1, 1 - 0.5**0.5, 0], atol=1e-12)


def test_the_goal_may_be_another_frame():
    embeddings = np.array([[3.0, 4.0], [0.0, 1.0]])
    np.testing.assert_allclose(distances_to(embeddings, np.array([0.0, 4.0])), [3, 3])
    np.testing.assert_allclose(distances_to(embeddings, np.array([0.0, 7.0]), "cosine"), [0.2, 0])


def test_one_frame_is_no_curve():
    with pytest.raises(ValueError, match="T >= 2"):
        curve_metrics(np.zeros(1))
