"""`vipl eval protocol=offline_rl` on the kitchen, from its own data and from Minari's."""

import json
import shutil

import numpy as np
import pytest
import torch

from tests import ROOT
from vipl import save_encoder
from vipl.cli import main
from vipl.models.encoder import Encoder

CONFIG = str(ROOT / "configs/eval/offline_rl.yaml")
SMALL = [
    "tasks=[rdoor_close]", "seeds=[0]", "image_size=16", "steps=4", "--workers", "0",
    "offline_rl.dataset.trajectories=3", "offline_rl.steps=6", "offline_rl.evaluate_every=4",
    "offline_rl.episodes=2",
]  # fmt: skip


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch, opengl):
    monkeypatch.setenv("VIPL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    torch.manual_seed(5)
    folder = tmp_path_factory.mktemp("encoder") / "e"
    return save_encoder(Encoder("resnet10t", output_dim=4, image_size=32), folder)


def evaluate(out, encoder, *more):
    command = ["eval", "--config", CONFIG, "--encoder", str(encoder), "--out", str(out)]
    return main([*command, "--run-id", "it", *SMALL, *more])


def records(out):
    lines = (out / "frankakitchen-v1/it/records.jsonl").read_text().splitlines()
    return {record["variant"]: record for record in map(json.loads, lines)}


@pytest.mark.slow
def test_policies_are_learnt_and_the_report_is_written(tmp_path, encoder):
    assert evaluate(tmp_path, encoder, "controls=[random]") == 0
    found = records(tmp_path)
    assert set(found) == {"main", "random"}
    for record in found.values():
        assert record["error"] is None
        assert [each["step"] for each in record["info"]["progress"]] == [4, 6]
        assert 0 <= record["metrics"]["success"] <= record["metrics"]["ever_success"] <= 1
    assert len(list((tmp_path / "home/embeddings").iterdir())) == 2  # its own and the untrained
    report = (tmp_path / "frankakitchen-v1/it/report.html").read_text()
    assert "offline_rl" in report
    assert "planning budget" not in report


@pytest.fixture
def minari_set(tmp_path):
    pytest.importorskip("minari")
    pytest.importorskip("h5py")
    folder, what = str(tmp_path / "mixed"), ["--tasks", "rdoor_close"]
    made = ["--quality", "mixed", "--number", "3", "--out", folder]
    assert main(["demos", "generate", *what, *made]) == 0
    assert main(["demos", "export", "--folder", folder, *what, "--out", str(tmp_path / "m")]) == 0
    return tmp_path / "m/vipl/frankakitchen/rdoor-close-v0"


def test_a_minari_data_set_gives_the_same_transitions(tmp_path, minari_set):
    from vipl.evaluation.protocols.minari_trajectories import load_trajectories
    from vipl_evaluators.frankakitchen.environment import KitchenEnv
    from vipl_evaluators.frankakitchen.qualities import KitchenGuide
    from vipl_evaluators.frankakitchen.tasks import TASKS
    from vipl_evaluators.qualities import make_trajectories

    env = KitchenEnv(TASKS["rdoor_close"], image_size=16)
    loaded = load_trajectories(str(minari_set), 3, env)
    made = make_trajectories(KitchenGuide(env), "mixed", 3, task="rdoor_close")
    for trajectory, (_, states, actions) in zip(loaded, made, strict=True):
        assert np.allclose(trajectory.actions, actions)
        assert np.allclose(trajectory.observations, env.observe(states), atol=1e-9)
        assert trajectory.pictures("left_cam").shape == (len(states), 16, 16, 3)
    assert sum(trajectory.success[-1] for trajectory in loaded) == 1


def test_minaris_own_kitchen_data_sets(tmp_path):
    minari = pytest.importorskip("minari")
    gymnasium = pytest.importorskip("gymnasium")
    pytest.importorskip("h5py")
    import gymnasium_robotics
    import mujoco

    from vipl.evaluation.protocols.minari_trajectories import load_trajectories
    from vipl_evaluators.frankakitchen.environment import KitchenEnv
    from vipl_evaluators.frankakitchen.tasks import TASKS

    if mujoco.mj_version() >= 3012000:
        pytest.skip("gymnasium-robotics' own kitchen does not run with mujoco 3.12 and later")
    gymnasium.register_envs(gymnasium_robotics)
    quiet = {"object_noise_ratio": 0.0, "robot_noise_ratio": 0.0}
    made = gymnasium.make(
        "FrankaKitchen-v1", tasks_to_complete=["microwave"], disable_env_checker=True, **quiet
    )
    made.action_space.seed(0)
    truth, buffers = [], []
    for episode in range(2):
        observation, _ = made.reset(seed=episode)
        observations, actions = [observation], []
        data = made.unwrapped.data
        truth.append((data.qpos.copy(), data.qvel.copy()))
        for _ in range(3):
            actions.append(0.2 * made.action_space.sample())  # far from the joints' limits
            observations.append(made.step(actions[-1])[0])
            truth.append((data.qpos.copy(), data.qvel.copy()))
        columns = gymnasium.vector.utils.concatenate(
            made.observation_space,
            observations,
            gymnasium.vector.utils.create_empty_array(made.observation_space, len(observations)),
        )
        ends = [False, False, True]
        buffers.append(
            minari.data_collector.EpisodeBuffer(
                id=episode,
                observations=columns,
                actions=np.array(actions),
                rewards=np.zeros(3),
                terminations=np.zeros(3, bool),
                truncations=np.array(ends),
                infos={},
            )
        )
    minari.create_dataset_from_buffers(
        "D4RL/kitchen/tiny-v0", buffers, env=made, author="a", author_email="a@b.c",
        code_permalink="here", algorithm_name="none",
    )  # fmt: skip
    env = KitchenEnv(TASKS["micro_open"], image_size=16)
    loaded = load_trajectories("D4RL/kitchen/tiny-v0", 2, env)
    states = np.array([env.state(*row) for row in truth])
    assert np.allclose(np.concatenate([t.observations for t in loaded]), env.observe(states))
    assert loaded[0].pictures("left_cam").shape == (4, 16, 16, 3)
    assert not loaded[0].success.any()
    # Actions mean the same in both.
    stepped = env.observe(env.step(states[:1], loaded[0].actions[:1]))
    assert np.allclose(stepped, loaded[0].observations[1:2], atol=1e-6)


def test_data_sets_that_do_not_do(tmp_path, minari_set, encoder, capsys):
    import h5py

    def refused(*changes):
        out = tmp_path / f"results{path.name}{len(changes)}"
        assert evaluate(out, encoder, f"offline_rl.dataset.path={path}", *changes) == 2
        return capsys.readouterr().err

    path = minari_set
    assert "holds 3 trajectories, 20 are asked for: offline_rl.dataset.trajectories=3" in refused(
        "offline_rl.dataset.trajectories=20"
    )
    path = tmp_path / "nothing"
    assert "there is no data set" in refused()
    lacks = {
        "has no infos['success']": ("infos/success", "infos/state"),
        "which observations are pictures": ("infos/state",),
    }
    for number, (message, lacking) in enumerate(lacks.items()):
        path = tmp_path / f"copy{number}"
        shutil.copytree(minari_set, path)
        with h5py.File(path / "data/main_data.hdf5", "a") as file:
            for episode in file.values():
                for one in lacking:
                    del episode[one]
        assert message in refused()
    path = tmp_path / "copy2"
    shutil.copytree(minari_set, path)
    metadata = path / "data/metadata.json"
    content = json.loads(metadata.read_text())
    space = json.loads(content["action_space"])
    space |= {"shape": [7], "low": [-1.0] * 7, "high": [1.0] * 7}
    metadata.write_text(json.dumps({**content, "action_space": json.dumps(space)}))
    assert "has actions of 7 numbers, the environment 9" in refused()


def test_budgets_and_unknown_qualities_are_refused(tmp_path, encoder, capsys):
    assert evaluate(tmp_path, encoder, "budgets=[8]") == 2
    assert "budgets are of planning samples" in capsys.readouterr().err
    assert evaluate(tmp_path, encoder, "offline_rl.dataset.quality=mixde") == 2
    assert "there is no quality 'mixde': expected mixed" in capsys.readouterr().err
