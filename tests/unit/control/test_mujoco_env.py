"""States that hold the inputs of the last action: what a mocap body leads goes on where it was."""

import mujoco
import numpy as np
import pytest

from vipl.control import MujocoEnv
from vipl.control.environment import Floats
from vipl.errors import UserError

# A led box, a free-standing wall that is put in different places, and a motor.
MODEL = """<mujoco>
  <worldbody>
    <camera name="front" pos="0 -3 1" xyaxes="1 0 0 0 0 1"/>
    <body name="leader" mocap="true" pos="0 0 0.5"/>
    <body name="box" pos="0 0 0.5"> <freejoint/> <geom type="box" size=".1 .1 .1"/> </body>
    <body name="wall" mocap="true" pos="1 0 0.5"> <geom type="box" size=".05 1 1"/> </body>
    <body pos="0 3 0"> <joint name="spin"/> <geom size=".1"/> </body>
  </worldbody>
  <equality> <weld body1="leader" body2="box"/> </equality>
  <actuator> <motor joint="spin" ctrlrange="-1 1"/> </actuator>
</mujoco>"""


class LedEnv(MujocoEnv):
    inputs_in_state = True

    def __init__(self, threads: int = 1) -> None:
        spec = mujoco.MjSpec.from_string(MODEL)
        super().__init__(spec, steps_per_action=10, image_size=16, threads=threads)

    def mocap(self, states: Floats, actions: Floats) -> Floats:
        poses = super().mocap(states, actions).copy()
        poses[:, 0] += 0.05 * actions[:, 0]
        return np.asarray(poses)

    def true_reward(self, states: Floats) -> Floats:
        return self.measure(states, lambda data: data.body("box").xpos)[..., 0]

    def is_success(self, states: Floats) -> np.ndarray:
        return self.true_reward(states) > 0.5


@pytest.fixture(params=[1, 2])
def env(request: pytest.FixtureRequest) -> LedEnv:
    return LedEnv(threads=request.param)


def with_wall_at(env: LedEnv, x: float) -> Floats:
    env.set_state(env.data, env.start_state())
    env.data.mocap_pos[env.model.body("wall").mocapid[0], 0] = x
    return env.get_state(env.data)


def test_a_state_holds_all_that_the_next_action_depends_on(env: LedEnv) -> None:
    plan = np.ones((1, 8, 1))
    whole = env.rollout(env.start_state(), plan)[0]
    later = env.rollout(whole[3], plan[:, 4:])[0]
    np.testing.assert_array_equal(later, whole[4:])
    assert whole.shape == (8, env.state_size)
    assert env.model.nmocap == 2
    # Time, position and velocity of the box and the motor, its control, poses of two mocap bodies.
    assert env.state_size == 1 + 8 + 7 + 1 + 2 * 7


def test_it_agrees_with_mujoco_itself(env: LedEnv) -> None:
    data = mujoco.MjData(env.model)
    mujoco.mj_resetData(env.model, data)
    state = env.start_state()
    for _ in range(6):
        data.ctrl[:] = 1
        data.mocap_pos[0, 0] += 0.05
        mujoco.mj_step(env.model, data, nstep=10)
        state = env.step(state[None], np.ones((1, 1)))[0]
    np.testing.assert_allclose(env.qpos(state), data.qpos, atol=1e-6)
    assert env.true_reward(state) == pytest.approx(0.3, abs=0.1)


def test_things_are_where_the_state_says(env: LedEnv) -> None:
    """In one batch, the wall stops one box and not the other."""
    starts = np.array([with_wall_at(env, 0.3), with_wall_at(env, 9.0)])
    states = starts
    for _ in range(20):
        states = env.step(states, np.ones((2, 1)))
    stopped, free = env.true_reward(states)
    assert stopped < 0.5
    assert free > 0.8
    walls = env.measure(states, lambda data: data.body("wall").xpos)
    np.testing.assert_array_equal(walls[:, 0], [0.3, 9.0])
    # A plan from one start does not remember the other's.
    np.testing.assert_array_equal(env.rollout(starts[0], np.ones((1, 20, 1)))[0, -1], states[0])


def test_a_camera_that_the_model_lacks_is_refused_by_name() -> None:
    env = LedEnv()
    with pytest.raises(UserError, match=r"there is no camera 'fron': .*front"):
        env.render(env.start_state()[None], "fron")
