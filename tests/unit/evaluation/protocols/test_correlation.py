"""How well distances agree with true errors: on hand-made data, and on a table whose truth is."""

import json

import numpy as np
import pytest
import scipy.stats
import torch

from tests.fixtures.lines import Lines
from tests.fixtures.tables import SIZE, STEPS, Sees, Still, Table, Tables
from vipl import save_encoder
from vipl.cli import main
from vipl.control.trajectories import from_states
from vipl.errors import UserError
from vipl.evaluation.evaluator import Cell, Grid
from vipl.evaluation.protocols.correlation import CorrelationSettings, sweep, true_error
from vipl.evaluation.protocols.dataset import Dataset
from vipl.evaluation.protocols.ranks import (
    Course,
    UndefinedError,
    changes,
    object_sensitivity,
    rank_correlation,
)
from vipl.models.encoder import Encoder

VALUE, REWARD, OBJECT = "value_correlation", "reward_correlation", "object_sensitivity"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("VIPL_HOME", str(tmp_path / "home"))


def sees(what):
    encoder = Sees("resnet10t", output_dim=1, image_size=SIZE)
    encoder.what = what
    if what != "object":  # what is kept on disk is told apart by weights
        encoder.network.conv1[0].weight.data += len(what)
    return encoder


def run(encoder, variant="main", *, seed=0, task="there", suite=Tables, **dataset):
    made = suite(image_size=SIZE)
    asked = Dataset(**{"trajectories": 6, **dataset})
    made.settings = {"correlation": CorrelationSettings(asked)}
    cell = Cell(task, "front", seed, "correlation", variant)
    with torch.inference_mode():
        return made.run_cell(cell, encoder, np.random.default_rng(seed))


def course(distances, errors):
    return Course("one", True, np.array(distances, float), np.array(errors, float))


def test_ranks_are_correlated_by_hand_with_ties():
    distances, errors = np.array([0.1, 0.4, 0.2, 9.0]), np.array([1.0, 2.0, 3.0, 4.0])
    assert rank_correlation(distances, errors) == pytest.approx(1 - 6 * 2 / (4 * 15))
    assert rank_correlation(-distances, errors) == pytest.approx(-0.8)
    rng = np.random.default_rng(0)
    many, ties = rng.normal(size=500), rng.integers(0, 5, 500).astype(float)
    ranks = [scipy.stats.rankdata(values) for values in (many, ties)]
    assert rank_correlation(many, ties) == pytest.approx(np.corrcoef(*ranks)[0, 1])
    assert rank_correlation(np.exp(5 * ties), ties) == 1  # of any shape


@pytest.mark.parametrize(
    ("distances", "errors", "reason"),
    [
        ([3.0, 3.0, 3.0], [1.0, 2.0, 3.0], "the distance is the same in all of 3"),
        ([100.0, 100.00001, 100.0], [1.0, 2.0, 3.0], "the distance is the same"),
        ([1.0, 2.0], [5.0, 5.0], "the true error is the same in all of 2"),
        ([0.0, 0.0], [1.0, 2.0], "the distance is the same"),
        ([1.0], [1.0], "the same in all of 1"),
    ],
)
def test_a_correlation_with_a_constant_is_undefined(distances, errors, reason):
    with pytest.raises(UndefinedError, match=reason):
        rank_correlation(np.array(distances), np.array(errors))


def test_changes_stay_within_a_trajectory():
    courses = [course([5, 4, 2], [9, 9, 7]), course([1, 1], [0, 0]), course([3, 0, 0, 1], [1] * 4)]
    distances, errors = changes(courses, 2)
    assert distances.tolist() == [-3, -3, 1]
    assert errors.tolist() == [-2, 0, 0]
    with pytest.raises(UndefinedError, match="no trajectory is longer than 4 steps"):
        changes(courses, 4)


def test_object_sensitivity_is_the_mean_over_poses_that_have_one():
    errors = np.tile([3.0, 2.0, 1.0, 0.0], (4, 1))
    distances = np.array([[3, 2, 1, 0], [0, 3, 1, 2], [7, 7, 7, 7], [9, 7, 8, 6]], float)
    rows = [scipy.stats.spearmanr(distances[i], errors[i]).statistic for i in (0, 1, 3)]
    assert rows[0] == pytest.approx(1)
    mean, without = object_sensitivity(distances, errors)
    assert mean == pytest.approx(np.mean(rows))
    assert without == 1
    with pytest.raises(UndefinedError, match="changes nothing in any of 1 poses"):
        object_sensitivity(distances[2:3], errors[2:3])


def test_true_errors_are_hundredths_of_the_way_that_are_left():
    way = np.linspace([0.0, 0.2], [1.0, 0.7], 5)
    measure = true_error(Table(), way)
    objects = np.array([0.2, 0.2004, 0.19, 0.45, 0.7, 0.9])
    states = np.stack([np.zeros(6), objects], axis=1)
    assert measure(states).tolist() == [100, 100, 102, 50, 0, 40]
    with pytest.raises(UserError, match="true error is 0 at the task's goal and 0 at its start"):
        true_error(Table(), way[[0, 0]])


def test_only_the_object_moves_in_a_sweep():
    states = np.random.default_rng(0).uniform(size=(50, 2))
    swept = sweep(Table(), states, np.random.default_rng(1))
    assert swept.shape == (16, 6, 2)
    assert set(swept[:, 0, 0]) <= set(states[:, 0])
    assert len(set(swept[:, 0, 0])) == 16
    assert np.ptp(swept[..., 0], axis=1).max() == 0
    assert np.allclose(swept[..., 1], np.linspace(0, 1, 6))
    assert sweep(Table(), states[:3], np.random.default_rng(1)).shape == (3, 6, 2)


def test_an_encoder_that_sees_the_object_agrees():
    outcome = run(sees("object"))
    assert outcome.metrics[OBJECT] == 1
    assert outcome.metrics[VALUE] > 0.95  # a column is several hundredths wide
    assert outcome.metrics[REWARD] > 0.7
    assert outcome.undefined == {}
    told = outcome.info
    assert (told["trajectories"], told["solved"]) == (6, 1)
    assert (told["frames"], told["lag_steps"], told["lag_s"]) == (6 * (STEPS + 1), 4, 0.4)
    assert (told["poses"], told["undefined_poses"], told["goal"]) == (16, 0, "there/0")
    assert [each["name"] for each in told["courses"]] == [f"there/{n}" for n in range(6)]


def test_an_encoder_that_sees_the_arm_alone_is_found_out():
    """Its distance falls on every trajectory, also where nothing is brought anywhere."""
    arm, both = run(sees("arm")), run(sees("object"))
    assert 0 < arm.metrics[VALUE] < both.metrics[VALUE] - 0.2
    assert OBJECT not in arm.metrics
    assert arm.undefined == {OBJECT: "moving the object changes nothing in any of 16 poses"}


def test_the_value_correlation_is_that_of_all_frames_together():
    outcome = run(sees("arm"), seed=3)
    suite = Tables()
    env = suite.make_env("there")
    made = suite.make_trajectories("there", env, Dataset(trajectories=6), seed=3)
    states = np.concatenate([each.states for each in made])
    columns = np.round(states[:, 0] * (SIZE - 8))
    ranked = scipy.stats.spearmanr(SIZE - 8 - columns, np.round(100 - 100 * states[:, 1]))
    assert outcome.metrics[VALUE] == pytest.approx(ranked.statistic)


def test_the_oracle_agrees_with_itself_and_another_goal_does_not():
    assert run(None).metrics == {VALUE: 1, REWARD: 1, OBJECT: 1}
    other = run(sees("object"), "random_goal")
    assert other.info["goal"] == "back/0"
    assert other.metrics[OBJECT] == -1


def test_a_seed_draws_the_trajectories():
    encoder = sees("object")
    first, again, other = run(encoder), run(encoder), run(encoder, seed=1)
    assert (first.metrics, first.info) == (again.metrics, again.info)
    assert first.info["courses"] != other.info["courses"]


def test_where_all_fail_what_cannot_be_told_is_left_out():
    """The object jitters, which is no order to agree with."""
    outcome = run(sees("arm"), quality="failing")
    reason = f"the true error is the same in all of {6 * (STEPS + 1)}"
    assert outcome.undefined[VALUE] == reason
    assert "the true error is the same" in outcome.undefined[REWARD]
    assert run(sees("object"), quality="failing").metrics == {OBJECT: 1}


def test_an_encoder_that_sees_nothing_has_no_correlation():
    outcome = run(sees("nothing"))
    assert outcome.metrics == {}
    assert set(outcome.undefined) == {VALUE, REWARD, OBJECT}


def test_one_trajectory_will_do():
    outcome = run(sees("object"), trajectories=1, quality="failing")
    assert outcome.info["trajectories"] == 1
    assert outcome.metrics == {OBJECT: 1}


def test_a_suite_that_cannot_place_its_object():
    outcome = run(sees("object"), suite=Still)
    assert set(outcome.metrics) == {VALUE, REWARD}
    assert outcome.undefined == {}


def test_without_states_true_errors_are_unknown(monkeypatch):
    def make(self, task, env, dataset, *, seed=0):
        one = from_states(env, "pictures", np.zeros((3, 2)), np.zeros((2, 2)))
        return [type(one)(**{**vars(one), "states": None})]

    monkeypatch.setattr(Tables, "make_trajectories", make)
    with pytest.raises(UserError, match="pictures has no states, which protocol=correlation"):
        run(sees("object"))


def test_true_errors_are_by_default_the_first_of_the_pose_errors():
    env, goal = Lines().make_env("left"), np.array([-0.8])
    states = np.array([[0.0], [-0.8], [0.2]])
    assert env.true_errors(states, goal).tolist() == pytest.approx([0.8, 0, 1.0])
    env.pose_errors = lambda states, goal: {}
    assert env.true_errors(states, goal).tolist() == pytest.approx([0.8, 0, 1.0])


def test_cells_and_what_does_not_go_together():
    suite = Tables()
    cells = suite.cells(Grid(seeds=[0], protocol="correlation"), oracle=False)
    assert {cell.variant for cell in cells} == {"main", "oracle", "random", "random_goal"}
    with pytest.raises(UserError, match="do not go with correlation"):
        suite.cells(Grid(protocol="correlation", budgets=[8]), oracle=False)


def evaluate(out, *more, encoder=None):
    if encoder is None:
        torch.manual_seed(0)
        small = Encoder("resnet10t", output_dim=4, image_size=32)
        encoder = save_encoder(small, out / "encoder")
    command = ["eval", "--suite", "tests.fixtures.tables:Tables", "--protocol", "correlation"]
    command += ["--encoder", str(encoder), "--out", str(out), "--run-id", "it", "--workers", "0"]
    assert (
        main(
            [*command, "tasks=[there]", "seeds=[0,1]", "correlation.dataset.trajectories=4", *more]
        )
        == 0
    )
    folder = out / "tests.fixtures.tables.Tables-v1/it"
    lines = (folder / "records.jsonl").read_text().splitlines()
    return folder, [json.loads(line) for line in lines]


def test_the_report_shows_it(tmp_path, capsys):
    folder, records = evaluate(tmp_path)
    variants = {record["variant"] for record in records}
    assert variants == {"main", "oracle", "random", "random_goal"}
    assert all(set(record["metrics"]) == {VALUE, REWARD, OBJECT} for record in records)
    run = json.loads((folder / "run.json").read_text())
    assert list(run["higher_is_better"]) == [VALUE, REWARD, OBJECT]
    page = (folder / "report.html").read_text()
    for part in ("Value correlation (of ranks, -1 to 1)", "Object sensitivity", "2 data sets"):
        assert part in page
    assert "hard setting" not in page
    assert "planning budget" not in page
    assert page.count(" fine") >= 4  # a path of points for each trajectory
    capsys.readouterr()
    evaluate(tmp_path, "trajopt.samples=5", "steps=7", "setting=easy", "offline_rl.steps=9")
    assert "done before: 8 of 8 cells" in capsys.readouterr().out


def test_the_oracle_under_test_is_no_rate(tmp_path, capsys):
    folder, records = evaluate(tmp_path, encoder="oracle")
    assert [record["metrics"][VALUE] for record in records] == [1, 1]
    page = (folder / "report.html").read_text()
    assert "Value correlation (of ranks, -1 to 1) 1.00" in page
    assert "100%" not in page.partition("<main>")[2].partition('id="made"')[0]
    table = capsys.readouterr().out.partition("task")[2]
    assert "main" in table
    assert "2/2" not in table


def test_what_is_undefined_is_said_in_records_and_report(tmp_path):
    folder, records = evaluate(tmp_path, "correlation.dataset.quality=failing", "controls=[]")
    for record in records:
        assert record["error"] is None
        assert set(record["metrics"]) == {OBJECT}
        assert set(record["info"]["undefined"]) == {VALUE, REWARD}
    summary = json.loads((folder / "summary.json").read_text())
    overall = summary["variants"]["main"]["metrics"][VALUE]["overall"]
    assert (overall["mean"], overall["n"], overall["failed"]) == (None, 0, 0)
    page = (folder / "report.html").read_text()
    assert "None of 2 finished data sets gave a result, as the true error is the same in" in page
    assert "none in 2 data sets, as the true error is the same in all of 164." in page
    assert "undefined" in page
