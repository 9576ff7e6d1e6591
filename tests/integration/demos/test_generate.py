"""`vipl demos generate`: demonstrations that solve their task, made in pieces."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from vipl.cli import main
from vipl.control.environment import Floats
from vipl_evaluators.frankakitchen import demonstrations
from vipl_evaluators.frankakitchen.beginnings import detour, recovery_start
from vipl_evaluators.frankakitchen.demonstrations import KINDS, load_index
from vipl_evaluators.frankakitchen.environment import ARM_JOINTS, KitchenEnv
from vipl_evaluators.frankakitchen.tasks import TASKS

SHIPPED = Path(demonstrations.__file__).parent / "data"
TASK = "light_on"


def command(out: Path, *extra: str) -> list[str]:
    return ["demos", "generate", "--out", str(out), "--tasks", TASK, "--workers", "1", *extra]


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One demonstration from the usual start."""
    out = tmp_path_factory.mktemp("generated")
    assert main(command(out, "--starts", "1", "--recoveries", "0")) == 0
    return out


@pytest.fixture
def env() -> KitchenEnv:
    return KitchenEnv(TASKS[TASK])


def test_it_solves_the_task(generated: Path, env: KitchenEnv) -> None:
    (demo,) = load_index(generated)
    arrays = demo.arrays
    states = env.rollout(env.state(arrays["qpos"][0], arrays["qvel"][0]), arrays["action"][None])
    assert (demo.name, demo.kind, demo.split) == (f"{TASK}/start_00", "start", "train")
    assert env.is_success(states)[0, -1]


def test_it_is_the_one_that_ships(generated: Path) -> None:
    ours, theirs = load_index(generated)[0], load_index()
    (shipped,) = [demo for demo in theirs if demo.name == ours.name]
    assert (ours.seed, ours.samples) == (shipped.seed, shipped.samples)
    # Another processor rounds differently, and contacts then lead elsewhere.
    np.testing.assert_allclose(ours.arrays["action"][:5], shipped.arrays["action"][:5], atol=0.05)


def test_what_is_there_is_kept(generated: Path, tmp_path: Path) -> None:
    out = shutil.copytree(generated, tmp_path / "demos")
    file = out / TASK / "start_00.npz"
    before = file.stat().st_mtime_ns
    (out / "index.json").unlink()
    assert main(command(out, "--starts", "1", "--recoveries", "0")) == 0
    assert file.stat().st_mtime_ns == before
    assert [demo.name for demo in load_index(out)] == [f"{TASK}/start_00"]


def test_index_is_that_of_the_package(tmp_path: Path) -> None:
    out = shutil.copytree(SHIPPED, tmp_path / "demos")
    (out / "index.json").unlink()
    count = sum(path.name.startswith("start") for path in (out / TASK).iterdir())
    nothing_to_do = ["--starts", str(count), "--recoveries", "0"]
    assert main(command(out, *nothing_to_do)) == 0
    assert json.loads((out / "index.json").read_text()) == json.loads(
        (SHIPPED / "index.json").read_text()
    )


def test_killed_it_leaves_neither_worker_nor_torn_file(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "vipl.cli", *command(tmp_path, "--starts", "1")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    time.sleep(5)  # the worker has begun
    process.kill()
    process.communicate(timeout=10)  # returns when nobody holds the pipe any more
    assert not list(tmp_path.rglob("*.npz"))


def poses() -> Floats:
    """Robot poses [K, 9] of a demonstration, the last first."""
    demo = next(demo for demo in load_index() if demo.task_name == TASK)
    return demo.arrays["qpos"][::-1, :9]


@pytest.mark.parametrize("halfway", [False, True])
def test_a_recovery_begins_where_the_task_does_or_halfway(env: KitchenEnv, halfway: bool) -> None:
    state = recovery_start(env, poses(), np.random.default_rng(0), halfway=halfway)
    way = abs(env.task.start - env.task.goal) / env.task.joint_range
    left = float(env.object_error(state)) / way
    assert 0.25 < left < 0.75 if halfway else left > 0.97


@pytest.mark.parametrize("knock", [False, True])
def test_a_detour_leaves_the_object_alone(env: KitchenEnv, knock: bool) -> None:
    states, actions = detour(env, poses(), np.random.default_rng(0), knock=knock)
    qpos = env.qpos(states)
    assert len(actions) == len(states) - 1
    np.testing.assert_allclose(qpos[:, env.task.qpos_index], env.task.start, atol=0.03)
    assert np.ptp(qpos[:, :ARM_JOINTS], axis=0).max() > 0.3
    assert (np.abs(qpos - qpos[0])[-1, 9:].max() > 0.1) == knock
    np.testing.assert_array_equal(env.rollout(states[0], actions[None])[0], states[1:])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--starts", "0"], "--starts and --workers must be 1 or more"),
        (["--detours", "-1"], "the others 0 or more"),
        (["--attempts", "9"], "--attempts must be 1 to 5"),
        (["--tasks", "light_onn"], "no task 'light_onn'"),
    ],
)
def test_a_wrong_option_is_refused(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(tmp_path, *options)) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_kinds_that_ship_are_known() -> None:
    assert {demo.kind for demo in load_index()} <= set(KINDS)
