"""The planner, against optima and update rules that are known otherwise.

A quadratic score under Gaussian noise has a closed form: plans weighted by exp(temperature *
score) are again Gaussian, and `improve` estimates their mean. So does a linear system with a
quadratic cost, whose best plan is the linear-quadratic regulator's.
"""

from dataclasses import replace
from functools import partial
from typing import Literal

import numpy as np
import pytest
import scipy.linalg
import scipy.special

from vipl.control.mppi import (
    Floats,
    Planner,
    filtered_noise,
    improve,
    next_mean,
    plan_weights,
    still_plan,
)
from vipl.errors import UserError

SCORES: tuple[Literal["raw", "normalised"], ...] = ("raw", "normalised")

# A double integrator: position and velocity, steps of 0.2 s.
STEP_S = 0.2
A = np.array([[1.0, STEP_S], [0.0, 1.0]])
B = np.array([[STEP_S**2 / 2], [STEP_S]])
Q, R, Q_END = np.diag([1.0, 0.1]), np.array([[0.1]]), np.diag([10.0, 1.0])
START = np.array([0.3, 0.0])
HORIZON = 12


def cost_of(plans: Floats, start: Floats = START) -> Floats:
    """Return the quadratic costs [N] of plans [N, H, 1]."""
    state = np.tile(start, (len(plans), 1))
    cost = np.zeros(len(plans))
    for action in plans.transpose(1, 0, 2):
        cost += np.einsum("ni,ij,nj->n", state, Q, state)
        cost += np.einsum("ni,ij,nj->n", action, R, action)
        state = state @ A.T + action @ B.T
    return np.asarray(cost + np.einsum("ni,ij,nj->n", state, Q_END, state))


def best_plan() -> Floats:
    """Return the optimal plan [H, 1] by the Riccati recursion."""
    gains, value = [], Q_END
    for _ in range(HORIZON):
        gain = scipy.linalg.solve(R + B.T @ value @ B, B.T @ value @ A, assume_a="pos")
        gains.append(gain)
        value = Q + A.T @ value @ (A - B @ gain)
    state, actions = START, []
    for gain in reversed(gains):
        actions.append(-gain @ state)
        state = A @ state + B @ actions[-1]
    return np.array(actions)


def quadratic() -> tuple[Floats, Floats, float]:
    """Return P, b and c of the cost u'Pu + b'u + c of a plan u [H], found by evaluating it."""
    unit = np.eye(HORIZON)[:, :, None]
    c = float(cost_of(np.zeros((1, HORIZON, 1)))[0])
    plus, minus = cost_of(unit), cost_of(-unit)
    b = (plus - minus) / 2
    pairs = [[cost_of((u + v)[None])[0] for v in unit] for u in unit]
    p = (np.array(pairs) - plus[:, None] - plus[None] + c) / 2
    return p, b, c


def noise_covariance(planner: Planner) -> Floats:
    """Return the covariance [H, H] of the filtered noise, through the filter's matrix."""
    fresh, before = planner.noise_filter
    rows = np.eye(planner.horizon_steps)
    for step in range(2, planner.horizon_steps):
        rows[step] = fresh * np.eye(planner.horizon_steps)[step] + before * rows[step - 1]
    return np.asarray(planner.noise_std**2 * rows @ rows.T)


def test_the_reference_is_the_optimum() -> None:
    p, b, c = quadratic()
    by_least_squares = scipy.linalg.solve(2 * p, -b, assume_a="pos")
    np.testing.assert_allclose(best_plan()[:, 0], by_least_squares, atol=1e-10)
    assert np.abs(best_plan()).max() < 0.9, "the limits of an action must not bind"
    assert cost_of(best_plan()[None])[0] == pytest.approx(c - b @ scipy.linalg.solve(4 * p, b))


@pytest.mark.parametrize("score", SCORES)
def test_one_update_is_the_mean_that_theory_says(score: Literal["raw", "normalised"]) -> None:
    planner = Planner(
        samples=200_000, horizon_steps=HORIZON, noise_std=0.2, temperature=2.0, score=score
    )
    mean = 0.1 * np.sin(np.arange(HORIZON))[:, None]
    found = improve(mean, lambda plans: -cost_of(plans), planner, np.random.default_rng(0))
    p, b, _ = quadratic()
    covariance = noise_covariance(planner)
    temperature = planner.temperature
    if score == "normalised":
        slope, spread = b + 2 * p @ mean[:, 0], p @ covariance
        variance = slope @ covariance @ slope + 2 * np.trace(spread @ spread)
        temperature /= np.sqrt(variance)
    precision = np.linalg.inv(covariance)
    expected = np.linalg.solve(
        precision + 2 * temperature * p, precision @ mean[:, 0] - temperature * b
    )
    np.testing.assert_allclose(found[:, 0], expected, atol=0.01)
    assert np.abs(expected - mean[:, 0]).max() > 0.1


@pytest.mark.parametrize(
    ("score", "temperature"), [("raw", 300.0), ("normalised", 8.0)], ids=SCORES
)
def test_it_finds_the_regulators_plan(
    score: Literal["raw", "normalised"], temperature: float
) -> None:
    planner = Planner(
        samples=2000, horizon_steps=HORIZON, noise_std=0.2, temperature=temperature, score=score
    )
    optimum = cost_of(best_plan()[None])[0]

    def excess(iterations: int) -> float:
        plan = improve(
            still_plan(planner, 1),
            lambda plans: -cost_of(plans),
            replace(planner, iterations=iterations),
            np.random.default_rng(1),
        )
        assert plan.shape == (HORIZON, 1)
        return float(cost_of(plan[None])[0] / optimum - 1)

    start = cost_of(still_plan(planner, 1)[None])[0] / optimum - 1
    one, three, many = excess(1), excess(3), excess(100)
    assert start > one > three > many
    assert 0 <= many < 0.01


@pytest.mark.parametrize("score", SCORES)
def test_planning_again_at_every_step_reaches_the_goal(
    score: Literal["raw", "normalised"],
) -> None:
    """Closed loop, with one iteration of few samples a step, as in the paper."""
    rng = np.random.default_rng(2)

    def score_from(state: Floats, plans: Floats) -> Floats:
        return -cost_of(plans, state)

    def late_distance(*, warm_start: bool) -> float:
        planner = Planner(
            samples=32,
            horizon_steps=HORIZON,
            noise_std=0.3,
            temperature=60.0 if score == "raw" else 15.0,
            warm_start=warm_start,
            score=score,
        )
        state, plan, distances = START, still_plan(planner, 1), []
        for _ in range(40):
            plan = improve(plan, partial(score_from, state), planner, rng)
            state = A @ state + B @ plan[0]
            plan = next_mean(plan, planner)
            distances.append(np.linalg.norm(state))
        return float(np.mean(distances[20:]))

    assert np.linalg.norm(START) == pytest.approx(0.3)
    assert late_distance(warm_start=True) < 0.1
    assert late_distance(warm_start=False) < 0.15


def test_the_score_sees_clipped_plans() -> None:
    seen = []

    def score(plans: Floats) -> Floats:
        seen.append(plans)
        return np.zeros(len(plans))

    planner = Planner(samples=50, horizon_steps=4, iterations=2, noise_std=3.0)
    mean = improve(still_plan(planner, 3), score, planner, np.random.default_rng(0))
    assert [plans.shape for plans in seen] == [(50, 4, 3)] * 2
    assert all(np.abs(plans).max() == 1 for plans in seen)
    np.testing.assert_allclose(mean, seen[1].mean(axis=0))


@pytest.mark.parametrize("noise_filter", [(0.25, 0.8), (1.0, 0.0), (0.5, -0.5)])
def test_the_filter_step_by_step(noise_filter: tuple[float, float]) -> None:
    planner = Planner(samples=5, horizon_steps=7, noise_std=0.7, noise_filter=noise_filter)
    noise = filtered_noise(np.random.default_rng(3), planner, 2)
    white = np.random.default_rng(3).normal(size=(5, 7, 2)) * 0.7
    fresh, before = noise_filter
    for sample in range(5):
        for action in range(2):
            last = 0.0
            for step in range(7):
                value = white[sample, step, action]
                last = value if step < 2 else fresh * value + before * last
                assert noise[sample, step, action] == pytest.approx(last, abs=1e-12)


def test_the_filter_with_the_papers_numbers() -> None:
    noise = filtered_noise(np.random.default_rng(4), Planner(samples=20_000), 2)
    spread = noise.std(axis=0)
    np.testing.assert_allclose(spread[:2], 1, atol=0.02)
    expected = [1.0]
    for _ in range(10):
        expected.append(0.25**2 + 0.8**2 * expected[-1])
    np.testing.assert_allclose(spread[1:] ** 2, np.transpose([expected, expected]), atol=0.03)


def test_before_the_filter_no_two_numbers_are_related() -> None:
    """Not samples, not steps, not the joints: the released code drew the same noise again."""
    planner = Planner(samples=40, horizon_steps=6, noise_filter=(1.0, 0.0))
    rng = np.random.default_rng(5)
    draws = np.array([filtered_noise(rng, planner, 3).reshape(-1) for _ in range(4000)])
    correlation = np.corrcoef(draws.T)
    off_diagonal = correlation[~np.eye(len(correlation), dtype=bool)]
    # 4000 draws leave a standard error of 0.016; of 258,840 pairs none is beyond six of them.
    assert np.abs(off_diagonal).max() < 0.095
    assert off_diagonal.std() == pytest.approx(1 / np.sqrt(4000), rel=0.05)
    assert len(np.unique(draws)) == draws.size


@pytest.mark.parametrize(("offset", "scale"), [(0.0, 1.0), (-1e4, 1.0), (-1e4, 1e3), (1e8, 1e-3)])
def test_weights_are_a_softmax(offset: float, scale: float) -> None:
    scores = offset + scale * np.random.default_rng(6).normal(size=64)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        raw = plan_weights(scores, Planner(temperature=5.0))
    exponents = 5.0 * scores.astype(np.longdouble)
    np.testing.assert_allclose(raw, scipy.special.softmax(exponents).astype(float), rtol=1e-7)
    assert raw.dtype == np.float64
    assert raw.sum() == pytest.approx(1)


def test_normalised_weights_are_a_softmax_of_standard_scores() -> None:
    scores = -1e4 + 300 * np.random.default_rng(7).normal(size=64)
    expected = scipy.special.softmax(5.0 * scipy.stats.zscore(scores))
    found = plan_weights(scores, Planner(score="normalised"))
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize(("offset", "scale"), [(0.0, 1e4), (-1e4, 1.0), (1e4, 1e-2)])
def test_normalised_weights_know_neither_scale_nor_shift(offset: float, scale: float) -> None:
    scores = np.random.default_rng(8).normal(size=64)
    planner = Planner(score="normalised")
    found = plan_weights(offset + scale * scores, planner)
    np.testing.assert_allclose(found, plan_weights(scores, planner), rtol=1e-5)


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("samples", [1, 4])
def test_equal_scores_weigh_the_same(score: Literal["raw", "normalised"], samples: int) -> None:
    weights = plan_weights(np.full(samples, -1e4), Planner(score=score))
    np.testing.assert_allclose(weights, 1 / samples)


def test_the_next_plan_starts_a_step_later() -> None:
    plan = np.arange(1.0, 9.0).reshape(4, 2)
    following = next_mean(plan, Planner())
    np.testing.assert_array_equal(following, [[3, 4], [5, 6], [7, 8], [0, 0]])
    np.testing.assert_array_equal(next_mean(plan, Planner(warm_start=False)), np.zeros((4, 2)))
    np.testing.assert_array_equal(plan, np.arange(1.0, 9.0).reshape(4, 2))


def test_a_horizon_of_one_step() -> None:
    planner = Planner(horizon_steps=1, samples=500, temperature=50.0, noise_std=0.5)
    plan = improve(
        still_plan(planner, 1),
        lambda plans: -((plans[:, 0, 0] - 0.5) ** 2),
        planner,
        np.random.default_rng(9),
    )
    assert plan[0, 0] == pytest.approx(0.5, abs=0.05)
    np.testing.assert_array_equal(next_mean(plan, planner), [[0.0]])


def test_one_generator_decides_everything() -> None:
    planner = Planner(samples=8, horizon_steps=5, iterations=3)

    def plan(seed: int) -> Floats:
        rng = np.random.default_rng(seed)
        return improve(still_plan(planner, 2), lambda plans: plans.sum((1, 2)), planner, rng)

    np.random.seed(1)
    first = plan(0)
    np.random.seed(2)
    before = np.random.get_state(legacy=False)["state"]["key"].copy()
    np.testing.assert_array_equal(first, plan(0))
    after = np.random.get_state(legacy=False)["state"]["key"]
    np.testing.assert_array_equal(before, after)
    assert not np.array_equal(first, plan(1))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scores_that_are_no_numbers_are_refused(bad: float) -> None:
    planner = Planner(samples=3)
    with pytest.raises(ValueError, match="scores must be 3 numbers, got"):
        improve(
            still_plan(planner, 1),
            lambda plans: np.array([0.0, bad, 0.0]),
            planner,
            np.random.default_rng(0),
        )


def test_a_score_for_every_plan() -> None:
    planner = Planner(samples=3)
    with pytest.raises(ValueError, match="scores must be 3 numbers, got"):
        improve(
            still_plan(planner, 1), lambda plans: np.zeros(2), planner, np.random.default_rng(0)
        )


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("samples", 0, "1 or more"),
        ("horizon_steps", -1, "1 or more"),
        ("iterations", 0, "1 or more"),
        ("temperature", 0.0, "above 0"),
        ("temperature", float("nan"), "above 0"),
        ("noise_std", -0.5, "above 0"),
    ],
)
def test_options_out_of_range_are_refused(name: str, value: float, expected: str) -> None:
    with pytest.raises(UserError, match=rf"^{name} is {value}, expected {expected}"):
        Planner(**{name: value})  # type: ignore[arg-type]
