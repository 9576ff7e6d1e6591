"""The kitchen with one of its twelve tasks.

Shapes: S state size, T steps; qpos has 30 entries, of which the robot's are the first nine.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from vipl.control.environment import Floats
from vipl.control.mujoco_env import MujocoEnv
from vipl_evaluators.frankakitchen.scene import kitchen_spec
from vipl_evaluators.frankakitchen.tasks import Task

STEPS_PER_ACTION = 40
"""Of 2 ms each: 12.5 actions a second."""

ROBOT_JOINTS = 9
ARM_JOINTS = 7

# Source: the code published with arXiv 2210.00030. Radians; the two fingers in metres.
START_QPOS = (
    0.101021, -1.763497, 1.889746, -2.476617, 0.325189, 0.829094, 1.624636, 0.039976, 0.039979,
)  # fmt: skip

# An action asks for a joint velocity of up to this many radians (fingers: metres) a second, as in
# gymnasium-robotics' FrankaKitchen-v1. The position to aim for is reset from the joint's own at
# every action, and the actuators lag behind: free joints cover about half of that way.
_VELOCITY_PER_ACTION = 2.0

_START_RADIANS = 0.05


class KitchenEnv(MujocoEnv):
    """One task on gymnasium-robotics' kitchen model, with the cameras of the VIP paper.

    Args:
        task: What to do.
        image_size: Side of the pictures, in pixels.
        offsamples: Samples a pixel against jagged edges.
        shadows: Whether shadows and reflections are drawn.
        threads: That roll out plans.
        mesh_grid_m: To draw the arm's meshes more coarsely, in metres: docs/reference/suites.md.
    """

    def __init__(
        self,
        task: Task,
        *,
        image_size: int = 224,
        offsamples: int = 0,
        shadows: bool = False,
        threads: int = 1,
        mesh_grid_m: float | None = None,
    ) -> None:
        super().__init__(
            kitchen_spec(),
            steps_per_action=STEPS_PER_ACTION,
            image_size=image_size,
            offsamples=offsamples,
            shadows=shadows,
            threads=threads,
            mesh_grid_m=mesh_grid_m,
        )
        self.task = task
        self._action_s = STEPS_PER_ACTION * self.model.opt.timestep

    def controls(self, states: Floats, actions: Floats) -> Floats:
        """Return the joint positions to aim for: where the joints are, plus velocity x time."""
        joints = self.qpos(states)[:, :ROBOT_JOINTS]
        targets = joints + _VELOCITY_PER_ACTION * self._action_s * actions
        return np.asarray(np.clip(targets, *self.model.actuator_ctrlrange.T))

    def start_state(self) -> Floats:
        """Return the usual start: the robot in its start pose, the object where the task begins."""
        return self.state(self.start_qpos())

    def start_qpos(self) -> Floats:
        """Return the positions [30] of the usual start."""
        mujoco.mj_resetData(self.model, self.data)
        qpos: Floats = self.data.qpos.copy()
        qpos[:ROBOT_JOINTS] = START_QPOS
        qpos[self.task.qpos_index] = self.task.start
        return qpos

    def start_states(self, number: int, rng: np.random.Generator) -> Floats:
        """Return usual starts [N, S] whose arms are up to 0.05 radians a joint elsewhere."""
        starts = []
        for _ in range(number):
            qpos = self.start_qpos()
            qpos[:ARM_JOINTS] += rng.uniform(-_START_RADIANS, _START_RADIANS, ARM_JOINTS)
            starts.append(self.state(qpos))
        return np.array(starts)

    def proprioception(self, states: Floats) -> Floats:
        """Return the robot's joint positions and velocities [..., 18]."""
        parts = (self.qpos(states), self.qvel(states))
        return np.concatenate([part[..., :ROBOT_JOINTS] for part in parts], axis=-1)

    def recorded_states(self, observations: Any) -> Floats | None:
        """Return the states [T, S] in observations of gymnasium-robotics' FrankaKitchen-v1.

        Those are the data sets D4RL/kitchen of Minari: positions and velocities of the robot, then
        those of everything else, with a little noise, float64 [T, 59].
        """
        vectors = observations.get("observation") if isinstance(observations, Mapping) else None
        sizes = (ROBOT_JOINTS, ROBOT_JOINTS, self.model.nq - ROBOT_JOINTS)
        if vectors is None or vectors.shape[1:] != (self.model.nq + self.model.nv,):
            return None
        robot_qpos, robot_qvel, qpos, qvel = np.split(vectors, np.cumsum(sizes), axis=1)
        rows = zip(np.hstack([robot_qpos, qpos]), np.hstack([robot_qvel, qvel]), strict=True)
        return np.array([self.state(*row) for row in rows])

    def object_error(self, states: Floats) -> Floats:
        """Return the joint's distance to its goal as a share of its range: [...] of [..., S]."""
        position = self.qpos(states)[..., self.task.qpos_index]
        return np.asarray(np.abs(position - self.task.goal) / self.task.joint_range)

    def is_success(self, states: Floats) -> NDArray[np.bool_]:
        """Return whether the joint is within 15% of its range of the goal."""
        return np.asarray(self.task.is_success(self.qpos(states)[..., self.task.qpos_index]))

    def true_errors(self, states: Floats, goal: Floats) -> Floats:
        """Return `object_error`, whatever the goal state: float64 [...] of states [..., S]."""
        del goal
        return self.object_error(states)

    def place_object(self, states: Floats, shares: Floats) -> Floats:
        """Return states [N, K, S] with the joint on its way from the task's start to its goal.

        What follows the joint moves with it: the light goes on with its switch. The arm may reach
        through a door there, as no physics has a say in it.
        """
        task, placed = self.task, np.repeat(states[:, None], len(shares), axis=1)
        qpos = self.qpos(placed)  # a view
        self.put(qpos, task.qpos_index, task.start + shares * (task.goal - task.start))
        return placed

    def put(self, qpos: Floats, index: int, position: Floats | float) -> None:
        """Put a joint somewhere, and what follows it, in positions [..., 30]."""
        qpos[..., index] = position
        for leader, follower, factor in self._couplings:
            if leader == index:
                qpos[..., follower] = qpos[..., index] / factor

    def movable_joints(self) -> list[int]:
        """Return where in qpos the doors, switches and knobs of the kitchen are."""
        followers = {follower for _, follower, _ in self._couplings}
        sliding = self.model.jnt_type != mujoco.mjtJoint.mjJNT_FREE
        places = self.model.jnt_qposadr[sliding].tolist()
        return [place for place in places if place >= ROBOT_JOINTS and place not in followers]

    def limits(self, index: int) -> Floats:
        """Return the least and the greatest position [2] of the joint at a place in qpos."""
        joint = int(np.flatnonzero(self.model.jnt_qposadr == index)[0])
        return np.asarray(self.model.jnt_range[joint])

    @cached_property
    def _couplings(self) -> list[tuple[int, int, float]]:
        """Where in qpos a joint is, and one that follows it, and how much faster the former is."""
        model = self.model
        of_joints = np.flatnonzero(model.eq_type == mujoco.mjtEq.mjEQ_JOINT)
        first, second = (
            model.jnt_qposadr[ids[of_joints]] for ids in (model.eq_obj1id, model.eq_obj2id)
        )
        factors = model.eq_data[of_joints, 1]
        return list(zip(first.tolist(), second.tolist(), factors.tolist(), strict=True))

    def hand_to_handle(self, states: Floats) -> Floats:
        """Return the distance from the hand to the task's handle in metres: [...] of [..., S]."""
        hand = self.site_positions(states, "end_effector")
        handle = self.site_positions(states, self.task.site)
        return np.asarray(np.linalg.norm(hand - handle, axis=-1))

    def true_reward(self, states: Floats) -> Floats:
        """Return the reward of the ground-truth state, the ceiling for any visual one.

        It is -2 times the way that is left (1 at the start), plus 1/2 once a quarter and 1/2
        once three quarters of it are gone, minus the distance from the hand to the handle in
        metres.
        """
        position = self.qpos(states)[..., self.task.qpos_index]
        way = np.abs(position - self.task.goal) / abs(self.task.goal - self.task.start)
        reach = self.hand_to_handle(states)
        return np.asarray(-2 * way + 0.5 * (way < 0.75) + 0.5 * (way < 0.25) - reach)

    def pose_errors(self, states: Floats, goal: Floats) -> Mapping[str, Floats]:
        """Return object_error (share of the joint's range) and robot_error (radians) over time.

        The latter is the mean absolute difference of the arm's seven joints to the goal state's.
        """
        arm, goal_arm = self.qpos(states)[..., :ARM_JOINTS], self.qpos(goal)[:ARM_JOINTS]
        robot_error = np.abs(arm - goal_arm).mean(axis=-1)
        return {"object_error": self.object_error(states), "robot_error": robot_error}
