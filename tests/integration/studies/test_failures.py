"""The program that asks why planned episodes ended unsolved."""

import json
import math
import subprocess
import sys

import pytest
import torch
from studies.planning_all_tasks.failures import Viewer, first_for_good

from tests import ROOT
from vipl.cli import main
from vipl.evaluation.evaluator import MAIN, TRAJOPT, Cell
from vipl.evaluation.running.encoders import read_encoder
from vipl.models import Encoder
from vipl.models.checkpoint import save_encoder

pytestmark = pytest.mark.usefixtures("opengl")


@pytest.mark.parametrize(
    ("true", "since"),
    [([True], 0), ([False], None), ([True, False, True, True], 2), ([True, False], None)],
)
def test_for_good(true, since):
    assert first_for_good(true) == since


@pytest.mark.slow
def test_an_unsolved_episode_is_asked_about(tmp_path):
    torch.manual_seed(0)
    encoder = tmp_path / "encoder"
    save_encoder(Encoder("resnet10t", output_dim=8, image_size=32), encoder)
    main([
        "eval", "--suite", "frankakitchen", "--encoder", str(encoder),
        "--out", str(tmp_path / "out"), "--run-id", "planned", "tasks=[rdoor_open]",
        "cameras=[left_cam]", "seeds=[0]",
        "controls=[]", "steps=2", "trajopt.samples=2", "image_size=32",
    ])  # fmt: skip
    (run,) = (tmp_path / "out").glob("*/planned")
    done = ask(run)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    (episode,) = result["episodes"]
    assert episode["episode"] == "rdoor_open left_cam 0"
    for name in ("start", "end", "best_plan", "untouched", "solved", "rise"):
        assert math.isfinite(episode[name])
        assert episode[name] > 0
    assert 30 < episode["pixels"] < 32 * 32 / 2
    assert 0 <= episode["sees"] <= 1
    assert episode["way_steps"] > 10  # the door has not been touched in two steps
    assert episode["rise"] >= 1
    table = done.stdout.splitlines()
    assert table[0].count("|") == table[2].count("|")

    save_encoder(Encoder("resnet10t", output_dim=8, image_size=32), encoder)
    changed = ask(run)
    assert changed.returncode == 1
    assert changed.stderr == f"error: {encoder} is not the encoder that planned was planned with\n"


def test_pixels_are_also_those_of_what_follows_the_object(tmp_path):
    """A knob turns few; the plate that it lights is most of what there is to see."""
    torch.manual_seed(0)
    encoder = tmp_path / "encoder"
    save_encoder(Encoder("resnet10t", output_dim=8, image_size=96, central_fraction=1), encoder)
    run = {
        "run_id": "planned",
        "encoder": {"source": str(encoder), "sha256": read_encoder(str(encoder)).sha256},
        "config": {"image_size": 128, "offsamples": 0, "mesh_grid_m": 0.012, "trajopt": {}},
    }
    viewer = Viewer(run, Cell("knob1_on", "left_cam", 0, TRAJOPT, MAIN))
    assert 60 < viewer.pixels() < 90
    viewer.env.close()


def test_a_folder_that_is_no_run_is_one_sentence(tmp_path):
    done = ask(tmp_path)
    assert done.returncode == 1
    assert done.stderr == f"error: {tmp_path} is no run of vipl eval: it has no run.json\n"


def ask(run):
    program = [sys.executable, "-m", "studies.planning_all_tasks.failures"]
    return subprocess.run(
        [*program, str(run), "--poses", "4", "--plans", "2"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
