"""`vipl eval protocol=correlation` on the kitchen, in small, and where its objects can be put."""

import json

import numpy as np
import pytest
import torch

from vipl import save_encoder
from vipl.cli import main
from vipl.models.encoder import Encoder
from vipl_evaluators.frankakitchen.environment import ROBOT_JOINTS, KitchenEnv
from vipl_evaluators.frankakitchen.qualities import KitchenGuide
from vipl_evaluators.frankakitchen.tasks import TASKS
from vipl_evaluators.qualities import make_trajectories


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch, opengl):
    monkeypatch.setenv("VIPL_HOME", str(tmp_path / "home"))


@pytest.mark.slow
def test_an_encoder_is_compared_with_the_true_error(tmp_path):
    torch.manual_seed(5)
    encoder = save_encoder(Encoder("resnet10t", output_dim=4, image_size=32), tmp_path / "e")
    command = ["eval", "--suite", "frankakitchen", "--protocol", "correlation", "--encoder"]
    command += [str(encoder), "--out", str(tmp_path), "--run-id", "it", "--workers", "0"]
    small = ["tasks=[light_on]", "cameras=[left_cam]", "seeds=[0]", "image_size=32"]
    small += ["correlation.dataset.trajectories=3", "controls=[oracle]"]
    assert main([*command, *small]) == 0
    folder = tmp_path / "frankakitchen-v1/it"
    lines = (folder / "records.jsonl").read_text().splitlines()
    found = {record["variant"]: record for record in map(json.loads, lines)}
    names = ["value_correlation", "reward_correlation", "object_sensitivity"]
    assert list(found["oracle"]["metrics"].values()) == [1, 1, 1]
    assert list(found["main"]["metrics"]) == names
    assert all(-1 <= value < 1 for value in found["main"]["metrics"].values())
    told = found["main"]["info"]
    assert (told["trajectories"], told["solved"], told["poses"]) == (3, 1, 16)
    assert told["goal"] == "light_on/start_03"
    assert "Object sensitivity" in (folder / "report.html").read_text()


@pytest.mark.parametrize("task", ["light_on", "knob1_off", "sdoor_open", "micro_close"])
def test_the_object_is_put_where_a_trajectory_has_it(task):
    """Also what follows it, as the light its switch: states are those of physics."""
    env = KitchenEnv(TASKS[task], image_size=32)
    ((_, states, _),) = make_trajectories(KitchenGuide(env), "expert", 1, task=task)
    own = env.task
    joint = env.qpos(states)[:, own.qpos_index]
    shares = (joint - own.start) / (own.goal - own.start)
    placed = env.place_object(states[:1], shares)[0]
    objects = [own.qpos_index]
    if task in ("light_on", "knob1_off"):
        objects.append(own.qpos_index + 1)  # the lamp, the burner
    settled = slice(2, None)  # a trajectory's first states have not yet brought them together
    got, expected = (env.qpos(each)[settled, objects] for each in (placed, states))
    assert (np.abs(got - expected).max(axis=0) < 0.06 * np.ptp(expected, axis=0)).all()
    rest = np.setdiff1d(np.arange(env.model.nq), objects)
    assert np.array_equal(
        env.qpos(placed)[:, rest], np.tile(env.qpos(states)[0, rest], (len(placed), 1))
    )
    assert np.allclose(env.true_errors(placed, states[-1]), env.object_error(states))
    assert np.array_equal(
        placed[:, : 1 + ROBOT_JOINTS], np.tile(states[0, : 1 + ROBOT_JOINTS], (len(placed), 1))
    )
    env.close()


def test_moving_the_object_shows():
    env = KitchenEnv(TASKS["sdoor_open"], image_size=64)
    ((closed, opened),) = env.place_object(env.start_state()[None], np.array([0.0, 1.0]))
    pictures = env.render(np.stack([closed, opened]), "left_cam").astype(int)
    assert np.abs(pictures[0] - pictures[1]).max() > 50
    assert not env.is_success(closed)
    assert env.is_success(opened)
    env.close()
