"""States with the arm and the task's object put elsewhere, as the physics allows.

Shapes: S state size.
"""

import mujoco
import numpy as np

from vipl.control.environment import Floats
from vipl_evaluators.frankakitchen.environment import ARM_JOINTS, ROBOT_JOINTS, KitchenEnv

TOUCHED = 0.03
"""Movement of the object that counts, as a share of the joint's range."""

KNOCKED = 0.1
"""Movement of anything else that counts: metres, radians, or parts of a quaternion."""

_KETTLE = 23  # its place in qpos: x, y, z and a quaternion
_KETTLE_M, _KETTLE_RADIANS = 0.3, 1.0

_SETTLING_STEPS = 6  # half a second
_STILL = 0.5  # radians (fingers: metres) a second


def object_moved(env: KitchenEnv, states: Floats, place: float) -> Floats:
    """Return how far the object is from a place of its joint, as a share of its range."""
    position = env.qpos(states)[..., env.task.qpos_index]
    return np.asarray(np.abs(position - place) / env.task.joint_range)


def others_moved(env: KitchenEnv, states: Floats, since: Floats | None = None) -> Floats:
    """Return how far the kitchen's other joints are from positions [30], by default the usual."""
    moved = np.abs(env.qpos(states) - (env.start_qpos() if since is None else since))
    return np.delete(moved, [*range(ROBOT_JOINTS), env.task.qpos_index], axis=-1)


def knock(env: KitchenEnv, rng: np.random.Generator) -> Floats:
    """Return the positions [30] of the usual start with one or two other things moved.

    A planner pushes them on its way. They are the kettle, which stands in it, up to 0.3 m off and
    turned, and one of the doors, switches and knobs that are not the task's, anywhere within its
    limits: either, or both.
    """
    qpos = env.start_qpos()
    what = rng.choice(["kettle", "joint", "both"])
    if what != "joint":
        qpos[_KETTLE : _KETTLE + 2] += rng.uniform(-_KETTLE_M, _KETTLE_M, 2)
        angle, turned = rng.uniform(-_KETTLE_RADIANS, _KETTLE_RADIANS), np.empty(4)
        turn = np.array([np.cos(angle / 2), 0, 0, np.sin(angle / 2)])
        mujoco.mju_mulQuat(turned, turn, qpos[_KETTLE + 3 :])
        qpos[_KETTLE + 3 :] = turned
    if what != "kettle":
        others = [joint for joint in env.movable_joints() if joint != env.task.qpos_index]
        joint = int(rng.choice(others))
        env.put(qpos, joint, rng.uniform(*env.limits(joint)))
    return qpos


def settle(
    env: KitchenEnv, arm: Floats, place: float, *, kitchen: Floats | None = None
) -> Floats | None:
    """Put arm and object somewhere, and let them settle for half a second.

    Args:
        env: Of the task.
        arm: Positions [7] of its joints; what is beyond their limits is cut off.
        place: Of the object's joint.
        kitchen: Positions [30], for everything else; by default that of the usual start.

    Returns:
        The state [S] in which they stand still, or None if something moved: the arm was in its way.
    """
    qpos = env.start_qpos() if kitchen is None else kitchen.copy()
    qpos[:ARM_JOINTS] = arm
    qpos[env.task.qpos_index] = place
    qpos[:ROBOT_JOINTS] = np.clip(qpos[:ROBOT_JOINTS], *env.model.jnt_range[:ROBOT_JOINTS].T)
    still = np.zeros((1, _SETTLING_STEPS, env.action_size))
    settled = env.rollout(env.state(qpos), still)[0, -1]
    moved = object_moved(env, settled, place) > TOUCHED
    moved = moved or others_moved(env, settled, qpos).max() > KNOCKED
    if moved or np.abs(env.qvel(settled)[:ROBOT_JOINTS]).max() >= _STILL:
        return None
    return env.state(env.qpos(settled), env.qvel(settled))
