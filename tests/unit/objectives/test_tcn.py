"""Time-contrastive learning against a reference written number by number."""

import numpy as np
import pytest
import torch

from vipl.errors import UserError
from vipl.objectives import TCN


def contrast(anchor, positive, negatives, temperature):
    def weight(frame):
        return np.exp(-np.linalg.norm(anchor - frame) / temperature)

    return -np.log(weight(positive) / (weight(positive) + sum(map(weight, negatives))))


def reference(draws, permutations, *, temperature, margin):
    """Draws: for each clip, its pairs ((time, frame), (time, frame)) and all its frames."""
    losses = []
    for clip, (pairs, frames) in enumerate(draws):
        for (time, anchor), (next_time, positive) in pairs:
            reach = next_time - time + margin
            negatives = [frame for other, frame in frames if abs(other - time) > reach]
            for permutation in permutations:
                if permutation[clip] != clip:
                    negatives += [frame for _, frame in draws[permutation[clip]][1]]
            losses.append(contrast(anchor, positive, negatives, temperature))
    return np.mean(losses)


def dense_draws(frames, times):
    draws = []
    for clip_times, clip_frames in zip(times, frames, strict=True):
        pairs = [
            tuple(zip(pair_times, pair_frames, strict=True))
            for pair_times, pair_frames in zip(clip_times, clip_frames, strict=True)
        ]
        draws.append((pairs, [frame for pair in pairs for frame in pair]))
    return draws


def paper_draws(frames, times):
    draws = []
    for clip_times, clip_frames in zip(times, frames, strict=True):
        every = list(zip(clip_times, clip_frames, strict=True))
        draws.append(([tuple(every[2:])], every))
    return draws


PERMUTATIONS = [[1, 2, 0], [2, 1, 0]]  # clip 1 meets itself in the second


@pytest.mark.parametrize("permutations", [[], PERMUTATIONS], ids=["none", "two"])
@pytest.mark.parametrize(("temperature", "margin"), [(1.0, 0), (0.3, 2)])
@pytest.mark.parametrize("kind", ["paper", "dense"])
def test_loss_equals_the_reference(kind, temperature, margin, permutations):
    rng = np.random.default_rng(2)
    if kind == "dense":
        frames = rng.normal(size=(3, 4, 2, 3))
        current = np.sort(rng.integers(0, 9, (3, 4)), axis=1)
        times = np.stack([current, current + 1], axis=-1)
        draws = dense_draws(frames, times)
    else:
        frames = rng.normal(size=(3, 4, 3))
        times = np.array([[0, 9, 4, 5], [3, 4, 3, 4], [2, 8, 2, 3]])
        draws = paper_draws(frames, times)
    objective = TCN(num_negatives=len(permutations), temperature=temperature, margin_frames=margin)
    embeddings = torch.tensor(frames, requires_grad=True)
    chosen = torch.tensor(permutations) if permutations else None
    (loss,) = objective.terms(embeddings, torch.tensor(times), chosen).values()
    loss.backward()
    expected = reference(draws, permutations, temperature=temperature, margin=margin)
    assert loss.item() == pytest.approx(expected, rel=1e-12)
    assert embeddings.grad.isfinite().all()


def test_an_anchor_without_negatives_costs_nothing():
    frames = torch.randn(2, 1, 2, 4, requires_grad=True)
    times = torch.tensor([[[3, 4]], [[0, 1]]])
    (loss,) = TCN(num_negatives=0).terms(frames, times, None).values()
    loss.backward()
    assert loss.item() == 0
    assert frames.grad.isfinite().all()


def test_distances_of_a_thousand_do_not_overflow():
    frames = torch.zeros(1, 4, 1)
    frames[0, 3] = 1e3  # the positive is far from the anchor, and the start is at it
    (loss,) = TCN(num_negatives=0).terms(frames, torch.tensor([[0, 9, 4, 5]]), None).values()
    assert loss.item() == pytest.approx(1e3 + np.log(2), rel=1e-6)


def test_a_clip_that_moves_steadily_costs_less_than_a_still_one():
    times = torch.tensor([[[0, 1], [4, 5], [8, 9]]])
    moving = 2 * times[..., None].double()
    losses = [
        TCN(num_negatives=0).terms(frames, times, None)["contrast"].item()
        for frames in (moving, torch.zeros_like(moving))
    ]
    assert losses[0] < 0.1 < losses[1] == pytest.approx(np.log(5))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": 0.0}, "temperature is 0.0, expected more than 0"),
        ({"margin_frames": -1}, "margin_frames is -1, expected 0 or more"),
        ({"num_negatives": -1}, "num_negatives is -1, expected 0 or more"),
    ],
)
def test_wrong_settings_are_named(settings, message):
    with pytest.raises(UserError, match=message):
        TCN(**settings)


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"expected \[B, 4, D\]"):
        TCN().terms(torch.zeros(2, 3, 4), torch.zeros(2, 3).long(), None)
