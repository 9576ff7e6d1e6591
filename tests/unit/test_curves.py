"""Figures of distance curves, on curves whose figures are known."""

import numpy as np
import pytest

from vipl.curves import CurveMetrics, curve_metrics, distances_to, distances_to_last


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


def test_a_constant_curve_orders_nothing():
    metrics = curve_metrics(np.zeros(5))
    assert metrics == CurveMetrics(0, 0, 0)


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
