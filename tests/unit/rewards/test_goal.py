"""Values and rewards of images, by an encoder's distance to a goal."""

import pytest
import torch

from tests.unit.models.test_encoder import SMALL, images
from vipl import GoalReward
from vipl.models import Encoder


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    return Encoder(**SMALL).eval()


def test_value_is_the_negative_distance_and_reward_its_difference(encoder):
    video = images(4)
    reward = GoalReward(encoder, video[-1])
    embeddings = encoder.embed(video)
    expected = -(embeddings - embeddings[-1]).norm(dim=-1)
    torch.testing.assert_close(reward.value(video), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(reward.reward(video), expected.diff(), rtol=1e-4, atol=1e-5)
    stacked = torch.stack([video, video.flip(0)])
    assert reward.value(stacked).shape == (2, 4)
    torch.testing.assert_close(reward.reward(stacked)[0], reward.reward(video))


def test_several_goal_images_have_one_mean_embedding_computed_once(encoder, monkeypatch):
    goals = images(3, 50, 60, seed=1)
    reward = GoalReward(encoder, goals)
    torch.testing.assert_close(reward.goal_embeddings, encoder.embed(goals).mean(0)[None])
    seen = []
    original = type(encoder).embed
    monkeypatch.setattr(
        type(encoder), "embed", lambda self, x, **kw: seen.append(len(x)) or original(self, x, **kw)
    )
    reward.value(images(2))
    assert seen == [2]


def test_a_goal_or_images_of_a_wrong_form(encoder):
    with pytest.raises(TypeError, match=r"type ndarray, expected a tensor: vipl\.rewards\.as_im"):
        GoalReward(encoder, images(1)[0].numpy())
    with pytest.raises(ValueError, match="the goal has no image"):
        GoalReward(encoder, images(3)[:0])
    with pytest.raises(ValueError, match=r"expected \[..., T, 3, H, W\]"):
        GoalReward(encoder, images(1)).reward(images(1)[0])
    with pytest.raises(ValueError, match="there is no mode 'diff': expected difference"):
        GoalReward(encoder, images(1)).reward(images(2), mode="diff")
    with pytest.raises(ValueError, match="there is no distance 'cosin': expected cosine"):
        GoalReward(encoder, images(1), distance="cosin")


def test_rewards_of_three_modes(encoder):
    video = images(5)
    reward = GoalReward(encoder, video[-1])
    values = reward.value(video)
    assert torch.equal(reward.reward(video, mode="value"), values[1:])
    normalised = reward.reward(video, mode="normalised")
    torch.testing.assert_close(normalised, values.diff() / -values[0])
    assert float(normalised.sum()) == pytest.approx(1, abs=1e-4)
    at_the_goal = reward.reward(video[-1:].expand(3, -1, -1, -1), mode="normalised")
    assert at_the_goal.isfinite().all()


def test_the_cosine_is_a_distance_too(encoder):
    video = images(4)
    reward = GoalReward(encoder, video[-1], distance="cosine")
    units = torch.nn.functional.normalize(encoder.embed(video), dim=-1)
    torch.testing.assert_close(reward.value(video), units @ units[-1] - 1, rtol=1e-4, atol=1e-6)


def test_an_encoder_says_which_distance_is_its_own():
    encoder = Encoder(**SMALL, distance="cosine").eval()
    assert GoalReward(encoder, images(1)).distance == "cosine"
    assert GoalReward(encoder, images(1), distance="l2").distance == "l2"


def test_the_nearest_of_several_goals(encoder):
    goals = [images(1)[0], images(1, 50, 60, seed=1)[0], images(2, 40, 30, seed=2)]
    video = images(3, seed=5)
    nearest = GoalReward(encoder, goals, combine="nearest")
    assert len(nearest.goal_embeddings) == 4
    each = [GoalReward(encoder, goal).value(video) for goal in (*goals[:2], *goals[2])]
    torch.testing.assert_close(
        nearest.value(video), torch.stack(each).amax(0), rtol=1e-4, atol=1e-5
    )
