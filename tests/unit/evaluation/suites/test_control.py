"""Control suites: planning on a line, what goals and controls do, which cells there are."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from tests.fixtures.lines import SIZE, Columns, Line, Lines
from tests.fixtures.toy_suite import Toy
from vipl.control.mppi import Planner
from vipl.errors import UserError
from vipl.evaluation.earlier_keys import EARLIER_UNITS
from vipl.evaluation.evaluator import Cell, Grid
from vipl.models.encoder import Encoder


@pytest.fixture(scope="module")
def encoder():
    return Columns("resnet10t", output_dim=1, image_size=SIZE)


def run(suite, encoder, variant="main", seed=0, task="left", camera="front"):
    cell = Cell(task, camera, seed, "trajopt", variant)
    with torch.inference_mode():
        return suite.run_cell(cell, encoder, np.random.default_rng(seed))


PLANNER = Planner(samples=32, horizon_steps=4, score="normalised")


def lines(planner=PLANNER, **changes):
    suite = Lines(**{"steps": 30, "image_size": SIZE, **changes})
    suite.settings = {"trajopt": planner}
    return suite


def test_a_true_distance_solves_it_and_its_traces_say_so(encoder):
    outcome = run(lines(), encoder)
    assert outcome.metrics["success"] == outcome.metrics["ever_success"] == 1
    assert outcome.metrics["error"] < 0.1
    assert outcome.frames.shape == (31, SIZE, SIZE, 3)
    assert [len(trace) for trace in outcome.traces.values()] == [31, 31]
    distance = outcome.traces["distance"]
    assert distance[0] == pytest.approx(0.4 * (SIZE - 9), abs=1)  # of columns, from 0 to -0.8
    assert distance[-1] < 0.2 * distance[0]
    assert outcome.info == {"goal": "left/0"}


def test_only_last_frames_are_rendered_to_plan(encoder):
    suite = lines(planner=Planner(samples=5, horizon_steps=4), steps=3)
    run(suite, encoder)
    assert suite._current[1].drawn == [1, 5, 5, 5, 4]  # the goal, three steps, the video


def test_the_oracle_needs_no_encoder():
    outcome = run(lines(planner=Planner(samples=32, horizon_steps=4)), None)
    assert outcome.metrics["success"] == 1
    assert "distance" not in outcome.traces


def test_another_goal_leads_elsewhere(encoder):
    outcome = run(lines(), encoder, variant="random_goal")
    assert outcome.info == {"goal": "right/0"}
    assert outcome.metrics["success"] == 0
    assert outcome.metrics["error"] > 1  # measured to the task's own goal


def test_same_seed_same_outcome_after_other_cells(encoder):
    suite = lines()
    first = run(suite, encoder)
    run(suite, encoder, seed=1, task="right")
    again = run(suite, encoder)
    assert first.traces == again.traces
    assert run(suite, encoder, seed=2).traces != first.traces


def test_easy_starts_on_the_way(encoder):
    hard, easy = lines(setting="hard", steps=1), lines(setting="easy", steps=1)
    assert run(hard, encoder).traces["error"][0] == pytest.approx(0.8)
    # The first success is at frame 36, half-way is 18, before 20.
    assert run(easy, encoder).traces["error"][0] == pytest.approx(0.8 - 18 * 0.02)
    assert (Lines().steps, Lines(setting="easy").steps) == (100, 50)


def test_a_goal_picture_of_any_size_can_be_given(encoder, tmp_path):
    picture = np.zeros((SIZE, SIZE, 3), dtype=np.uint8)
    picture[:, -9:-1] = 255
    Image.fromarray(picture).resize((SIZE * 3, SIZE * 3)).save(tmp_path / "left_front.png")
    suite = lines(goal_image=str(tmp_path / "{task}_{camera}.png"))
    real = Encoder("resnet10t", output_dim=4, image_size=SIZE)
    outcome = run(replace_steps(suite, 1), real)
    assert outcome.info["goal"].endswith("left_front.png")
    with pytest.raises(UserError, match=r"right_front\.png: the picture does not"):
        run(suite, real, task="right")
    (tmp_path / "right_front.png").write_text("no picture")
    with pytest.raises(UserError, match=r"right_front\.png: not a picture"):
        run(suite, real, task="right")


def replace_steps(suite, steps):
    suite.steps = steps
    return suite


def test_budgets_change_the_number_of_samples(encoder):
    suite = lines(steps=2)
    run(suite, encoder, variant="samples=7")
    assert suite._current[1].drawn[1:3] == [7, 7]
    assert suite.settings == {"trajopt": replace(PLANNER, samples=32)}


def test_the_grid_has_every_control():
    grid = Grid(seeds=(0, 1), budgets=(8, 32, 128))
    cells = lines().cells(grid, oracle=False)
    count = {
        variant: sum(c.variant == variant for c in cells) for c in cells for variant in [c.variant]
    }
    # The oracle sees no camera; 32 samples are what the planner has anyway.
    assert count == {
        "main": 8, "samples=8": 8, "samples=128": 8, "oracle": 4, "random": 8, "random_goal": 8,
    }  # fmt: skip
    assert len(set(cells)) == len(cells)
    assert cells[0] == Cell("left", "front", 0, "trajopt", "main")
    assert {c.variant for c in lines().cells(Grid(controls=()), oracle=False)} == {"main"}
    oracle = lines().cells(Grid(seeds=(0,)), oracle=True)
    assert oracle == [Cell(t, "front", 0, "trajopt") for t in ("left", "right")]


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        (Grid(tasks=["lefft"]), "no task 'lefft': expected left"),
        (Grid(cameras=["frond"]), "no camera 'frond': expected front"),
        (Grid(protocol="trajop"), "no protocol 'trajop': expected trajopt"),
        (Grid(controls=["oracel"]), "no control 'oracel': expected oracle"),
    ],
)
def test_unknown_names_are_refused_with_near_ones(grid, message):
    with pytest.raises(UserError, match=message):
        lines().cells(grid, oracle=False)


@pytest.mark.parametrize("options", [{"steps": 0}, {"image_size": 7}, {"image_size": 225}])
def test_impossible_options_are_refused(options):
    with pytest.raises(UserError, match=next(iter(options))):
        lines(**options)


def test_a_suite_of_version_0_1_is_told_what_to_write():
    with pytest.raises(UserError, match="must take the data set, too: def make_trajectories"):
        type("Old", (Lines,), {"make_trajectories": lambda self, task, env, *, seed=0: []})


def test_an_environment_that_draws_at_another_size_is_refused():
    class Large(Line):
        image_size = 2 * SIZE

    suite = type("Sized", (Lines,), {"make_env": lambda self, task: Large(0.8)})(image_size=SIZE)
    with pytest.raises(UserError, match=r"Sized.make_env .* draws 64 px, .* is 32: .*env_options"):
        run(suite, None)


def test_protocols_say_what_their_runs_are_called():
    said = {name: Lines.unit_of(name) for name in Lines.protocols}
    assert said == {
        "trajopt": "episode", "offline_rl": "training", "imitation": "training",
        "online_rl": "training", "correlation": "data set", "gain": "data set",
    }  # fmt: skip
    assert [name for name in said if Lines.plans(name)] == ["trajopt"]
    # What runs of version 0.1 are taken for.
    assert said == {"trajopt": "episode", **EARLIER_UNITS}
    # A suite without such protocols has its own word, and its samples are a budget.
    assert (Toy.unit_of("walk"), Toy.plans("walk")) == ("episode", True)
