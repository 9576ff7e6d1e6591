"""A Sawyer arm at a table with one of the five tasks.

Shapes: N states, S state size. Beside the physics, a state holds the last action's controls and
the poses of the mocap bodies: the one that leads the hand, and the part of the scene that a task
puts in different places.
"""

from collections.abc import Mapping
from functools import cached_property

import mujoco
import numpy as np
from numpy.typing import NDArray

from vipl.control.environment import Floats
from vipl.control.mujoco_env import MujocoEnv
from vipl_evaluators.metaworld.measures import (
    POSES,
    Scene,
    read_numbers,
    sawyer_observation,
    split_numbers,
)
from vipl_evaluators.metaworld.rewards import REWARDS, SUCCESS, Beginning
from vipl_evaluators.metaworld.scene import scene_spec
from vipl_evaluators.metaworld.tasks import Task

STEPS_PER_ACTION = 5
"""Of 2.5 ms each: 80 actions a second."""

_HAND_HIGH = (0.5, 1.0, 0.5)
_METRES_PER_ACTION = 0.01
_HAND_QUATERNION = (1.0, 0.0, 1.0, 0.0)
_SETTLING_ACTIONS = 50
# The package's weld of the hand to the body that leads it: no offset, and this torque scale.
_WELD = (0, 0, 0, 0, 0, 0, -1, 0, 0, 0, 5)
_ARM_JOINTS = 9  # with both fingers
_RING = (0, 0.6, 0.02)  # of assembly, metres


class SawyerEnv(MujocoEnv):
    """One task on MetaWorld's model; its physics, success and reward are the package's.

    An action [4] moves the point that leads the hand by up to a centimetre along x, y and z, and
    closes (1) or opens (-1) the gripper.

    Args:
        task: What to do.
        image_size: Side of the pictures, in pixels.
        offsamples: Samples a pixel against jagged edges.
        threads: That roll out plans.
        mesh_grid_m: To draw large meshes more coarsely, in metres.
    """

    inputs_in_state = True

    def __init__(
        self,
        task: Task,
        *,
        image_size: int = 224,
        offsamples: int = 0,
        threads: int = 1,
        mesh_grid_m: float | None = None,
    ) -> None:
        super().__init__(
            scene_spec(task),
            steps_per_action=STEPS_PER_ACTION,
            image_size=image_size,
            offsamples=offsamples,
            threads=threads,
            mesh_grid_m=mesh_grid_m,
        )
        self.task = task
        self.action_size = 4
        welds = self.model.eq_type == mujoco.mjtEq.mjEQ_WELD
        self.model.eq_data[welds] = 0  # of 11 numbers up to mujoco 3.17, of 12 since 4.0
        self.model.eq_data[welds, : len(_WELD)] = _WELD
        self._leader = self.model.body("mocap").mocapid[0]

    def controls(self, states: Floats, actions: Floats) -> Floats:
        """Return the positions [N, 2] that the two fingers aim for."""
        return np.stack([actions[:, 3], -actions[:, 3]], axis=1)

    def mocap(self, states: Floats, actions: Floats) -> Floats:
        """Return the mocap poses with the hand's leader moved, within the space of the hand."""
        poses = super().mocap(states, actions).copy()
        position = slice(3 * self._leader, 3 * self._leader + 3)
        moved = poses[:, position] + _METRES_PER_ACTION * actions[:, :3]
        poses[:, position] = np.clip(moved, self.task.hand_low, _HAND_HIGH)
        first = 3 * self.model.nmocap + 4 * self._leader
        poses[:, first : first + 4] = _HAND_QUATERNION
        return np.asarray(poses)

    def start_state(self) -> Floats:
        """Return the usual start: the hand at rest, the thing in its usual place."""
        return self.start_at(np.array(self.task.usual))

    def start_at(self, place: Floats) -> Floats:
        """Return the start [S] with the task's thing in a place [3], in metres."""
        mujoco.mj_setState(self.model, self.data, self._settled, self._bits)
        free = place
        if self.task.fixed:
            self.data.mocap_pos[self.model.body(self.task.thing).mocapid[0]] = place
            free = np.array(_RING)
        if self.model.jnt_type[_ARM_JOINTS] == mujoco.mjtJoint.mjJNT_FREE:
            self.data.qpos[_ARM_JOINTS : _ARM_JOINTS + 3] = free
            self.data.qvel[_ARM_JOINTS : _ARM_JOINTS + 6] = 0
        return self.get_state(self.data)

    def start_states(self, number: int, rng: np.random.Generator) -> Floats:
        """Return starts [N, S] with the thing anywhere where the package may put it."""
        places = rng.uniform(self.task.low, self.task.high, size=(number, 3))
        return np.array([self.start_at(place) for place in places])

    @cached_property
    def _settled(self) -> Floats:
        """The state once the hand, its gripper open, has come to where tasks begin."""
        mujoco.mj_resetData(self.model, self.data)
        self.data.mocap_pos[self._leader] = self.task.hand
        self.data.mocap_quat[self._leader] = _HAND_QUATERNION
        self.data.ctrl[:] = -1, 1
        mujoco.mj_step(self.model, self.data, nstep=_SETTLING_ACTIONS * STEPS_PER_ACTION)
        return self.get_state(self.data)

    def scene(self, states: Floats) -> Scene:
        """Return where everything is that success and reward depend on, in states [..., S]."""
        poses = POSES[self.task.name]
        numbers = self.measure(states, lambda data: read_numbers(data, poses))
        effort = states[..., self._physics_size]  # of the last action: its first control
        return split_numbers(numbers, effort)

    def true_reward(self, states: Floats) -> Floats:
        """Return the package's reward, from 0 to 10.

        Some of its margins are measured from where things were when the episode began; that is
        the usual start here.
        """
        return REWARDS[self.task.name](self.scene(states), self._beginning)

    def is_success(self, states: Floats) -> NDArray[np.bool_]:
        """Return whether the package counts the task as solved."""
        return SUCCESS[self.task.name](self.scene(states))

    @cached_property
    def _beginning(self) -> Beginning:
        start = self.start_state()
        grasped = self.qpos(start)[_ARM_JOINTS : _ARM_JOINTS + 3]
        return Beginning(self.scene(start), grasped=grasped)

    def pose_errors(self, states: Floats, goal: Floats) -> Mapping[str, Floats]:
        """Return how far object and hand are from where they are at the goal: metres [T] each.

        Both are seen from the target, which may be elsewhere than the goal's. The object is the
        ring, the cube, the button, the drawer's handle or the nail.
        """
        scene, end = self.scene(states), self.scene(goal)
        moved = scene.target - end.target
        return {
            "object_error": np.linalg.norm(scene.other - end.other - moved, axis=-1),
            "hand_error": np.linalg.norm(scene.hand - end.hand - moved, axis=-1),
        }

    def proprioception(self, states: Floats) -> Floats:
        """Return the hand's position and the gripper's opening [..., 4], as in the study."""
        return self.observe(states)[..., :4]

    def observe(self, states: Floats) -> Floats:
        """Return the package's observation [..., 39], the goal's position included."""
        return sawyer_observation(self.scene(states), two_things=self.task.name == "hammer")
