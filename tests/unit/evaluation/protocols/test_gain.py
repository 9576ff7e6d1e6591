"""Weighing sampled plans by a distance: on hand-made scores, and for a point on a line."""

import json
import math

import numpy as np
import pytest
import torch

from tests.fixtures.lines import SIZE, Columns, Line, Lines
from vipl import save_encoder
from vipl.cli import main
from vipl.control.mppi import Planner
from vipl.control.trajectories import from_states
from vipl.errors import UserError
from vipl.evaluation.evaluator import Cell, Grid
from vipl.evaluation.protocols.gain import STATES, GainSettings, Tried, gain, measure
from vipl.models.encoder import Encoder

PLANNER = GainSettings(samples=32, horizon_steps=4, score="normalised")


class Walks(Lines):
    """Has trajectories: random walks."""

    def make_trajectories(self, task, env, dataset, *, seed=0):
        rng = np.random.default_rng(seed)
        walks = np.clip(rng.normal(0, 0.1, (3, 30, 1)).cumsum(axis=1), -0.7, 0.7)
        return [
            from_states(env, f"{task}/{n}", walk, np.zeros((29, 1))) for n, walk in enumerate(walks)
        ]


def run(encoder, variant="main", *, seed=0, planner=PLANNER):
    suite = Walks(image_size=SIZE)
    suite.settings = {"gain": planner}
    cell = Cell("left", "front", seed, "gain", variant)
    with torch.inference_mode():
        return suite.run_cell(cell, encoder, np.random.default_rng(seed))


@pytest.fixture(scope="module")
def encoder():
    return Columns("resnet10t", output_dim=1, image_size=SIZE)


def test_gain_by_hand():
    planner = Planner(temperature=math.log(3))
    truths = np.array([0.0, 1.0])
    good = Tried(np.array([4.0, 5.0]), truths)  # weights 1/4 and 3/4, as by the truth
    bad = Tried(np.array([1.0, 0.0]), truths)
    flat = Tried(np.array([2.0, 2.0]), truths)
    assert gain([good], planner) == pytest.approx(1)
    assert gain([bad], planner) == pytest.approx(-1)
    assert gain([flat], planner) == pytest.approx(0)
    assert gain([good, flat], planner) == pytest.approx(0.5)
    assert gain([Tried(np.array([1.0, 2.0]), np.ones(2))], planner) is None


def test_where_more_can_be_won_counts_for_more():
    planner = GainSettings(score="normalised", temperature=1)
    truths = np.array([0.0, 1.0, 2.0])
    good, bad = Tried(truths, 9 * truths), Tried(-truths, truths)
    assert gain([good, bad], planner) == pytest.approx(0.8)


def test_a_true_distance_gains_nearly_all_another_goal_the_opposite(encoder):
    outcome = run(encoder)
    assert outcome.metrics["gain"] > 0.8  # it sees the last frame, the true reward all of them
    assert outcome.metrics["plan_correlation"] > 0.8
    assert outcome.info == {"goal": "left/0", "states": STATES, "undefined_states": 0}
    assert run(encoder, "random_goal").metrics["gain"] < -0.8
    assert run(None).metrics == {"gain": 1, "plan_correlation": pytest.approx(1)}


def test_a_seed_draws_states_and_plans_the_same_for_all(encoder):
    assert run(encoder).metrics == run(encoder).metrics
    assert run(encoder).metrics != run(encoder, seed=1).metrics


def test_the_planner_is_heeded(encoder):
    rough = GainSettings(samples=2, horizon_steps=4, score="normalised")
    assert run(encoder, planner=rough).metrics != run(encoder).metrics


def test_what_is_the_same_everywhere_has_no_value():
    env = Line(0.8)
    trajectory = from_states(env, "one", np.zeros((5, 1)), np.zeros((4, 1)))
    outcome = measure(
        env, [trajectory], lambda states: np.zeros(len(states)), planner=PLANNER,
        rng=np.random.default_rng(0),
    )  # fmt: skip
    assert outcome.metrics == {"gain": pytest.approx(0)}
    assert "all plans score the same" in outcome.undefined["plan_correlation"]
    assert outcome.info == {"states": 5, "undefined_states": 5}
    env.true_reward = lambda states: np.zeros(states.shape[:-1])
    outcome = measure(env, [trajectory], None, planner=PLANNER, rng=np.random.default_rng(0))
    assert outcome.metrics == {}
    assert "by the true reward" in outcome.undefined["gain"]


def test_without_states_nothing_can_be_tried():
    env = Line(0.8)
    one = from_states(env, "pictures", np.zeros((3, 1)), np.zeros((2, 1)))
    unknown = type(one)(**{**vars(one), "states": None})
    with pytest.raises(UserError, match="pictures has no states, which protocol=gain"):
        measure(env, [unknown], None, planner=PLANNER, rng=np.random.default_rng(0))


def test_the_report_shows_it_and_speaks_of_no_budget(tmp_path, capsys):
    torch.manual_seed(0)
    small = save_encoder(Encoder("resnet10t", output_dim=4, image_size=32), tmp_path / "encoder")
    command = [
        "eval",
        "--suite",
        "tests.unit.evaluation.protocols.test_gain:Walks",
        "--protocol",
        "gain",
    ]
    command += ["--encoder", str(small), "--out", str(tmp_path), "--run-id", "it", "--workers", "0"]
    assert main([*command, "tasks=[left]", "cameras=[front]", "seeds=[0,1]"]) == 0
    folder = tmp_path / "tests.unit.evaluation.protocols.test_gain.Walks-v1/it"
    records = [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]
    assert {record["variant"] for record in records} == {"main", "oracle", "random", "random_goal"}
    assert all(set(record["metrics"]) == {"gain", "plan_correlation"} for record in records)
    page = (folder / "report.html").read_text()
    assert "Gain (share of what the true reward gains)" in page
    assert "planning budget" not in page
    assert "2 data sets" in page
    capsys.readouterr()
    assert main([*command, "tasks=[left]", "cameras=[front]", "seeds=[0,1]", "steps=7"]) == 0
    assert "done before: 8 of 8 cells" in capsys.readouterr().out


def test_budgets_do_not_go_with_it():
    with pytest.raises(UserError, match="do not go with gain"):
        Walks().cells(Grid(protocol="gain", budgets=[8]), oracle=False)
