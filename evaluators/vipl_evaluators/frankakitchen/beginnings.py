"""How demonstrations begin that do not begin at the usual start: detours and recoveries."""

import numpy as np

from vipl.control.environment import Floats
from vipl.errors import UserError
from vipl_evaluators.frankakitchen.environment import ARM_JOINTS, KitchenEnv
from vipl_evaluators.frankakitchen.placement import (
    KNOCKED,
    TOUCHED,
    object_moved,
    others_moved,
    settle,
)

# A detour goes by this many poses, each within so many radians of one of a demonstration's, and
# turns to the next after so many steps.
_DETOUR_POSES, _DETOUR_RADIANS, _DETOUR_STEPS = 3, 0.6, 14
_HALFWAY = (0.3, 0.7)  # of the way is left: not so near the goal that the task counts as solved


def detour(
    env: KitchenEnv,
    poses: Floats | None,
    rng: np.random.Generator,
    *,
    knock: bool = False,
    trials: int = 100,
) -> tuple[Floats, Floats]:
    """Move the arm from its usual start by some poses, the object untouched.

    Args:
        env: Of the task.
        poses: Robot poses [K, 9] to draw from.
        rng: That draws.
        knock: Push something else away; otherwise, nothing else is touched either.
        trials: How many poses to try, and with `knock` how many ways.

    Returns:
        States [K + 1, S] and actions [K, A].

    Raises:
        UserError: If no such way is found, or there are no poses to draw from.
    """
    if poses is None:
        raise UserError(f"{env.task.name}: detours need a start demonstration, make that first")
    for _ in range(trials if knock else 1):
        states, actions = _wander(env, poses, rng, free=not knock, trials=trials)
        if not knock or others_moved(env, states[-1]).max() > KNOCKED:
            return states, actions
    raise UserError(f"{env.task.name}: nothing else was pushed away on {trials} ways")


def _wander(
    env: KitchenEnv, poses: Floats, rng: np.random.Generator, *, free: bool, trials: int
) -> tuple[Floats, Floats]:
    states, actions = env.start_state()[None], np.empty((0, env.action_size))
    found = 0
    for _ in range(trials):
        pose = poses[0] if rng.random() < 1 / 2 else poses[rng.integers(len(poses))]
        aim = pose[:ARM_JOINTS] + rng.uniform(-1, 1, ARM_JOINTS) * _DETOUR_RADIANS
        way, steps = _move(env, states[-1], aim)
        hit = free and others_moved(env, way).max() > KNOCKED
        if object_moved(env, way, env.task.start).max() < TOUCHED and not hit:
            states, actions = np.concatenate([states, way]), np.concatenate([actions, steps])
            found += 1
            if found == _DETOUR_POSES:
                return states, actions
    raise UserError(f"{env.task.name}: no free way by {_DETOUR_POSES} poses in {trials} trials")


def _move(env: KitchenEnv, state: Floats, aim: Floats) -> tuple[Floats, Floats]:
    """Move the arm towards a pose [7]: states [K, S] and actions [K, A]."""
    states, actions = [], []
    for _ in range(_DETOUR_STEPS):
        action = np.zeros(env.action_size)
        action[:ARM_JOINTS] = np.clip(4 * (aim - env.qpos(state)[:ARM_JOINTS]), -1, 1)
        state = env.rollout(state, action[None, None])[0, 0]
        states.append(state)
        actions.append(action)
    return np.array(states), np.array(actions)


def recovery_start(
    env: KitchenEnv,
    poses: Floats | None,
    rng: np.random.Generator,
    *,
    halfway: bool = False,
    trials: int = 100,
) -> Floats:
    """Return a state [S] with the arm elsewhere and the object where the task begins.

    With `halfway`, the object has gone a part of its way. In two of three the arm is near the pose
    in which a demonstration ends, else near any pose of one. It stands still, and settling for half
    a second does not move the object.

    Raises:
        UserError: If no such state is found, or there are no poses to start from.
    """
    if poses is None:
        raise UserError(f"{env.task.name}: recoveries need a start demonstration, make that first")
    noise, goal = 0.1, env.task.goal
    left = rng.uniform(*_HALFWAY) if halfway else 1.0
    place = goal + left * (env.task.start - goal)
    for _ in range(trials):
        pose = poses[0] if rng.random() < 2 / 3 else poses[rng.integers(len(poses))]
        arm = pose[:ARM_JOINTS] + rng.normal(scale=noise, size=ARM_JOINTS)
        if (state := settle(env, arm, place)) is not None:
            return state
        noise *= 1.03  # a pose that touches something: look farther away
    raise UserError(f"{env.task.name}: no free pose near its demonstrations in {trials} trials")
