"""Policies that are learnt from trajectories: on a line, with data whose best is known."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.fixtures.lines import SIZE, Columns, Lines
from vipl.control.policies import Policy, PolicyTraining, reward_weights, train_policy
from vipl.control.trajectories import from_states
from vipl.errors import UserError
from vipl.evaluation.evaluator import Cell, Grid
from vipl.evaluation.protocols.dataset import Dataset
from vipl.evaluation.protocols.policy_learning import CloningSettings, make_data, run_policy
from vipl.evaluation.protocols.protocol import View
from vipl.models.encoder import Encoder

STEPS = 12
QUICK = CloningSettings(
    steps=300, lr=1e-2, hidden=(32,), temperature=3, scale="spread", evaluate_every=100, episodes=3,
    dataset=Dataset(trajectories=8),
)  # fmt: skip


class Taught(Lines):
    """Its trajectories go both ways from the middle: one way is right."""

    def make_trajectories(self, task, env, dataset, *, seed=0):
        del seed
        made = []
        for number in range(dataset.trajectories):
            sign = -1.0 if number % 2 else 1.0
            actions = np.full((STEPS, 1), 0.7 * sign)
            start = np.array([0.02 * (number // 2) - 0.03])
            states = np.concatenate([start[None], env.rollout(start, actions[None])[0]])
            made.append(from_states(env, f"{task}/{number}", states, actions))
        return made


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("VIPL_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(scope="module")
def encoder():
    return Columns("resnet10t", output_dim=1, image_size=SIZE)


def suite(**changes):
    made = Taught(**{"steps": STEPS, "image_size": SIZE, **changes})
    made.settings = {"offline_rl": QUICK, "imitation": QUICK}
    return made


def run(suite, encoder, protocol="offline_rl", *, variant="main", seed=0, task="right"):
    cell = Cell(task, "front", seed, protocol, variant)
    with torch.inference_mode():
        return suite.run_cell(cell, encoder, np.random.default_rng(seed))


@pytest.mark.parametrize("sees", ["pictures", "states"])
def test_rewards_tell_which_trajectories_to_follow(encoder, sees):
    seen = encoder if sees == "pictures" else None
    for task in ("left", "right"):
        assert run(suite(), seen, task=task).metrics["success"] == 1
    # Without rewards it is one and the same policy, which cannot do both.
    errors = [run(suite(), seen, "imitation", task=t).metrics["error"] for t in ("left", "right")]
    assert sum(errors) > 1.5


def test_an_outcome_says_what_the_episodes_did(encoder):
    outcome = run(suite(), encoder)
    progress = outcome.info["progress"]
    assert [each["step"] for each in progress] == [100, 200, 300]
    assert outcome.metrics["best_success"] == max(each["success"] for each in progress)
    assert outcome.metrics["success"] == progress[-1]["success"]
    assert outcome.info["goal"] == "the ends of the trajectories"
    assert outcome.info["trajectories"] == [f"right/{number}" for number in range(8)]
    assert outcome.frames.shape == (STEPS + 1, SIZE, SIZE, 3)
    assert len(outcome.traces["error"]) == STEPS + 1


def test_same_seed_same_policy(encoder):
    first, again = run(suite(), encoder), run(suite(), encoder)
    assert first.traces == again.traces
    assert run(suite(), encoder, seed=1).traces != first.traces


def test_another_goal_leads_elsewhere(encoder):
    outcome = run(suite(), encoder, variant="random_goal")
    assert outcome.info["goal"] == "left/0"
    assert outcome.metrics["error"] > 1


def test_a_data_set_is_embedded_once(encoder, home, monkeypatch):
    first = run(suite(), encoder)
    (kept,) = (home / "embeddings").iterdir()
    seen = []
    embed = Columns.embed
    monkeypatch.setattr(Columns, "embed", lambda *a, **k: seen.append(len(a[1])) or embed(*a, **k))
    run(suite(), encoder, "imitation", seed=1)  # of another protocol and seed
    assert set(seen) == {QUICK.episodes}  # all episodes of a step in one batch, and nothing else
    kept.write_bytes(kept.read_bytes()[:100])  # torn
    assert run(suite(), encoder).traces == first.traces
    run(suite(), encoder, task="left")
    assert len(list((home / "embeddings").iterdir())) == 2


def test_episodes_do_not_depend_on_each_other(encoder):
    env = suite().make_env("right")
    view = View(env, "front", encoder)
    policy = Policy(1, 1, (8,)).eval()
    starts = np.linspace(-0.5, 0.5, 5)[:, None]
    together = run_policy(view, policy, starts, steps=7)
    assert together.shape == (8, 5, 1)
    alone = [run_policy(view, policy, start[None], steps=7) for start in starts]
    assert np.allclose(together, np.concatenate(alone, axis=1), atol=1e-6)


def test_weights_are_those_of_the_paper():
    rewards = np.array([-1.0, 0.0, 2.0])
    training = PolicyTraining(temperature=0.5)
    expected = np.exp(0.5 * rewards)
    assert np.allclose(reward_weights(rewards, training), expected / expected.mean())
    spread = reward_weights(rewards, replace(training, scale="spread"))
    quartiles = np.subtract(*np.percentile(rewards, [75, 25]))
    expected = np.exp(0.5 * rewards / (quartiles / 1.349))
    assert np.allclose(spread, expected / expected.mean(), rtol=1e-3)
    assert np.allclose(spread, reward_weights(1e-4 * rewards, replace(training, scale="spread")))
    most = reward_weights(np.array([0.0, 1e4]), replace(training, max_weight=9))
    assert most[1] / most[0] == pytest.approx(9)
    assert np.allclose(reward_weights(np.zeros(3), replace(training, scale="spread")), 1)
    with pytest.raises(UserError, match="1 of 3 rewards are not finite"):
        reward_weights(np.array([0.0, np.nan, 1.0]), training)


def test_training_minimises_the_weighted_error():
    """Two actions for one observation: the best is their weighted mean."""
    observations = np.random.default_rng(0).normal(size=(64, 2))
    actions = np.where(np.arange(64)[:, None] % 2, 0.8, -0.4)
    weights = np.where(np.arange(64) % 2, 1.5, 0.5)
    training = PolicyTraining(steps=1500, lr=3e-3, hidden=(), evaluate_every=1500, batch_size=64)
    ((step, policy),) = train_policy(observations, actions, weights, training, seed=0)
    assert step == 1500
    assert policy.act(observations).mean() == pytest.approx(0.75 * 0.8 - 0.25 * 0.4, abs=0.05)


def test_cells_and_what_does_not_go_together():
    cells = suite().cells(Grid(seeds=[0], protocol="imitation"), oracle=False)
    assert {cell.variant for cell in cells} == {"main", "oracle", "random"}
    cells = suite().cells(Grid(seeds=[0], protocol="offline_rl"), oracle=False)
    assert {cell.variant for cell in cells} == {"main", "oracle", "random", "random_goal"}
    with pytest.raises(UserError, match=r"budgets .* do not go with offline_rl"):
        suite().cells(Grid(seeds=[0], protocol="offline_rl", budgets=[8]), oracle=False)


def test_what_cannot_be_learnt_from(encoder):
    with pytest.raises(UserError, match="no trajectories of its own: name a Minari data set"):
        run(Lines(steps=3, image_size=SIZE), encoder)
    env = suite().make_env("right")
    states = np.zeros((4, 1))
    unsolved = [from_states(env, "still", states, np.zeros((3, 1)))]
    with pytest.raises(UserError, match="none of 1 trajectories ends solved"):
        make_data(View(env, "front", encoder), unsolved, rendering="")
    with pytest.raises(UserError, match="no states, which the oracle sees"):
        make_data(View(env, "front", None), [replace(unsolved[0], observations=None)], rendering="")
    for settings, message in (
        ({"steps": 0}, "^steps is 0"),
        ({"batch_size": 1}, "^batch_size is 1"),
        ({"lr": float("nan")}, "^lr is nan"),
    ):
        with pytest.raises(UserError, match=message):
            PolicyTraining(**settings)
    with pytest.raises(UserError, match=r"dataset\.trajectories is 0"):
        Dataset(trajectories=0)


def test_a_real_encoder_is_trained_beside_in_inference_mode():
    """Its embeddings are inference tensors, which nothing can be trained on."""
    torch.manual_seed(0)
    outcome = run(suite(steps=2), Encoder("resnet10t", output_dim=4, image_size=SIZE))
    assert 0 <= outcome.metrics["success"] <= 1
