"""Policies that learn by acting: on a line, where the way to the goal is known."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.fixtures.lines import SIZE, Columns, Lines
from vipl.control.online import OnlineTraining
from vipl.errors import UserError
from vipl.evaluation.evaluator import Cell, Grid

pytest.importorskip("sb3_contrib")

STEPS = 12
QUICK = OnlineTraining(
    steps=1536, environments=8, hidden=(16,), rollout_episodes=1, lr=1e-2, evaluate_every=384,
    episodes=2, gamma=0.9,
)  # fmt: skip


@pytest.fixture(scope="module")
def encoder():
    return Columns("resnet10t", output_dim=1, image_size=SIZE)


def suite(online=QUICK, **changes):
    made = Lines(**{"steps": STEPS, "image_size": SIZE, **changes})
    made.settings = {"online_rl": online}
    return made


def run(suite, encoder, variant="main", *, seed=0, task="right"):
    cell = Cell(task, "front", seed, "online_rl", variant)
    with torch.inference_mode():
        return suite.run_cell(cell, encoder, np.random.default_rng(seed))


@pytest.mark.parametrize("task", ["left", "right"])
def test_the_visual_reward_leads_to_the_goal(encoder, task):
    outcome = run(suite(online=replace(QUICK, steps=2304)), encoder, task=task)
    assert outcome.metrics["success"] == 1, outcome.info
    progress = outcome.info["progress"]
    assert [each["step"] for each in progress] == list(range(384, 2305, 384))
    assert progress[-1]["mean_return"] > progress[0]["mean_return"]
    # The sum of an episode's rewards is how much nearer it ends: at most the whole way.
    assert progress[-1]["mean_return"] < 12


@pytest.mark.parametrize(("algorithm", "rollout"), [("ppo", 4), ("sac", 1)])
def test_other_algorithms_learn_it_too(encoder, algorithm, rollout):
    changes = {"algorithm": algorithm, "rollout_episodes": rollout, "steps": 1152}
    progress = run(suite(online=replace(QUICK, **changes)), encoder).info["progress"]
    # Of at most 8.75; episodes of a policy that does not know the way have about 0.
    assert progress[-1]["mean_return"] > 4, progress


def test_rewards_are_those_of_the_variant(encoder):
    sparse = run(suite(setting="easy"), encoder, "sparse_reward")
    true = run(suite(), encoder, "true_reward")
    oracle = run(suite(), None)
    for outcome, most in ((sparse, STEPS), (true, 0.8), (oracle, 0.8)):
        returns = [each["mean_return"] for each in outcome.info["progress"]]
        assert -0.9 <= max(returns) <= most
    summed = [8 * each["mean_return"] for each in sparse.info["progress"]]
    assert summed == [round(each) for each in summed]
    wrong = run(suite(), encoder, "random_goal")
    assert wrong.info["goal"] == "left/0"
    assert wrong.metrics["error"] > 0.8


def test_pictures_of_a_step_go_through_the_encoder_in_one_batch(encoder, monkeypatch):
    seen = []
    embed = Columns.embed
    monkeypatch.setattr(Columns, "embed", lambda *a, **k: seen.append(len(a[1])) or embed(*a, **k))
    once = replace(QUICK, steps=96, evaluate_every=96)
    run(suite(online=once), encoder)
    assert seen.count(1) == 1  # the goal
    assert set(seen) == {1, QUICK.environments, QUICK.episodes}
    # Beginnings: when made, the part's own, and after its only episode.
    assert seen.count(QUICK.environments) == STEPS + 3


@pytest.mark.parametrize("algorithm", ["trpo", "ppo", "sac"])
def test_it_goes_on_as_if_never_killed(encoder, algorithm, tmp_path):
    # SAC keeps fewer transitions than it sees.
    training = replace(QUICK, algorithm=algorithm, steps=384, evaluate_every=96, replay=256)
    whole = run(suite(online=training), encoder)

    class Killed(Exception):
        pass

    class Dies(Columns):
        left = 40

        def embed(self, images, *, batch_size=64):
            self.left -= 1
            if not self.left:
                raise Killed
            return super().embed(images, batch_size=batch_size)

    going = suite(online=training)
    going.checkpoint = tmp_path / "checkpoints" / "cell.pt"
    with pytest.raises(Killed):
        run(going, Dies("resnet10t", output_dim=1, image_size=SIZE))
    assert 0 < len(torch.load(going.checkpoint, weights_only=True)["progress"]) < 4
    again = run(going, encoder)
    assert again.info == whole.info
    assert again.traces == whole.traces
    assert run(going, encoder).traces == whole.traces  # killed after the last part


def test_same_seed_same_policy(encoder):
    short = suite(online=replace(QUICK, steps=384))
    first = run(short, encoder)
    np.random.seed(5)
    torch.manual_seed(5)
    assert run(short, encoder).traces == first.traces
    assert run(short, encoder, seed=1).traces != first.traces


def test_easy_begins_near_the_goal(encoder):
    easy = run(suite(setting="easy", steps=2, online=replace(QUICK, steps=16)), encoder)
    assert easy.traces["error"][0] == pytest.approx(0.4, abs=0.05)


def test_controls_go_with_their_protocol():
    grid = Grid(protocol="online_rl", controls=("oracle", "sparse_reward", "true_reward"))
    variants = {cell.variant for cell in suite().cells(grid, oracle=False)}
    assert variants == {"main", "oracle", "sparse_reward", "true_reward"}
    assert {cell.variant for cell in suite().cells(grid, oracle=True)} == {"main"}
    with pytest.raises(UserError, match="sparse_reward goes with protocol=online_rl, not trajopt"):
        suite().cells(replace(grid, protocol="trajopt"), oracle=False)
    with pytest.raises(UserError, match="do not go with online_rl"):
        suite().cells(replace(grid, budgets=(8,)), oracle=False)


@pytest.mark.parametrize(("name", "value"), [("steps", 0), ("gamma", 1.0), ("lr", 0.0)])
def test_settings_that_do_not_do(name, value):
    with pytest.raises(UserError, match=rf"^{name} is {value}, expected"):
        OnlineTraining(**{name: value})


def test_without_the_package(encoder, monkeypatch):
    monkeypatch.setitem(sys.modules, "sb3_contrib", None)
    with pytest.raises(UserError, match=r"pip install 'vipl\[online\]'"):
        run(suite(), encoder)


def test_an_encoder_that_is_not_sound(encoder):
    class Broken(Columns):
        def embed(self, images, *, batch_size=64):
            return super().embed(images, batch_size=batch_size) * float("nan")

    with pytest.raises(UserError, match="values are not finite"):
        run(suite(), Broken("resnet10t", output_dim=1, image_size=SIZE))
