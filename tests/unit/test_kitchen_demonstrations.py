"""The demonstrations that ship with the package are what their index says."""

import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from vipl.errors import UserError
from vipl_evaluators.frankakitchen import demonstrations
from vipl_evaluators.frankakitchen.demonstrations import Demonstration, load_index
from vipl_evaluators.frankakitchen.tasks import TASKS, choose

DATA = Path(demonstrations.__file__).parent / "data"
INDEX = load_index()
MAX_BYTES = 1_000_000

every_demonstration = pytest.mark.parametrize("demo", INDEX, ids=lambda demo: demo.name)


def test_index_names_every_file_once() -> None:
    files = {path.relative_to(DATA).with_suffix("").as_posix() for path in DATA.rglob("*.npz")}
    names = [demo.name for demo in INDEX]
    assert len(names) == len(set(names))
    assert set(names) == files


def test_every_task_has_a_demonstration_from_the_usual_start() -> None:
    started = {demo.task_name for demo in INDEX if demo.kind == "start"}
    assert started == set(TASKS)


def test_package_data_is_small() -> None:
    assert sum(path.stat().st_size for path in DATA.rglob("*") if path.is_file()) < MAX_BYTES


@every_demonstration
def test_arrays(demo: Demonstration) -> None:
    expected = {"qpos": (demo.frames, 30), "qvel": (demo.frames, 29)}
    if demo.actions:
        expected["action"] = (demo.frames - 1, 9)
    assert {name: array.shape for name, array in demo.arrays.items()} == expected
    for array in demo.arrays.values():
        assert array.dtype == np.float64
        assert np.isfinite(array).all()
    assert np.abs(demo.arrays.get("action", np.zeros(1))).max() <= 1


@every_demonstration
def test_no_pickled_object(demo: Demonstration) -> None:
    with zipfile.ZipFile(DATA / f"{demo.name}.npz") as archive:
        headers = [archive.open(member).read(128) for member in archive.namelist()]
    assert all(b"'descr': '<f8'" in header for header in headers)


@every_demonstration
def test_first_success_is_the_first(demo: Demonstration) -> None:
    positions = demo.arrays["qpos"][:, demo.task.qpos_index]
    solved = [demo.task.is_success(position) for position in positions]
    assert solved.index(True) == demo.first_success
    assert 0 < demo.first_success < demo.frames


@pytest.mark.parametrize(
    "demo", [demo for demo in INDEX if demo.actions], ids=lambda demo: demo.name
)
def test_still_solved_at_the_end(demo: Demonstration) -> None:
    assert demo.task.is_success(demo.arrays["qpos"][-1, demo.task.qpos_index])


@every_demonstration
def test_object_starts_where_the_task_says(demo: Demonstration) -> None:
    start = demo.arrays["qpos"][0, demo.task.qpos_index]
    assert start == pytest.approx(demo.task.start, abs=0.05 * demo.task.joint_range)


@pytest.mark.parametrize("kind", ["start", "recovery"])
def test_every_fourth_of_a_kind_is_held_out(kind: str) -> None:
    for task in TASKS:
        splits = [demo.split for demo in INDEX if (demo.task_name, demo.kind) == (task, kind)]
        several = len(splits) > 1
        assert splits == [
            "val" if several and number % 4 == 3 else "train" for number in range(len(splits))
        ]


def test_joints_are_those_of_the_model() -> None:
    mujoco = pytest.importorskip("mujoco")
    from vipl_evaluators.frankakitchen.scene import load_model

    model = load_model(size=16)
    for task in TASKS.values():
        joint = model.joint(task.joint)
        assert joint.qposadr[0] == task.qpos_index
        assert joint.type[0] in (mujoco.mjtJoint.mjJNT_HINGE, mujoco.mjtJoint.mjJNT_SLIDE)


def test_unknown_name_lists_near_ones() -> None:
    with pytest.raises(UserError, match=r"no task 'sdoor_opne': expected sdoor_open"):
        choose("task", ["sdoor_opne"], list(TASKS))


def test_names_are_taken_once_and_in_the_users_order() -> None:
    assert choose("task", ["light_on", "knob1_on", "light_on"], list(TASKS)) == [
        "light_on",
        "knob1_on",
    ]


def test_command_module_is_light() -> None:
    code = (
        "import sys, vipl_evaluators.frankakitchen.command\n"
        "print([m for m in ('numpy', 'mujoco', 'torch', 'av', 'rich') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_worker_module_never_imports_torch() -> None:
    code = "import sys, vipl_evaluators.frankakitchen.render\nprint('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
