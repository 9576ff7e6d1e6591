"""Least-squares temporal difference against a reference written number by number."""

import numpy as np
import pytest
import torch

from vipl.errors import UserError
from vipl.objectives import LSTD

GAMMA = 0.9


def bellman_error(current, following, goal, target_following=None, target_goal=None):
    """Squared error of V(current) = -1 + gamma V(next); targets are given where held constant."""
    following = following if target_following is None else target_following
    held_goal = goal if target_goal is None else target_goal
    value = -np.linalg.norm(current - goal)
    target = -1 - GAMMA * np.linalg.norm(following - held_goal)
    return (target - value) ** 2


def paper_reference(frames, permutations, held=None):
    held = frames if held is None else held
    errors = []
    for clip, (_, goal, _, _) in enumerate(frames):
        for source in [clip, *(permutation[clip] for permutation in permutations)]:
            current, following = frames[source, 2], frames[source, 3]
            errors.append(bellman_error(current, following, goal, held[source, 3], held[clip, 1]))
    return np.mean(errors)


def dense_reference(frames, times, permutations):
    errors = []
    for clip in range(len(frames)):
        goals = list(zip(times[clip].ravel(), frames[clip].reshape(-1, 3), strict=True))
        for pair in range(frames.shape[1]):
            own = [goal for time, goal in goals if time > times[clip, pair, 0]]
            errors += [bellman_error(*frames[clip, pair], goal) for goal in own]
        for permutation in permutations:
            for pair in frames[permutation[clip]]:
                errors += [bellman_error(*pair, goal) for _, goal in goals]
    return np.mean(errors)


@pytest.mark.parametrize("permutations", [[], [[1, 2, 0], [2, 1, 0]]], ids=["none", "two"])
def test_paper_tuples_equal_the_reference_and_the_target_is_held_constant(permutations):
    frames = np.random.default_rng(0).normal(size=(3, 4, 3))
    embeddings = torch.tensor(frames, requires_grad=True)
    objective = LSTD(gamma=GAMMA, num_negatives=len(permutations))
    chosen = torch.tensor(permutations) if permutations else None
    (error,) = objective.terms(embeddings, torch.zeros(3, 4).long(), chosen).values()
    error.backward()
    assert error.item() == pytest.approx(paper_reference(frames, permutations), rel=1e-12)
    numeric = np.zeros_like(frames)
    for index in np.ndindex(frames.shape):
        up, down = frames.copy(), frames.copy()
        up[index] += 1e-6
        down[index] -= 1e-6
        difference = paper_reference(up, permutations, frames) - paper_reference(
            down, permutations, frames
        )
        numeric[index] = difference / 2e-6
    np.testing.assert_allclose(embeddings.grad.numpy(), numeric, atol=1e-8)
    assert np.abs(numeric[:, 2]).min() > 0
    assert not numeric[:, (0, 3)].any(), "neither the start nor the target's frame has a gradient"


@pytest.mark.parametrize("permutations", [[], [[1, 2, 0]]], ids=["none", "one"])
def test_dense_tuples_equal_the_reference(permutations):
    rng = np.random.default_rng(1)
    frames = rng.normal(size=(3, 4, 2, 3))
    current = np.sort(rng.integers(0, 9, (3, 4)), axis=1)
    times = np.stack([current, current + 1], axis=-1)
    chosen = torch.tensor(permutations) if permutations else None
    objective = LSTD(gamma=GAMMA, num_negatives=len(permutations))
    (error,) = objective.terms(torch.tensor(frames), torch.tensor(times), chosen).values()
    assert error.item() == pytest.approx(dense_reference(frames, times, permutations), rel=1e-12)


def test_the_discounted_number_of_steps_has_no_error():
    """On a straight line, frame k at the distance (1 - gamma^n) / (1 - gamma) from the goal."""
    steps = torch.arange(10, -1, -1, dtype=torch.float64)
    line = ((1 - GAMMA**steps) / (1 - GAMMA))[:, None]
    goal = line[-1].expand(10, 1)
    tuples = torch.stack([line[:-1], goal, line[:-1], line[1:]], dim=1)
    (error,) = LSTD(gamma=GAMMA).terms(tuples, torch.zeros(10, 4).long(), None).values()
    assert error.item() == pytest.approx(0, abs=1e-20)
    (other,) = LSTD(gamma=0.5).terms(tuples, torch.zeros(10, 4).long(), None).values()
    assert other.item() > 1


def test_wrong_settings_are_named():
    with pytest.raises(UserError, match="gamma is 1, expected a discount between 0 and 1"):
        LSTD(gamma=1)
    with pytest.raises(UserError, match="num_negatives is -2, expected 0 or more"):
        LSTD(num_negatives=-2)
