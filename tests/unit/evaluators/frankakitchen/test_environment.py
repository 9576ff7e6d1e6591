"""The kitchen as a simulator whose states can be set: physics, criteria and pictures."""

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator

import mujoco
import numpy as np
import pytest

from vipl.control import opengl
from vipl.control.environment import Floats
from vipl.errors import UserError
from vipl_evaluators.frankakitchen.environment import ARM_JOINTS, START_QPOS, KitchenEnv
from vipl_evaluators.frankakitchen.scene import CAMERAS
from vipl_evaluators.frankakitchen.tasks import SUCCESS_SHARE, TASKS, Task

SIZE = 48
TASK = TASKS["sdoor_open"]


@pytest.fixture(scope="module")
def env() -> Iterator[KitchenEnv]:
    kitchen = KitchenEnv(TASK, image_size=SIZE)
    yield kitchen
    kitchen.close()


@pytest.fixture(scope="module")
def threaded() -> Iterator[KitchenEnv]:
    kitchen = KitchenEnv(TASK, image_size=SIZE, threads=2)
    yield kitchen
    kitchen.close()


@pytest.fixture(params=list(TASKS))
def task(request: pytest.FixtureRequest, env: KitchenEnv) -> Iterator[Task]:
    """Every task in turn; the model is the same."""
    env.task = TASKS[request.param]
    yield env.task
    env.task = TASK


def random_plans(env: KitchenEnv, number: int, horizon: int, seed: int = 0) -> Floats:
    rng = np.random.default_rng(seed)
    return rng.uniform(-1, 1, size=(number, horizon, env.action_size))


def moved_states(env: KitchenEnv, steps: int = 4) -> Floats:
    return env.rollout(env.start_state(), random_plans(env, 1, steps))[0]


def with_object_at(env: KitchenEnv, position: float) -> Floats:
    qpos = env.start_qpos()
    qpos[env.task.qpos_index] = position
    return env.state(qpos)


# --- states


def test_sizes(env: KitchenEnv) -> None:
    assert (env.model.nq, env.model.nv, env.action_size) == (30, 29, 9)
    assert env.start_state().shape == (env.state_size,)
    assert env.fps_hz == pytest.approx(12.5)


def test_start_state(env: KitchenEnv, task: Task) -> None:
    qpos = env.qpos(env.start_state())
    np.testing.assert_array_equal(qpos[:9], START_QPOS)
    assert qpos[task.qpos_index] == task.start
    assert not env.qvel(env.start_state()).any()
    assert not env.is_success(env.start_state())


def test_positions_and_velocities_come_back(env: KitchenEnv) -> None:
    rng = np.random.default_rng(1)
    qpos, qvel = env.start_qpos() + rng.normal(scale=0.1, size=30), rng.normal(size=29)
    state = env.state(qpos, qvel)
    np.testing.assert_array_equal(env.qpos(state), qpos)
    np.testing.assert_array_equal(env.qvel(state), qvel)


def test_state_of_nothing_is_the_models_own(env: KitchenEnv) -> None:
    moved_states(env)
    np.testing.assert_array_equal(env.qpos(env.state()), env.model.qpos0)


def test_state_round_trip_through_simulation_data(env: KitchenEnv) -> None:
    data = mujoco.MjData(env.model)
    for state in moved_states(env):
        env.set_state(data, state)
        np.testing.assert_array_equal(env.get_state(data), state)


def test_site_positions_are_those_of_the_simulation(env: KitchenEnv, task: Task) -> None:
    data = mujoco.MjData(env.model)
    states = moved_states(env, 3)
    for site in ("end_effector", task.site):
        positions = env.site_positions(states[None], site)
        assert positions.shape == (1, 3, 3)
        for state, position in zip(states, positions[0], strict=True):
            env.set_state(data, state)
            np.testing.assert_allclose(position, data.site(site).xpos, atol=1e-12)


# --- rollouts


def test_one_plan_is_the_same_as_steps(env: KitchenEnv) -> None:
    plan = random_plans(env, 1, 5)
    state, stepped = env.start_state(), []
    for action in plan[0]:
        state = env.rollout(state, action[None, None])[0, 0]
        stepped.append(state)
    np.testing.assert_array_equal(env.rollout(env.start_state(), plan)[0], stepped)


def test_plan_depends_neither_on_the_others_nor_on_threads(
    env: KitchenEnv, threaded: KitchenEnv
) -> None:
    plans, start = random_plans(env, 5, 4), env.start_state()
    states = env.rollout(start, plans)
    assert states.shape == (5, 4, env.state_size)
    assert len(np.unique(states[:, -1], axis=0)) == 5
    np.testing.assert_array_equal(threaded.rollout(start, plans), states)
    np.testing.assert_array_equal(threaded.rollout(start, plans[::-1])[::-1], states)
    np.testing.assert_array_equal(env.rollout(start, plans[3:4]), states[3:4])


def test_rollout_leaves_its_arguments_alone(env: KitchenEnv) -> None:
    plans, start = 2 * random_plans(env, 2, 2), env.start_state()
    before = plans.copy(), start.copy()
    env.rollout(start, plans)
    np.testing.assert_array_equal(plans, before[0])
    np.testing.assert_array_equal(start, before[1])


def test_actions_beyond_one_are_clipped(env: KitchenEnv) -> None:
    plans, start = 3 * random_plans(env, 2, 2), env.start_state()
    clipped = env.rollout(start, np.clip(plans, -1, 1))
    np.testing.assert_array_equal(env.rollout(start, plans), clipped)


@pytest.mark.parametrize("shape", [(9,), (4, 9), (2, 4, 8)])
def test_wrong_shape_of_actions_is_refused(env: KitchenEnv, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"actions are \(.*\), expected \[N, H, 9\]"):
        env.rollout(env.start_state(), np.zeros(shape))


@pytest.mark.parametrize("joint", [0, 4, 5, 6])  # the others are at a limit or bear weight
@pytest.mark.parametrize("speed", [0.5, -0.5])
def test_action_is_a_velocity(env: KitchenEnv, joint: int, speed: float) -> None:
    """A joint is aimed at where it is plus 2 * speed * 0.08 rad; it lags, and covers about half."""
    plan = np.zeros((1, 6, env.action_size))
    plan[..., joint] = speed
    trajectory = env.qpos(env.rollout(env.start_state(), plan))[0]
    share = np.diff(trajectory[:, joint]) / (2 * speed * 0.08)
    assert 0.4 < share.min() <= share.max() < 0.8
    assert share.std() < 0.02
    assert np.abs(trajectory[:, 9:] - env.start_qpos()[9:]).max() < 0.02  # no object is touched


def test_controls_stay_within_the_actuators_ranges(env: KitchenEnv) -> None:
    low, high = env.model.actuator_ctrlrange.T
    for sign in (-1, 1):
        controls = env.controls(env.start_state()[None], np.full((1, 9), sign))
        assert ((low <= controls) & (controls <= high)).all()


# --- criteria


@pytest.mark.parametrize("side", [-1, 1])
def test_success_is_nearness_to_the_goal(env: KitchenEnv, task: Task, side: int) -> None:
    for share, solved in ((0.9 * SUCCESS_SHARE, True), (1.1 * SUCCESS_SHARE, False)):
        state = with_object_at(env, task.goal + side * share * task.joint_range)
        assert env.is_success(state) == solved
        assert env.object_error(state) == pytest.approx(share)


def test_criteria_keep_leading_shapes(env: KitchenEnv) -> None:
    states = env.rollout(env.start_state(), random_plans(env, 3, 2))
    for criterion in (env.is_success, env.object_error, env.true_reward):
        values = criterion(states)
        assert values.shape == (3, 2)
        assert values[2, 1] == criterion(states[2, 1])


@pytest.mark.parametrize(("way_left", "bonus"), [(1.0, 0.0), (0.8, 0.0), (0.7, 0.5), (0.2, 1.0)])
def test_true_reward(env: KitchenEnv, task: Task, way_left: float, bonus: float) -> None:
    state = with_object_at(env, task.goal + way_left * (task.start - task.goal))
    hand, handle = (env.site_positions(state, site) for site in ("end_effector", task.site))
    expected = -2 * way_left + bonus - np.linalg.norm(hand - handle)
    assert env.true_reward(state) == pytest.approx(expected)


def test_pose_errors(env: KitchenEnv) -> None:
    qpos = env.start_qpos()
    qpos[:ARM_JOINTS] += 0.2 * np.array([1, -1, 1, -1, 1, -1, 1])
    states = np.array([env.start_state(), env.state(qpos)])
    errors = env.pose_errors(states, goal=env.start_state())
    np.testing.assert_allclose(errors["robot_error"], [0, 0.2])
    np.testing.assert_allclose(errors["object_error"], 1)


# --- pictures


def test_camera_poses(env: KitchenEnv) -> None:
    for name, (position, quaternion) in CAMERAS.items():
        camera = env.model.camera(name)
        np.testing.assert_array_equal(camera.pos, position)
        np.testing.assert_allclose(camera.quat, quaternion / np.linalg.norm(quaternion))


@pytest.mark.usefixtures("opengl")
@pytest.mark.parametrize("camera", CAMERAS)
def test_pictures(env: KitchenEnv, camera: str) -> None:
    opened = with_object_at(env, TASK.goal)
    states = np.array([env.start_state(), opened, env.start_state()])
    pictures = env.render(states, camera)
    assert (pictures.shape, pictures.dtype) == ((3, SIZE, SIZE, 3), np.uint8)
    assert pictures.std() > 20
    np.testing.assert_array_equal(pictures[0], pictures[2])
    assert np.abs(pictures[0].astype(float) - pictures[1]).mean() > 0.5
    np.testing.assert_array_equal(env.render(states, camera), pictures)


@pytest.mark.usefixtures("opengl")
def test_cameras_see_different_things(env: KitchenEnv) -> None:
    start = env.start_state()[None]
    pictures = [env.render(start, camera)[0].astype(float) for camera in CAMERAS]
    for first, second in itertools.pairwise(pictures):
        assert np.abs(first - second).mean() > 10


@pytest.mark.usefixtures("opengl")
def test_pictures_are_the_right_way_up(env: KitchenEnv) -> None:
    """The robot stands on the floor: what moves with its arm is not in the highest rows."""
    qpos = env.start_qpos()
    qpos[0] += 0.5
    before, after = env.render(np.array([env.start_state(), env.state(qpos)]), "default")
    rows = np.abs(before.astype(float) - after).sum(axis=(1, 2))
    assert rows[: SIZE // 4].sum() < rows[-SIZE // 4 :].sum()


@pytest.mark.usefixtures("opengl")
def test_two_kitchens_do_not_disturb_each_other(env: KitchenEnv, threaded: KitchenEnv) -> None:
    states = moved_states(env)
    alone = env.render(states, "default")
    for index in range(len(states)):
        state = states[index : index + 1]
        np.testing.assert_array_equal(threaded.render(state, "default")[0], alone[index])
        np.testing.assert_array_equal(env.render(state, "default")[0], alone[index])


@pytest.mark.usefixtures("opengl")
def test_rendering_does_not_change_rollouts(env: KitchenEnv) -> None:
    before = moved_states(env)
    env.render(before, "left_cam")
    np.testing.assert_array_equal(moved_states(env), before)


@pytest.mark.usefixtures("opengl")
def test_closed_twice_and_drawn_again() -> None:
    kitchen = KitchenEnv(TASK, image_size=16)
    kitchen.render(kitchen.start_state()[None], "default")
    kitchen.close()
    kitchen.close()
    assert kitchen.render(kitchen.start_state()[None], "default").std() > 0
    kitchen.close()


def test_without_opengl_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.setattr(opengl, "_TRIAL", "raise ImportError('no libEGL.so.1')")
    kitchen = KitchenEnv(TASK, image_size=16)
    expected = r"no OpenGL to render with: run `make gl`.*egl: ImportError: no libEGL\.so\.1"
    with pytest.raises(UserError, match=expected):
        kitchen.render(kitchen.start_state()[None], "default")


def test_impossible_setting_is_refused() -> None:
    code = (
        "from vipl_evaluators.frankakitchen.environment import KitchenEnv\n"
        "from vipl_evaluators.frankakitchen.tasks import TASKS\n"
        "kitchen = KitchenEnv(TASKS['sdoor_open'], image_size=16)\n"
        "kitchen.render(kitchen.start_state()[None], 'default')"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "MUJOCO_GL": "disabled"},
        capture_output=True,
        text=True,
        check=False,
    )
    last = run.stderr.strip().splitlines()[-1]
    assert last == (
        "vipl.errors.UserError: MUJOCO_GL is 'disabled', expected one of egl, osmesa, glfw"
    )
