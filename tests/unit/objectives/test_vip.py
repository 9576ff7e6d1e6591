"""The VIP loss against a reference that is written out number by number."""

import math

import numpy as np
import pytest
import torch

from vipl.objectives import dense_terms, embedding_norms, paper_terms, vip_loss

GAMMA, EPSILON = 0.98, 1e-8


def reference(frames, permutations=None, negatives="separate"):
    """The equations, term by term, on longdouble scalars: exp(1e3) does not overflow there."""

    def value(o, g):
        squares = [(np.longdouble(a) - np.longdouble(b)) ** 2 for a, b in zip(o, g, strict=True)]
        return -np.sqrt(sum(squares))

    def exponent(i, j):
        """Goal of clip i, transition of clip j."""
        goal, (_, _, current, following) = frames[i][1], frames[j]
        return -(-1 + GAMMA * value(following, goal) - value(current, goal))

    clips = range(len(frames))
    start = sum(-value(frames[i][0], frames[i][1]) for i in clips) / len(frames)
    own = [np.exp(exponent(i, i)) for i in clips]
    others = [np.exp(exponent(i, p[i])) for p in permutations or [] for i in clips]
    if not others:
        tail = np.log(EPSILON + np.mean(own))
    elif negatives == "joint":
        tail = np.log(EPSILON + np.mean(own + others))
    else:
        tail = np.log(EPSILON + np.mean(own)) + np.log(EPSILON + np.mean(others))
    return float((1 - np.longdouble(GAMMA)) * start + tail)


def numeric_gradient(frames, **kwargs):
    """Central differences of the reference; longdouble keeps eleven digits of them."""
    gradient = np.zeros_like(frames)
    step = 1e-5 * max(1.0, float(np.abs(frames).max()))
    for index in np.ndindex(frames.shape):
        up, down = frames.copy(), frames.copy()
        up[index] += step
        down[index] -= step
        gradient[index] = (reference(up, **kwargs) - reference(down, **kwargs)) / (2 * step)
    return gradient


def draw(batch=5, dim=3, scale=1.0, seed=0):
    return np.random.default_rng(seed).normal(size=(batch, 4, dim)) * scale


PERMUTATIONS = [[1, 2, 3, 4, 0], [4, 3, 2, 1, 0], [0, 2, 1, 4, 3]]


@pytest.mark.parametrize("negatives", ["separate", "joint"])
@pytest.mark.parametrize("permutations", [None, PERMUTATIONS])
@pytest.mark.parametrize("scale", [0.01, 1.0, 30.0, 500.0])
def test_loss_and_gradient_equal_the_reference(scale, permutations, negatives):
    frames = draw(scale=scale)
    embeddings = torch.tensor(frames, requires_grad=True)
    chosen = None if permutations is None else torch.tensor(permutations)
    loss = vip_loss(embeddings, permutations=chosen, negatives=negatives)
    loss.backward()
    expected = reference(frames, permutations, negatives)
    assert loss.item() == pytest.approx(expected, rel=1e-6)
    numeric = numeric_gradient(frames, permutations=permutations, negatives=negatives)
    assert np.abs(embeddings.grad.numpy() - numeric).max() <= 1e-6 * np.abs(numeric).max()


def test_distances_of_a_thousand_do_not_overflow_in_float32():
    frames = np.zeros((2, 4, 1))
    frames[:, 3] = 1e3  # next is far from the goal: the exponent is 1 + 980
    embeddings = torch.tensor(frames, dtype=torch.float32, requires_grad=True)
    loss = vip_loss(embeddings)
    loss.backward()
    assert loss.item() == pytest.approx(981.0, rel=1e-6)
    assert embeddings.grad.isfinite().all()


def test_epsilon_bounds_the_loss_from_below():
    frames = np.zeros((2, 4, 1))
    frames[:, 2] = 1e3  # current is far from the goal, next is at it
    assert float(vip_loss(torch.tensor(frames))) == pytest.approx(math.log(EPSILON), rel=1e-6)


def test_identical_frames_give_finite_gradients():
    embeddings = torch.ones(3, 4, 8, requires_grad=True)
    vip_loss(embeddings).backward()
    assert embeddings.grad.isfinite().all()


def test_half_precision_is_computed_in_float32():
    embeddings = torch.tensor(draw()).to(torch.bfloat16)
    loss = vip_loss(embeddings)
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(float(vip_loss(embeddings.double())), rel=1e-5)


def dense_reference(frames, times, permutations, negatives):
    """Every (pair, goal) with the goal after the pair's first frame, one by one."""
    own, others, start = [], [], []
    batch, pairs = frames.shape[:2]

    def residual(current, following, goal):
        near, far = np.linalg.norm(following - goal), np.linalg.norm(current - goal)
        return 1 + GAMMA * near - far

    for clip in range(batch):
        goals = list(zip(times[clip].ravel(), frames[clip].reshape(-1, 3), strict=True))
        for pair in range(pairs):
            current, following = frames[clip, pair]
            for time, goal in goals:
                if time > times[clip, pair, 0]:
                    start.append(np.linalg.norm(current - goal))
                    own.append(np.exp(residual(current, following, goal)))
        for permutation in permutations or []:
            for current, following in frames[permutation[clip]]:
                others += [np.exp(residual(current, following, goal)) for _, goal in goals]
    attraction = (1 - GAMMA) * np.mean(start)
    if not others:
        return attraction + np.log(EPSILON + np.mean(own))
    if negatives == "joint":
        return attraction + np.log(EPSILON + np.mean(own + others))
    return attraction + np.log(EPSILON + np.mean(own)) + np.log(EPSILON + np.mean(others))


@pytest.mark.parametrize("negatives", ["separate", "joint"])
@pytest.mark.parametrize("permutations", [None, [[1, 2, 0], [2, 1, 0]]])
def test_dense_terms_equal_the_reference(permutations, negatives):
    rng = np.random.default_rng(1)
    frames = rng.normal(size=(3, 4, 2, 3))
    current = np.sort(rng.integers(0, 9, (3, 4)), axis=1)
    times = np.stack([current, current + 1], axis=-1)
    chosen = None if permutations is None else torch.tensor(permutations)
    terms = dense_terms(
        torch.tensor(frames), torch.tensor(times), permutations=chosen, negatives=negatives
    )
    expected = dense_reference(frames, times, permutations, negatives)
    assert float(terms.loss) == pytest.approx(expected, rel=1e-6)


def test_one_dense_pair_is_the_paper_tuple_whose_goal_is_next():
    frames = torch.tensor(draw(batch=4))
    current, following = frames[:, 2], frames[:, 3]
    paper = torch.stack([current, following, current, following], dim=1)
    times = torch.tensor([[[3, 4]]]).expand(4, 1, 2)
    dense = dense_terms(torch.stack([current, following], dim=1)[:, None], times)
    torch.testing.assert_close(dense.loss, paper_terms(paper).loss)


def test_norms_are_means_over_all_frames():
    embeddings = torch.tensor([[[3.0, -4.0], [0.0, 0.0]]])
    l1, l2 = embedding_norms(embeddings)
    assert (float(l1), float(l2)) == (3.5, 2.5)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"embeddings": torch.zeros(2, 3, 4)}, r"\[2, 3, 4\], expected \[B, 4, D\]"),
        ({"embeddings": torch.zeros(0, 4, 4)}, "batch is empty"),
        ({"gamma": 1.0}, "gamma is 1.0, expected"),
        ({"negatives": "both"}, "'both', expected 'separate' or 'joint'"),
        ({"permutations": torch.zeros(1, 3).long()}, r"expected int64 \[N, 2\]"),
        ({"permutations": torch.zeros(1, 2)}, "float32"),
    ],
)
def test_wrong_arguments_are_named(kwargs, message):
    arguments = {"embeddings": torch.zeros(2, 4, 4), **kwargs}
    with pytest.raises(ValueError, match=message):
        vip_loss(arguments.pop("embeddings"), **arguments)
