import mujoco
import numpy as np

from vipl.control import MujocoEnv
from vipl.evaluation import ControlEvaluator, Goal

MODEL = """<mujoco>
  <worldbody>
    <camera name="top" pos="0 0.3 3"/>
    <site name="target" type="cylinder" size="0.15 0.01" rgba="1 0 0 1"/>
    <body pos="0 0 0.1"> <joint name="shoulder" axis="0 0 1"/>
      <geom type="capsule" size="0.06" fromto="0 0 0 0.6 0 0" rgba="0.2 0.4 0.9 1"/>
      <body pos="0.6 0 0"> <joint name="elbow" axis="0 0 1"/>
        <geom type="capsule" size="0.06" fromto="0 0 0 0.6 0 0" rgba="0.2 0.8 0.4 1"/>
        <site name="hand" pos="0.6 0 0"/>
      </body>
    </body>
  </worldbody>
  <actuator>
    <velocity joint="shoulder" kv="5" ctrlrange="-2 2"/>
    <velocity joint="elbow" kv="5" ctrlrange="-2 2"/>
  </actuator>
</mujoco>"""
START, ENDS = (1.2, 1.8), {"left": (2.0, 0.7), "right": (0.2, 0.7)}  # shoulder, elbow: radians


class ReachEnv(MujocoEnv):
    def __init__(self, task, **options):
        angles = np.cumsum(ENDS[task])
        spec = mujoco.MjSpec.from_string(MODEL)
        spec.site("target").pos = [0.6 * np.cos(angles).sum(), 0.6 * np.sin(angles).sum(), 0]
        super().__init__(spec, steps_per_action=40, **options)

    def start_state(self):
        return self.state(START)

    def true_reward(self, states):
        hand, target = (self.site_positions(states, name) for name in ("hand", "target"))
        return -np.linalg.norm((hand - target)[..., :2], axis=-1)

    def is_success(self, states):
        return self.true_reward(states) > -0.1


class Reach(ControlEvaluator):
    """Bring the hand of a planar arm to a red disc."""

    version = 1
    cameras = ("top",)

    def tasks(self):
        return {side: f"reach the disc on the {side}" for side in ENDS}

    def make_env(self, task):
        return ReachEnv(task, **self.env_options)

    def goal(self, task, env):
        return Goal(task, np.array([env.state(q) for q in np.linspace(START, ENDS[task], 30)]))
