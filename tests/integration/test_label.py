"""`vipl label`: a data set with visual rewards, which others read."""

import dataclasses
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from PIL import Image

from vipl import GoalReward, load_encoder, save_encoder
from vipl.cli import main
from vipl.models import Encoder

minari = pytest.importorskip("minari")
h5py = pytest.importorskip("h5py")

pytestmark = pytest.mark.filterwarnings("ignore:.*is set to None")

SIDE = 48
SPACE = gymnasium.spaces.Dict(
    {
        "place": gymnasium.spaces.Box(0, SIDE, (1,), np.float32),
        "picture": gymnasium.spaces.Box(0, 255, (SIDE, SIDE, 3), np.uint8),
    }
)


def draw(place):
    picture = np.full((SIDE, SIDE, 3), 40, np.uint8)
    picture[20:28, place : place + 6] = (250, 200, 30)
    return picture


def episode(places):
    from minari.data_collector import EpisodeBuffer

    steps = len(places) - 1
    return EpisodeBuffer(
        observations={
            "place": np.array(places, np.float32)[:, None],
            "picture": np.stack([draw(place) for place in places]),
        },
        actions=np.ones(steps, np.int64),
        rewards=[-1.0] * steps,
        terminations=[False] * steps,
        truncations=[False] * (steps - 1) + [True],
        infos={},
    )


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    torch.manual_seed(0)
    return save_encoder(load_encoder("random:resnet10t"), tmp_path_factory.mktemp("e") / "encoder")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A data set of two episodes; its pictures are stored as they are."""
    root = tmp_path_factory.mktemp("minari")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(root))
        minari.create_dataset_from_buffers(
            "dots/line-v0",
            [episode([2, 8, 14, 20]), episode([30, 20, 10])],
            observation_space=SPACE,
            action_space=gymnasium.spaces.Discrete(3),
            jpeg_encoding=False,
        )
    return root / "dots" / "line-v0"


@pytest.fixture(scope="module")
def goal(tmp_path_factory):
    file = tmp_path_factory.mktemp("goal") / "goal.png"
    Image.fromarray(draw(40)).save(file)
    return file


def command(source, out, encoder, *goals, more=()):
    options = ["--dataset", source, "--out", out, "--encoder", encoder, "--goal", *goals, *more]
    return ["label", *map(str, options)]


def rewards_of(folder: Path):
    return [one.rewards for one in minari.MinariDataset(folder / "data").iterate_episodes()]


@pytest.mark.parametrize("mode", ["difference", "value"])
def test_rewards_are_those_of_the_encoder_and_nothing_else_changes(
    source, goal, encoder, tmp_path, capsys, mode
):
    out = tmp_path / "labelled"
    assert main(command(source, out, encoder, goal, more=["--mode", mode])) == 0
    assert "2 episodes with the rewards of" in capsys.readouterr().out
    reward = GoalReward(load_encoder(encoder), torch.from_numpy(draw(40)).movedim(-1, 0))
    before = list(minari.MinariDataset(source / "data").iterate_episodes())
    after = list(minari.MinariDataset(out / "data").iterate_episodes())
    for old, new in zip(before, after, strict=True):
        images = torch.from_numpy(old.observations["picture"]).movedim(-1, 1)
        expected = reward.reward(images, mode=mode)
        np.testing.assert_allclose(new.rewards, expected, rtol=1e-4, atol=1e-6)
        np.testing.assert_array_equal(new.infos["task_reward"][1:], old.rewards)
        assert np.isnan(new.infos["task_reward"][0])
        np.testing.assert_array_equal(new.observations["picture"], old.observations["picture"])
        np.testing.assert_array_equal(new.actions, old.actions)
    assert [list(one.rewards) for one in before] == [[-1] * 3, [-1] * 2]
    said = json.loads((out / "data" / "metadata.json").read_text())["visual_reward"]
    assert json.loads(said)["mode"] == mode


def test_each_episodes_last_picture_as_its_goal(source, encoder, tmp_path):
    assert main(command(source, tmp_path / "a", encoder, "last")) == 0
    load = load_encoder(encoder)
    for places, rewards in zip(
        ([2, 8, 14, 20], [30, 20, 10]), rewards_of(tmp_path / "a"), strict=True
    ):
        images = torch.from_numpy(np.stack([draw(place) for place in places])).movedim(-1, 1)
        expected = GoalReward(load, images[-1]).reward(images)
        np.testing.assert_allclose(rewards, expected, rtol=1e-4, atol=1e-6)


def test_an_encoder_that_tells_nothing_apart_and_one_that_gives_no_numbers(
    source, goal, tmp_path, capsys
):
    broken = Encoder("test_resnet", output_dim=4, image_size=32)
    broken.network.fc.weight.data[:] = 0
    save_encoder(broken, tmp_path / "constant")
    assert main(command(source, tmp_path / "a", tmp_path / "constant", goal)) == 0
    assert "the embeddings do not differ" in capsys.readouterr().out
    assert not np.concatenate(rewards_of(tmp_path / "a")).any()
    broken.network.fc.bias.data[:] = torch.finfo(torch.float32).max
    broken.network.fc.weight.data[:] = 1e38
    save_encoder(broken, tmp_path / "overflowing")
    assert main(command(source, tmp_path / "b", tmp_path / "overflowing", goal)) == 2
    assert "images as numbers that are not finite" in capsys.readouterr().err
    assert not (tmp_path / "b").exists()


def test_an_id_of_minaris(source, goal, encoder, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(source.parents[1]))
    assert main(command("dots/line-v0", tmp_path / "a", encoder, goal)) == 0
    assert main(command("dots/lime-v0", tmp_path / "b", encoder, goal)) == 2
    assert "there is no data set 'dots/lime-v0'" in capsys.readouterr().err


def test_twice_keeps_the_first_rewards(source, goal, encoder, tmp_path):
    assert main(command(source, tmp_path / "a", encoder, goal)) == 0
    assert main(command(tmp_path / "a", tmp_path / "b", encoder, "last")) == 0
    one = next(iter(minari.MinariDataset(tmp_path / "b" / "data").iterate_episodes()))
    assert list(one.infos["task_reward"][1:]) == [-1] * 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": "."}, "is no Minari data set"),
        (
            {"goals": ["nowhere.png"]},
            "nowhere.png: the picture does not exist. Expected pictures of",
        ),
        ({"goals": [__file__]}, "not a picture that can be read"),
        ({"more": ["--image-key", "image"]}, "no pictures 'image', but ['picture']"),
        ({"encoder": "resnet10x"}, "there is no encoder 'resnet10x'"),
    ],
)
def test_what_cannot_be_labelled(source, goal, encoder, tmp_path, capsys, change, message):
    settings = {"source": source, "out": tmp_path / "a", "encoder": encoder, "goals": [goal]}
    settings.update({key: value for key, value in change.items() if key != "more"})
    goals = settings.pop("goals")
    assert main(command(*settings.values(), *goals, more=change.get("more", ()))) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_data_set(source, goal, encoder, tmp_path, capsys):
    damaged = tmp_path / "damaged"
    shutil.copytree(source, damaged)
    file = damaged / "data" / "main_data.hdf5"
    whole = file.read_bytes()
    file.write_bytes(whole[:3000])
    assert main(command(damaged, tmp_path / "a", encoder, goal)) == 2
    assert f"{damaged} cannot be read: OSError: " in capsys.readouterr().err
    file.write_bytes(whole)
    (damaged / "data" / "metadata.json").write_text("{")
    assert main(command(damaged, tmp_path / "a", encoder, goal)) == 2
    assert f"{damaged} cannot be read: " in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [damaged]


def test_a_folder_that_is_there_is_left(source, goal, encoder, tmp_path, capsys):
    assert main(command(source, tmp_path, encoder, goal)) == 2
    assert "is there already" in capsys.readouterr().err


def test_without_pictures(tmp_path, encoder, goal, capsys):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
        seen = episode([1, 2])
        one = dataclasses.replace(seen, observations=seen.observations["place"])
        minari.create_dataset_from_buffers(
            "blind-v0", [one], observation_space=SPACE["place"],
            action_space=gymnasium.spaces.Discrete(3),
        )  # fmt: skip
    assert main(command(tmp_path / "blind-v0", tmp_path / "a", encoder, goal)) == 2
    assert "which observations are pictures" in capsys.readouterr().err


def test_stable_baselines3_trains_on_it(source, goal, encoder, tmp_path):
    stable_baselines3 = pytest.importorskip("stable_baselines3")
    assert main(command(source, tmp_path / "a", encoder, goal)) == 0
    env = gymnasium.make("CartPole-v1")
    env.observation_space, env.action_space = SPACE["place"], gymnasium.spaces.Discrete(3)
    model = stable_baselines3.DQN("MlpPolicy", env, buffer_size=100, learning_starts=0)
    for one in minari.MinariDataset(tmp_path / "a" / "data").iterate_episodes():
        places = one.observations["place"]
        steps = zip(
            places[:-1], places[1:], one.actions, one.rewards, one.terminations, strict=True
        )
        for step in steps:
            model.replay_buffer.add(*(np.array([part]) for part in step), [{}])
    model.set_logger(stable_baselines3.common.logger.configure(format_strings=[]))
    model.train(gradient_steps=3, batch_size=4)
    assert model.replay_buffer.size() == 5
    assert model.replay_buffer.rewards[:5].std() > 0


LABEL = """
import os, signal, sys
import vipl.rewards.label
from vipl.cli import main
before = vipl.rewards.label._write
def write(folder, episode, rewards):
    before(folder, episode, rewards)
    print("written", flush=True)
    sys.stdin.readline() if sys.argv[1] == "wait" else os.kill(os.getpid(), int(sys.argv[1]))
vipl.rewards.label._write = write
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_what_was_killed_is_cleared(source, goal, encoder, tmp_path, number):
    out = tmp_path / "out" / "labelled"
    arguments = command(source, out, encoder, goal)
    killed = subprocess.run(
        [sys.executable, "-c", LABEL, str(int(number)), *arguments], stdout=subprocess.DEVNULL
    )
    assert killed.returncode == (-number if number == signal.SIGKILL else 143)
    assert bool(list(out.parent.iterdir())) == (number == signal.SIGKILL)
    assert main(arguments) == 0
    assert list(out.parent.iterdir()) == [out]


def test_two_at_once(source, goal, encoder, tmp_path, capsys):
    out = tmp_path / "labelled"
    arguments = command(source, out, encoder, goal)
    with subprocess.Popen(
        [sys.executable, "-c", LABEL, "wait", *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as first:  # fmt: skip
        assert first.stdout.readline() == b"written\n"
        assert main(arguments) == 2
        assert "another process labels to" in capsys.readouterr().err
        first.communicate(b"\n" * 20)
        assert first.returncode == 0
    assert [path.name for path in tmp_path.iterdir() if "labelled" in path.name] == ["labelled"]
