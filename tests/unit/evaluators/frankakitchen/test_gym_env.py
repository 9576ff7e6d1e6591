"""The FrankaKitchen tasks as Gymnasium environments."""

import subprocess
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.wrappers import RecordEpisodeStatistics
from numpy.typing import NDArray

import vipl_evaluators.gym as kitchens
from vipl.errors import UserError
from vipl_evaluators.frankakitchen.demonstrations import load_index
from vipl_evaluators.frankakitchen.gym_env import KitchenGymEnv
from vipl_evaluators.frankakitchen.tasks import TASKS

TASK = TASKS["sdoor_open"]
ID = "vipl/FrankaKitchen-SdoorOpen-v0"
SIZE = 32


@pytest.fixture(scope="module")
def env() -> Iterator[KitchenGymEnv]:
    kitchen = KitchenGymEnv(TASK.name, image_size=SIZE, render_mode="rgb_array")
    yield kitchen
    kitchen.close()


@pytest.fixture
def goal_state(env: KitchenGymEnv) -> NDArray[np.float64]:
    """The usual start with the door open already."""
    qpos = env.kitchen.start_qpos()
    qpos[TASK.qpos_index] = TASK.goal
    return env.kitchen.state(qpos)


def episode(env: gymnasium.Env[Any, Any], *, seed: int, steps: int = 3) -> list[Any]:
    observation, info = env.reset(seed=seed)
    rng = np.random.default_rng(seed)
    seen: list[Any] = [observation, info["state"]]
    for _ in range(steps):
        observation, reward, _, _, info = env.step(rng.uniform(-1, 1, size=9))
        seen += [observation, reward, info["state"]]
    return seen


def check_quietly(env: gymnasium.Env[Any, Any], **settings: bool) -> None:
    """Run Gymnasium's checker; no warning but on bounds that joints really do not have."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*observation space m.*infinit")
        check_env(env, **settings)


# --- registration


def test_every_task_is_registered() -> None:
    ids = [name for name in gymnasium.registry if name.startswith("vipl/FrankaKitchen-")]
    assert ids == [kitchens.env_id(task) for task in TASKS]
    assert {kitchens.env_id("sdoor_open"), kitchens.env_id("knob1_on")} == {
        ID,
        "vipl/FrankaKitchen-Knob1On-v0",
    }
    assert [gymnasium.spec(name).kwargs["task"] for name in ids] == list(TASKS)


def run_python(code: str) -> str:
    command = [sys.executable, "-c", f"import sys, gymnasium\n{code}"]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stderr == ""
    return run.stdout.strip()


def test_registration_is_light_and_quiet() -> None:
    code = "import vipl_evaluators.gym; print([m for m in ('mujoco', 'torch') if m in sys.modules])"
    assert run_python(code) == "[]"


def test_an_environment_that_nobody_closed_ends_quietly() -> None:
    script = (
        f"import gymnasium, vipl_evaluators.gym\n"
        f"env = gymnasium.make({ID!r}, render_mode='rgb_array', image_size={SIZE})\n"
        "env.reset(seed=0)\n"
        "print(env.render().shape)\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", script]
    result = subprocess.run(command, capture_output=True, text=True)
    assert (result.stdout.strip(), result.stderr) == (f"({SIZE}, {SIZE}, 3)", "")


def test_id_with_its_module_is_enough() -> None:
    code = f"env = gymnasium.make('vipl_evaluators.gym:{ID}'); env.reset(); print(env.spec.id)"
    assert run_python(code) == ID


def test_made_environment_is_truncated_after_its_steps(env: KitchenGymEnv) -> None:
    made = RecordEpisodeStatistics(gymnasium.make(ID))
    try:
        assert isinstance(made.unwrapped, KitchenGymEnv)
        made.reset(seed=0)
        action, rewards = np.zeros(9), []
        for step in range(1, kitchens.MAX_EPISODE_STEPS + 1):
            _, reward, terminated, truncated, info = made.step(action)
            rewards.append(reward)
            assert not terminated
            assert truncated == (step == kitchens.MAX_EPISODE_STEPS)
        assert info["episode"]["l"] == 100
        assert info["episode"]["r"] == pytest.approx(sum(map(float, rewards)))
    finally:
        made.close()


@pytest.mark.usefixtures("opengl")
def test_gymnasiums_checker_is_content() -> None:
    made = gymnasium.make(ID, render_mode="rgb_array", image_size=SIZE)
    check_quietly(made.unwrapped)
    made.close()


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_vectors(mode: str) -> None:
    vector = gymnasium.make_vec(f"vipl_evaluators.gym:{ID}", num_envs=2, vectorization_mode=mode)
    try:
        observations, _ = vector.reset(seed=3)
        assert observations.shape == (2, 20)
        actions = np.stack([np.zeros(9), np.ones(9)])
        observations, rewards, terminated, truncated, infos = vector.step(actions)
        assert (observations[0] != observations[1]).any()
        assert (rewards.shape, terminated.any(), truncated.any()) == ((2,), False, False)
        assert infos["object_error"].shape == (2,)
    finally:
        vector.close()


# --- steps


def test_observation(env: KitchenGymEnv) -> None:
    qpos, qvel = env.kitchen.start_qpos(), np.zeros(29)
    qpos[TASK.qpos_index], qvel[:] = 0.1, np.arange(29)
    observation, _ = env.reset(options={"state": env.kitchen.state(qpos, qvel)})
    np.testing.assert_array_equal(observation[:9], qpos[:9])
    np.testing.assert_array_equal(observation[9:18], np.arange(9))
    np.testing.assert_array_equal(
        observation[18:], [0.1, env.kitchen.model.joint(TASK.joint).dofadr[0]]
    )
    assert env.observation_space.contains(observation)


def test_step_is_the_kitchens(env: KitchenGymEnv) -> None:
    _, before = env.reset()
    action = np.full(9, 0.3)
    _, reward, terminated, truncated, info = env.step(action)
    expected = env.kitchen.rollout(before["state"], action[None, None])[0, 0]
    np.testing.assert_array_equal(info["state"], expected)
    assert reward == float(env.kitchen.true_reward(expected))
    assert not terminated
    assert not truncated


def test_info(env: KitchenGymEnv, goal_state: NDArray[np.float64]) -> None:
    _, info = env.reset()
    assert (info["success"], info["object_error"]) == (False, 1.0)
    assert 0.1 < info["hand_to_handle"] < 1.5
    _, info = env.reset(options={"state": goal_state})
    assert (info["success"], info["object_error"]) == (True, 0.0)


def test_same_seed_same_episode(env: KitchenGymEnv) -> None:
    for first, second in zip(episode(env, seed=1), episode(env, seed=1), strict=True):
        np.testing.assert_array_equal(first, second)


def test_goes_back_to_any_state(env: KitchenGymEnv) -> None:
    episode(env, seed=0)
    middle = env.step(np.zeros(9))[-1]["state"]
    after = env.step(np.ones(9))[0]
    env.reset(options={"state": middle})
    np.testing.assert_array_equal(env.step(np.ones(9))[0], after)


def test_success_terminates_only_if_asked(goal_state: NDArray[np.float64]) -> None:
    for asked in (False, True):
        kitchen = KitchenGymEnv(TASK.name, terminate_on_success=asked)
        kitchen.reset(options={"state": goal_state})
        _, _, terminated, _, info = kitchen.step(np.zeros(9))
        kitchen.close()
        assert info["success"]
        assert terminated is asked


def test_recovery_start_is_drawn_by_the_seed(env: KitchenGymEnv) -> None:
    starts = [env.reset(seed=seed, options={"start": "recovery"})[0] for seed in (0, 0, 1, 2, 3, 4)]
    np.testing.assert_array_equal(starts[0], starts[1])
    assert len(np.unique(starts, axis=0)) > 1
    usual = env.reset()[0]
    assert all(np.abs(start[:7] - usual[:7]).max() > 0.05 for start in starts)
    assert all(abs(start[18] - TASK.start) < 0.05 * TASK.joint_range for start in starts)


def test_start_of_one_demonstration(env: KitchenGymEnv) -> None:
    demo = next(d for d in load_index() if (d.task_name, d.kind) == (TASK.name, "recovery"))
    _, info = env.reset(options={"start": demo.name})
    np.testing.assert_array_equal(env.kitchen.qpos(info["state"]), demo.arrays["qpos"][0])
    np.testing.assert_array_equal(env.kitchen.qvel(info["state"]), demo.arrays["qvel"][0])


# --- pictures


@pytest.mark.usefixtures("opengl")
def test_render_shows_the_state_from_the_chosen_camera(
    env: KitchenGymEnv, goal_state: NDArray[np.float64]
) -> None:
    pictures = []
    for options in ({}, {"state": goal_state}):
        _, info = env.reset(options=options)
        pictures.append(env.render())
        expected = env.kitchen.render(info["state"][None], "default")[0]
        np.testing.assert_array_equal(pictures[-1], expected)
    assert pictures[0] is not None
    assert (pictures[0].shape, pictures[0].dtype) == ((SIZE, SIZE, 3), np.uint8)
    assert (pictures[0] != pictures[1]).any()
    with_camera = KitchenGymEnv(
        TASK.name, camera="left_cam", image_size=SIZE, render_mode="rgb_array"
    )
    assert (with_camera.render() != pictures[0]).any()
    with_camera.close()


def test_render_without_a_mode_warns() -> None:
    kitchen = KitchenGymEnv(TASK.name)
    with pytest.warns(UserWarning, match='render_mode="rgb_array"'):
        assert kitchen.render() is None
    kitchen.close()


# --- what is refused


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"task": "sdoor_opne"}, "no task 'sdoor_opne': expected sdoor_open"),
        ({"camera": "left"}, "no camera 'left': expected left_cam"),
        ({"render_mode": "human"}, "no render_mode 'human': expected rgb_array"),
        ({"image_size": 0}, "image_size is 0, expected 1 pixel or more"),
    ],
)
def test_wrong_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        KitchenGymEnv(**{"task": TASK.name, **settings})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stat": 1}, "no reset option 'stat': expected state, start"),
        ({"state": np.zeros(60), "start": "recovery"}, "expected one of them"),
        ({"state": np.zeros(30)}, r"has the shape \(30,\), expected 60 finite numbers"),
        ({"state": np.full(60, np.nan)}, "expected 60 finite numbers"),
        ({"start": "recovry"}, "no start 'recovry': expected recovery"),
        ({"start": "light_on/start_00"}, "no start 'light_on/start_00'"),
    ],
)
def test_wrong_options(env: KitchenGymEnv, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        env.reset(options=options)


@pytest.mark.parametrize("action", [np.zeros(8), np.full(9, np.nan)])
def test_wrong_action(env: KitchenGymEnv, action: NDArray[np.float64]) -> None:
    with pytest.raises(ValueError, match="expected 9 finite numbers"):
        env.step(action)
