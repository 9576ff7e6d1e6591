"""The suite `adroit`: its physics and success are gymnasium-robotics'."""

from collections.abc import Iterator
from typing import Any

import mujoco
import numpy as np
import pytest

from vipl.control.environment import Floats
from vipl.control.mppi import Planner
from vipl.errors import UserError
from vipl.evaluation.protocols.dataset import Dataset
from vipl_evaluators.adroit import demonstrations, generate
from vipl_evaluators.adroit.demonstrations import load_demonstrations
from vipl_evaluators.adroit.environment import ENVIRONMENTS, HandEnv, PenEnv, RelocateEnv
from vipl_evaluators.adroit.evaluator import Adroit
from vipl_evaluators.adroit.scene import CAMERAS

SIZE = 48


@pytest.fixture(scope="module")
def pen() -> Iterator[PenEnv]:
    made = PenEnv(image_size=SIZE)
    yield made
    made.close()


@pytest.fixture(scope="module")
def relocate() -> Iterator[RelocateEnv]:
    made = RelocateEnv(image_size=SIZE)
    yield made
    made.close()


@pytest.fixture(params=list(ENVIRONMENTS))
def env(request: pytest.FixtureRequest) -> HandEnv:
    made: HandEnv = request.getfixturevalue(request.param)
    return made


def with_fresh_positions(theirs: Any) -> Any:
    """Their environment, its rewards computed from where things are after the last step.

    As it is, positions are those before the last simulation step of 2 ms.
    """
    simulate = theirs.do_simulation

    def simulate_and_look(controls: Floats, steps: int) -> None:
        simulate(controls, steps)
        mujoco.mj_kinematics(theirs.model, theirs.data)

    theirs.do_simulation = simulate_and_look
    return theirs


def packages_pen(quaternion: Floats) -> Any:
    from gymnasium_robotics.envs.adroit_hand.adroit_pen import AdroitHandPenEnv

    theirs = AdroitHandPenEnv()
    theirs.reset(seed=0)
    theirs.model.body_quat[theirs.target_obj_body_id] = quaternion
    theirs.set_state(theirs.init_qpos, theirs.init_qvel)
    return with_fresh_positions(theirs)


def packages_relocate(place: Floats) -> Any:
    from gymnasium_robotics.envs.adroit_hand.adroit_relocate import AdroitHandRelocateEnv

    theirs = AdroitHandRelocateEnv()
    theirs.reset(seed=0)
    theirs.model.body_pos[theirs.obj_body_id, :2] = place[:2]
    theirs.model.site_pos[theirs.target_obj_site_id] = place[2:]
    theirs.set_state(theirs.init_qpos, theirs.init_qvel)
    return with_fresh_positions(theirs)


recorded_here = pytest.mark.skipif(
    mujoco.__version__ != "3.11.0",
    reason="recorded with mujoco 3.11.0: others differ where things touch",
)


@recorded_here
def test_a_demonstration_does_the_same_in_the_packages_pen(pen: PenEnv) -> None:
    demo = load_demonstrations()[0]
    target = pen.measure(demo.states[:1], lambda data: data.body("target").xquat)[0]
    theirs, rewards = packages_pen(target), []
    for action, state in zip(demo.actions, demo.states[1:], strict=True):
        seen, reward, _, _, info = theirs.step(action)
        np.testing.assert_allclose(pen.observe(state), seen, atol=1e-4)
        rewards.append(reward)
        assert info["success"] == pen.is_success(state)
        np.testing.assert_allclose(pen.qpos(state), theirs.data.qpos, atol=1e-6)
    assert info["success"]
    np.testing.assert_allclose(pen.true_reward(demo.states[1:]), rewards, atol=1e-5)


def test_the_script_does_the_same_in_the_packages_relocate(relocate: RelocateEnv) -> None:
    from vipl_evaluators.adroit.script import carry_guide

    states, actions = carry_guide(relocate, anywhere=False).follow(np.random.default_rng(0))
    theirs = packages_relocate(np.array(relocate.usual))
    shift = relocate.qpos(states[0]) - theirs.data.qpos  # the ball's place is theirs' model's
    palm, ball, _ = relocate.positions(states[1:])
    reach = np.linalg.norm(palm - ball, axis=-1)
    ours = relocate.true_reward(states[1:])
    for step, (action, state) in enumerate(zip(actions, states[1:], strict=True)):
        seen, reward, _, _, info = theirs.step(action)
        np.testing.assert_allclose(relocate.observe(state), seen, atol=1e-4)
        assert info["success"] == relocate.is_success(state)
        np.testing.assert_allclose(relocate.qpos(state), theirs.data.qpos + shift, atol=1e-4)
        # The first version's reward has the sign of reaching wrong.
        wrong_sign = reward - 0.2 * reach[step]
        assert min(abs(ours[step] - reward), abs(ours[step] - wrong_sign)) < 1e-3
    assert info["success"]


@recorded_here
def test_every_demonstration_replays(pen: PenEnv) -> None:
    for demo in load_demonstrations():
        replayed = pen.rollout(demo.states[0], demo.actions[None])[0]
        np.testing.assert_allclose(replayed, demo.states[1:], atol=1e-6)


def test_every_demonstration_solves_by_its_states(pen: PenEnv) -> None:
    demos = load_demonstrations()
    assert len({tuple(demo.states[0]) for demo in demos}) == len(demos)
    for demo in demos:
        solved = pen.is_success(demo.states)
        assert solved[-generate._HELD_STEPS :].all()
        assert not solved[0]


def test_the_goal_solves_the_task(env: HandEnv) -> None:
    goal = Adroit(image_size=SIZE).goal(env.name, env)
    assert env.is_success(goal.states[-1])
    np.testing.assert_array_equal(goal.states[0], env.start_state())
    (errors,) = env.pose_errors(goal.states, goal.states[-1]).values()
    assert errors[-1] < errors[0] / 2


def test_starts_differ_in_what_the_package_draws(env: HandEnv) -> None:
    starts = env.start_states(4, np.random.default_rng(0))
    assert len(np.unique(env.observe(starts), axis=0)) == 4
    joints = env.proprioception(starts)
    assert joints.shape == (4, 24 if env.name == "pen" else 30)
    np.testing.assert_array_equal(joints, 0)
    assert not env.is_success(starts).any()


@pytest.mark.parametrize(("quality", "solved"), [("expert", 3), ("mixed", 1)])
def test_trajectories(env: HandEnv, quality: str, solved: int) -> None:
    asked = Dataset(trajectories=3, quality=quality)
    made = Adroit(image_size=SIZE).make_trajectories(env.name, env, asked)
    assert sum(trajectory.success[-1] for trajectory in made) == solved
    assert len({trajectory.sha256 for trajectory in made}) == 3


@pytest.mark.usefixtures("opengl")
def test_pictures(env: HandEnv) -> None:
    starts = env.start_states(2, np.random.default_rng(0))
    shown = np.array([env.render(starts, camera) for camera in CAMERAS])
    assert ((shown[:, 0] != shown[:, 1]).mean(axis=(1, 2, 3)) > 0.002).all()  # targets differ
    for one, other in [(0, 1), (0, 2), (1, 2)]:
        assert np.abs(shown[one, 0].astype(int) - shown[other, 0]).mean() > 5


def test_generating_goes_on_and_gives_up(tmp_path: Any, monkeypatch: Any) -> None:
    ready = load_demonstrations()[0]
    kept = tmp_path / "pen_00.npz"
    demonstrations.write_demonstration(kept, ready.states, ready.actions)
    before = kept.stat().st_mtime_ns
    monkeypatch.setattr(generate, "_ATTEMPTS", 2)
    weak = Planner(samples=2, horizon_steps=1)
    with pytest.raises(UserError, match=r"pen_01.npz was not solved in 2 attempts"):
        generate.generate_demonstrations(tmp_path, number=2, planner=weak, steps=3)
    assert kept.stat().st_mtime_ns == before


def test_a_folder_without_demonstrations(tmp_path: Any) -> None:
    with pytest.raises(UserError, match="holds no demonstrations"):
        load_demonstrations(tmp_path)
