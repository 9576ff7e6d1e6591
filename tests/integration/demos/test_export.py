"""`vipl demos export`: data sets that Minari itself loads, and that replay exactly."""

import importlib.util
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vipl.cli import main
from vipl_evaluators.frankakitchen import export
from vipl_evaluators.frankakitchen.demonstrations import Demonstration, load_index
from vipl_evaluators.frankakitchen.environment import KitchenEnv
from vipl_evaluators.frankakitchen.export import dataset_id, export_demonstrations

minari = pytest.importorskip("minari")
pytest.importorskip("h5py")

TASKS = ("sdoor_open", "light_on")
IDS = ["vipl/frankakitchen/sdoor-open-v0", "vipl/frankakitchen/light-on-v0"]


def demonstrations(task: str, *kinds: str) -> list[Demonstration]:
    return [demo for demo in load_index() if demo.task_name == task and demo.kind in kinds]


def command(out: Path, *extra: str) -> list[str]:
    return ["demos", "export", "--out", str(out), *extra]


def files_of(out: Path) -> set[str]:
    return {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tasks with the demonstrations that ship with the package."""
    out = tmp_path_factory.mktemp("minari") / "datasets"
    assert main(command(out, "--tasks", *TASKS)) == 0
    return out


@pytest.fixture
def dataset(exported: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(exported))
    return minari.load_dataset(IDS[0])


def test_ids() -> None:
    assert [dataset_id(task) for task in TASKS] == IDS


def test_minari_lists_them(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(exported))
    assert sorted(minari.list_local_datasets()) == sorted(IDS)


def test_writes_nothing_else(exported: Path) -> None:
    data = {f"{name}/data/{file}" for name in IDS for file in ("main_data.hdf5", "metadata.json")}
    namespaces = {f"{name}/namespace_metadata.json" for name in ("vipl", "vipl/frankakitchen")}
    assert files_of(exported) == data | namespaces


def test_episodes_are_the_demonstrations(dataset: Any) -> None:
    shipped = demonstrations(TASKS[0], "start", "recovery", "detour")
    labels = list(dataset.storage.get_episode_metadata(range(len(dataset))))
    names = [label["name"] for label in labels]
    demos = [demo for demo in shipped if demo.name in names]  # others end otherwise here
    assert len(demos) > len(shipped) / 2
    for key in ("name", "kind", "split"):
        assert [label[key] for label in labels] == [getattr(demo, key) for demo in demos]
    kitchen = KitchenEnv(demos[0].task)
    for demo, episode in zip(demos, dataset, strict=True):
        steps = demo.frames - 1
        np.testing.assert_array_equal(episode.actions, demo.arrays["action"])
        assert episode.observations.shape == (demo.frames, 20)
        assert episode.rewards.shape == (steps,)
        assert episode.terminations.sum() == 0
        np.testing.assert_array_equal(episode.truncations, np.arange(steps) == steps - 1)
        states = episode.infos["state"]
        np.testing.assert_array_equal(kitchen.qpos(states[0]), demo.arrays["qpos"][0])
        if demo.mujoco == version("mujoco"):  # contacts of others differ, and by the processor
            np.testing.assert_allclose(kitchen.qpos(states), demo.arrays["qpos"], atol=1e-3)
        np.testing.assert_allclose(episode.rewards, kitchen.true_reward(states[1:]))
        np.testing.assert_array_equal(episode.infos["success"], kitchen.is_success(states))
        assert episode.infos["success"][-1]
    kitchen.close()


def test_recovered_environment_replays_it(dataset: Any) -> None:
    env = dataset.recover_environment()
    assert env.spec.id == "vipl/FrankaKitchen-SdoorOpen-v0"
    assert env.spec.max_episode_steps == 100
    assert (env.observation_space, env.action_space) == (
        dataset.observation_space,
        dataset.action_space,
    )
    episode = dataset[len(dataset) - 1]
    label = next(iter(dataset.storage.get_episode_metadata([episode.id])))
    observation, _ = env.reset(options=label["options"])
    np.testing.assert_array_equal(observation, episode.observations[0])
    for action, expected, reward in zip(
        episode.actions, episode.observations[1:], episode.rewards, strict=True
    ):
        observation, received, *_ = env.step(action)
        np.testing.assert_array_equal(observation, expected)
        assert received == reward
    env.close()


def test_one_kind_of_a_folder_into_minaris_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    demo = demonstrations(TASKS[1], "recovery")[0]
    folder, root = tmp_path / "demos", tmp_path / "root"
    shutil.copytree(demo.folder, folder)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(root))
    options = ["--folder", str(folder), "--tasks", TASKS[1], "--kinds", "recovery"]
    assert main(["demos", "export", *options]) == 0
    assert f"minari.load_dataset('{IDS[1]}') loads one" in capsys.readouterr().out
    found = minari.load_dataset(IDS[1])
    assert len(found) == len(demonstrations(TASKS[1], "recovery"))
    np.testing.assert_array_equal(found[0].actions, demo.arrays["action"])


def test_a_folder_named_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    options = ["--tasks", TASKS[1], "--kinds", "recovery", "--out", "minari"]
    assert main(["demos", "export", *options]) == 0
    assert f"{tmp_path / 'minari'}: 1 data sets" in capsys.readouterr().out
    found = minari.MinariDataset(tmp_path / "minari" / IDS[1] / "data")
    assert len(found) == len(demonstrations(TASKS[1], "recovery"))


# --- what is refused


def test_existing_data_set_is_kept(exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in exported.rglob("*")}
    assert main(command(exported, "--tasks", "light_on", "light_off")) == 2
    assert f"already in {exported}: {IDS[1]}; delete them" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in exported.rglob("*")} == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--tasks", "sdor_open"], "there is no task 'sdor_open': expected sdoor_open"),
        (["--kinds", "starts"], "there is no kind 'starts': expected start"),
        (["--folder", "nowhere"], "nowhere holds no index.json: expected a folder that"),
    ],
)
def test_wrong_names(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(tmp_path / "out", *options)) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_nothing_to_write(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "index.json").write_text("[]")
    options = ["--folder", str(tmp_path), "--tasks", "sdoor_open", "--kinds", "start"]
    assert main(command(tmp_path / "out", *options)) == 2
    expected = "no demonstrations of the kind start for sdoor_open: name other --tasks or --kinds"
    assert expected in capsys.readouterr().err


def test_demonstrations_that_do_not_replay_are_left_out_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    still, other = demonstrations("sdoor_open", "start")[:2]
    arrays = {**still.arrays, "action": np.zeros_like(still.arrays["action"])}
    monkeypatch.setitem(still.__dict__, "arrays", arrays)
    for chosen, status in (([still], 2), ([still, other], 0)):
        monkeypatch.setattr(export, "select", lambda chosen=chosen, **options: chosen)
        assert files_of(tmp_path) == set()
        assert main(command(tmp_path, "--tasks", "sdoor_open")) == status
    shown = capsys.readouterr()
    assert "no demonstration of sdoor_open ends as recorded with mujoco" in shown.err
    assert "left out: 1 that end otherwise with mujoco" in shown.out
    assert f"({still.name})" in shown.out
    assert "1 data sets of 1 demonstrations" in shown.out


def test_without_minari_the_remedy_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "minari" else found(name)
    )
    assert main(command(tmp_path, "--tasks", "sdoor_open")) == 2
    assert "minari not installed: pip install 'vipl[minari]'" in capsys.readouterr().err


def test_interrupted_export_leaves_no_half_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("minari.dataset.minari_storage.MinariStorage.update_metadata", interrupt)
    with pytest.raises(KeyboardInterrupt):
        export_demonstrations(tmp_path, tasks=["light_on"])
    assert list(tmp_path.iterdir()) == []
