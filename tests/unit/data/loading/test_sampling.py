"""Sampling is a pure function of (seed, n), and uniform where it should be."""

import numpy as np
import pytest

from vipl.data.loading import sampling
from vipl.data.loading.step_sampler import StepSampler, check_shares
from vipl.errors import UserError


def draw(n, *, seed=3, attempt=0, tuples="paper", frames=20):
    return sampling.draw_frames(
        seed, n, attempt=attempt, num_frames=frames, tuples=tuples, pairs_per_clip=4
    )[0]


@pytest.mark.parametrize("tuples", ["paper", "dense"])
def test_the_order_of_the_calls_does_not_matter(tuples):
    forwards = [draw(n, tuples=tuples) for n in range(50)]
    backwards = [draw(n, tuples=tuples) for n in reversed(range(50))][::-1]
    np.testing.assert_array_equal(forwards, backwards)
    assert len(np.unique(np.reshape(forwards, (50, -1)), axis=0)) > 40


def test_seed_number_and_attempt_each_change_the_draw():
    base = [draw(n).tolist() for n in range(20)]
    assert base != [draw(n, seed=4).tolist() for n in range(20)]
    assert base != [draw(n, attempt=1).tolist() for n in range(20)]
    assert base != [draw(n + 1).tolist() for n in range(20)]


@pytest.mark.parametrize("frames", [3, 4, 10])
def test_tuples_stay_in_their_bounds_and_reach_them(frames):
    drawn = np.array([draw(n, frames=frames) for n in range(3000)])
    start, goal, current, following = drawn.T
    assert (start >= 0).all()
    assert (start <= frames - 3).all()
    assert (goal >= start + 1).all()
    assert (goal <= frames - 1).all()
    assert (current >= start).all()
    assert (current <= goal - 1).all()
    assert (following == current + 1).all()
    assert set(start) == set(range(frames - 2))
    assert goal.max() == frames - 1


def test_each_of_the_four_is_uniform_in_what_the_others_leave():
    drawn = np.array([draw(n, frames=5) for n in range(12000)])
    counts = np.bincount(drawn[:, 0], minlength=3) / len(drawn)
    np.testing.assert_allclose(counts, 1 / 3, atol=0.02)
    goals = drawn[drawn[:, 0] == 1][:, 1]
    np.testing.assert_allclose(np.bincount(goals)[2:] / len(goals), 1 / 3, atol=0.03)


def test_more_tuples_of_a_clip_begin_with_the_one():
    settings = {"attempt": 0, "num_frames": 20, "tuples": "paper", "pairs_per_clip": 4}
    for n in range(20):
        several = sampling.draw_frames(3, n, tuples_per_clip=5, **settings)
        assert several.shape == (5, 4)
        np.testing.assert_array_equal(several[0], draw(n))
        assert len(np.unique(several, axis=0)) > 1


def test_dense_pairs_are_sorted_distinct_steps():
    drawn = np.array([draw(n, tuples="dense", frames=12) for n in range(200)])
    assert drawn.shape == (200, 4, 2)
    assert (np.diff(drawn[..., 0]) > 0).all()
    assert (drawn[..., 1] == drawn[..., 0] + 1).all()
    assert drawn.max() == 11


def test_a_short_clip_gives_its_pairs_more_than_once():
    assert draw(0, tuples="dense", frames=3).shape == (4, 2)


@pytest.mark.parametrize("tuples", ["paper", "dense"])
def test_two_frames_are_refused(tuples):
    with pytest.raises(ValueError, match="2 frames, expected at least 3"):
        draw(0, frames=2, tuples=tuples)


def test_every_epoch_visits_every_clip_once_in_another_order():
    orders = [
        [sampling.draw_clip(0, n, attempt=0, num_clips=7) for n in range(7 * e, 7 * e + 7)]
        for e in range(3)
    ]
    assert all(sorted(order) == list(range(7)) for order in orders)
    assert orders[0] != orders[1]


def test_permutations_are_permutations():
    drawn = sampling.draw_permutations(0, 5, count=3, batch=6)
    assert drawn.dtype == np.int64
    assert (np.sort(drawn, axis=1) == np.arange(6)).all()
    assert (drawn == sampling.draw_permutations(0, 5, count=3, batch=6)).all()


def steps_of(rank, world_size, first=0):
    sampler = StepSampler(
        batch_size=8, rank=rank, world_size=world_size, batches=3, first_batch=lambda: first
    )
    return list(sampler)


def test_processes_share_the_samples_of_each_step():
    alone = steps_of(0, 1)
    shared = [steps_of(rank, 4) for rank in range(4)]
    joined = [[n for part in shared for n in part[step]] for step in range(3)]
    assert joined == alone


def test_a_later_start_goes_on_with_the_sequence():
    assert steps_of(0, 1, first=2)[0] == steps_of(0, 1)[2]


@pytest.mark.parametrize(
    ("batch_size", "processes", "remedy"),
    [
        (8, 3, "data.batch_size=6 or data.batch_size=9, or as many processes as divide it (1, 2,"),
        (2, 4, "data.batch_size=4, or as many processes as divide it (1, 2)"),
        (720, 7, "as divide it (1, 2, 3, 4, 5, 6, 8, 9, 10, …)"),
    ],
)
def test_a_batch_that_cannot_be_shared_is_refused(batch_size, processes, remedy):
    message = f"is {batch_size} clips over all processes, which do not divide among {processes}"
    with pytest.raises(UserError, match=message) as caught:
        check_shares(batch_size, processes)
    assert remedy in str(caught.value)


def test_noise_differs_by_batch_and_process():
    seeds = {sampling.noise_seed(0, n, rank=rank) for n in range(3) for rank in range(3)}
    assert len(seeds) == 9
    assert sampling.noise_seed(0, 1, rank=2) in seeds
