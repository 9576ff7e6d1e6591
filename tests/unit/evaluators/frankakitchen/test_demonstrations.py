"""The demonstrations that ship with the package are what their index says, and can be replayed."""

import subprocess
import sys
import zipfile
from pathlib import Path

import mujoco
import numpy as np
import pytest

from vipl.errors import UserError
from vipl_evaluators.frankakitchen import demonstrations
from vipl_evaluators.frankakitchen.demonstrations import (
    FPS_HZ,
    Demonstration,
    load_index,
    read_arrays,
)
from vipl_evaluators.frankakitchen.environment import ROBOT_JOINTS, KitchenEnv
from vipl_evaluators.frankakitchen.tasks import TASKS

DATA = Path(demonstrations.__file__).parent / "data"
INDEX = load_index()
MAX_BYTES = 8_000_000

every_demonstration = pytest.mark.parametrize("demo", INDEX, ids=lambda demo: demo.name)


@pytest.fixture(scope="module")
def kitchens():
    kitchens = {name: KitchenEnv(task) for name, task in TASKS.items()}
    yield kitchens
    for kitchen in kitchens.values():
        kitchen.close()


def test_index_names_every_file_once() -> None:
    files = {path.relative_to(DATA).with_suffix("").as_posix() for path in DATA.rglob("*.npz")}
    names = [demo.name for demo in INDEX]
    assert len(names) == len(set(names))
    assert set(names) == files


@pytest.mark.parametrize("kind", ["start", "recovery"])
@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_three_of_a_kind_to_train_on(task: str, kind: str) -> None:
    splits = [demo.split for demo in INDEX if (demo.task_name, demo.kind) == (task, kind)]
    assert splits.count("train") >= 3
    assert splits == ["val" if number % 4 == 3 else "train" for number in range(len(splits))]


def test_package_data_is_small() -> None:
    assert sum(path.stat().st_size for path in DATA.rglob("*") if path.is_file()) < MAX_BYTES


@every_demonstration
def test_arrays(demo: Demonstration) -> None:
    arrays = dict(demo.arrays)
    assert tuple(arrays.pop("seed")) == demo.seed
    assert arrays.pop("samples") == demo.samples
    assert demo.mujoco == "3.11.0"
    steps = demo.frames - 1
    assert {name: array.shape for name, array in arrays.items()} == {
        "qpos": (steps + 1, 30), "qvel": (steps + 1, 29), "action": (steps, 9),
    }  # fmt: skip
    for array in arrays.values():
        assert array.dtype == np.float64
        assert np.isfinite(array).all()
    assert np.abs(arrays["action"]).max() <= 1


@every_demonstration
def test_no_pickled_object(demo: Demonstration) -> None:
    with zipfile.ZipFile(DATA / f"{demo.name}.npz") as archive:
        headers = [archive.open(member).read(128) for member in archive.namelist()]
    assert all(b"'descr': '<f8'" in header or b"'descr': '<i8'" in header for header in headers)


@every_demonstration
def test_its_states_are_those_of_the_task_with_any_mujoco(
    demo: Demonstration, kitchens: dict[str, KitchenEnv]
) -> None:
    kitchen, arrays = kitchens[demo.task_name], demo.arrays
    pairs = zip(arrays["qpos"], arrays["qvel"], strict=True)
    states = np.array([kitchen.state(*pair) for pair in pairs])
    solved = kitchen.is_success(states)
    assert solved[-1]
    assert int(solved.argmax()) == demo.first_success
    np.testing.assert_array_equal(kitchen.qpos(states), arrays["qpos"])
    np.testing.assert_array_equal(kitchen.qvel(states), arrays["qvel"])


@every_demonstration
def test_replaying_its_actions_solves_the_task(
    demo: Demonstration, kitchens: dict[str, KitchenEnv]
) -> None:
    if demo.mujoco != mujoco.__version__:
        pytest.skip(f"recorded with mujoco {demo.mujoco}: others differ where things touch")
    kitchen, arrays = kitchens[demo.task_name], demo.arrays
    first = kitchen.state(arrays["qpos"][0], arrays["qvel"][0])
    states = kitchen.rollout(first, arrays["action"][None])[0]
    solved = kitchen.is_success(states)
    assert solved[-1]
    assert abs(1 + int(solved.argmax()) - demo.first_success) <= 1  # state 0 is the start
    assert not kitchen.is_success(first)
    # Another build of MuJoCo rounds differently; contacts then lead a little elsewhere.
    np.testing.assert_allclose(kitchen.qpos(states), arrays["qpos"][1:], atol=0.02)


@every_demonstration
def test_its_last_state_is_a_success(demo: Demonstration) -> None:
    positions = demo.arrays["qpos"][:, demo.task.qpos_index]
    solved = demo.task.is_success(positions)
    assert solved[-1]
    assert int(solved.argmax()) == demo.first_success > 0


@every_demonstration
def test_it_begins_with_object_and_arm_where_its_kind_says(
    demo: Demonstration, kitchens: dict[str, KitchenEnv]
) -> None:
    usual, first = kitchens[demo.task_name].start_qpos(), demo.arrays["qpos"][0]
    moved = np.abs(first - usual)
    untouched = moved[demo.task.qpos_index] <= 0.05 * demo.task.joint_range
    assert untouched == (demo.kind != "halfway")
    assert (moved[:ROBOT_JOINTS].max() > 0.05) == (demo.kind in ("recovery", "halfway"))


@pytest.mark.parametrize("task", TASKS)
def test_some_recoveries_begin_near_where_demonstrations_end(task: str) -> None:
    demos = [demo for demo in INDEX if demo.task_name == task]
    ends = [d.arrays["qpos"][-1, :7] for d in demos if d.kind == "start"]
    begins = [d.arrays["qpos"][0, :7] for d in demos if d.kind == "recovery"]
    usual = demos[0].arrays["qpos"][0, :7]
    near = [min(np.abs(begin - end).mean() for end in ends) for begin in begins]
    far = min(np.abs(usual - end).mean() for end in ends)
    assert min(near) < 0.5 * far


@pytest.mark.parametrize(
    "demo",
    [demo for demo in INDEX if demo.kind in ("detour", "knock")],
    ids=lambda demo: demo.name,
)
def test_a_detour_goes_elsewhere_before_it_touches_the_object(demo: Demonstration) -> None:
    qpos = demo.arrays["qpos"]
    moved = np.abs(qpos[:, demo.task.qpos_index] - demo.task.start) / demo.task.joint_range
    untouched = qpos[: int((moved > 0.03).argmax())]
    assert len(untouched) > 42
    assert np.abs(untouched - qpos[0])[:, :7].max() > 0.5  # radians


def test_joints_and_sites_are_those_of_the_model(kitchens: dict[str, KitchenEnv]) -> None:
    model = kitchens["light_on"].model
    for task in TASKS.values():
        joint = model.joint(task.joint)
        assert joint.qposadr[0] == task.qpos_index
        # Not `in`: up to mujoco 3.11 an enum member equals a number on its right, then no more.
        kinds = mujoco.mjtJoint.mjJNT_HINGE.value, mujoco.mjtJoint.mjJNT_SLIDE.value
        assert int(joint.type[0]) in kinds
        assert model.site(task.site).id >= 0
    assert kitchens["light_on"].fps_hz == FPS_HZ


@pytest.mark.parametrize("module", ["command", "render", "generate"])
def test_modules_of_commands_are_light(module: str) -> None:
    heavy = ("mujoco", "torch") if module == "command" else ("torch",)
    code = (
        f"import sys, vipl_evaluators.frankakitchen.{module}\n"
        f"print([m for m in {heavy} if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    whole = load_index()[0].path.read_bytes()
    file = tmp_path / "start_00.npz"
    arrays = {"qpos": np.zeros((3, 30)), "qvel": np.zeros((3, 29)), "action": np.zeros((2, 9))}
    for content in (whole[: len(whole) // 2], b"", b"PK", b"PK\x03\x04 and no more"):
        file.write_bytes(content)
        with pytest.raises(UserError, match=r"start_00\.npz is damaged"):
            read_arrays(file)
    for name, wrong in (("action", np.zeros((2, 3))), ("qpos", np.array([None]))):
        np.savez(file, **{**arrays, name: wrong})
        with pytest.raises(UserError, match=r"start_00\.npz is damaged") as refused:
            read_arrays(file)
        assert "allow_pickle" not in str(refused.value)
    np.savez(file, **{name: one for name, one in arrays.items() if name != "action"})
    with pytest.raises(UserError, match=r"is damaged \('action'"):
        read_arrays(file)
