"""A script that carries the ball: lower the open hand over it, close, and lift it to the target.

Its poses of the hand were found by a random search over how far the ball was carried.
"""

import mujoco
import numpy as np

from vipl.control.environment import Floats
from vipl_evaluators.adroit.environment import RelocateEnv

# Where the palm is to be before the hand closes, from the ball's middle: metres.
_ABOVE_BALL = np.array([0.003, -0.028, 0.019])
_APPROACH_METRES, _SAFE_METRES = 0.07, 0.13  # above that, on the way; least height of the palm
_NEAR_METRES, _NEAR_HEIGHT_METRES = 0.02, 0.012  # near enough to close
_CLOSING_STEPS = 20
_REACH_METRES, _CARRY_METRES = 0.06, 0.036  # that the next aim may be ahead of the palm

# Angles in radians that the closed hand's actuators aim for, by the end of their names; the rest
# are 0. Open, the fingers are bent by 0.1, and the thumb is out of the way.
_WRIST = {"WRJ1": 0.016, "WRJ0": -0.248}
_BENT = {"J2": 1.6, "J1": 0.79, "J0": 0.99}
_FINGERS = ("FF", "MF", "RF", "LF")
_THUMB = {"THJ4": -0.711, "THJ2": 0.037, "THJ1": 0.52}
_OPEN_THUMB = {"THJ4": -0.494}

_ARM = 6  # joints: three that slide, then three that turn
_METRES_PER_RADIAN = 0.5  # that the palm sinks as the arm tilts
_STIFFNESS = 600 * np.array([1, 1, 1, 0.5, 0.3, 0.3])
_DAMPING = 25 * np.array([1, 1, 1, 0.6, 0.4, 0.4])
_GAIN, _SPRING = 500.0, 200.0  # of the arm's actuators: force = gain x control - spring x position


class Carry:
    """The script of one episode. It remembers when it closed the hand.

    Args:
        env: Where it acts; its simulation data is overwritten.
    """

    def __init__(self, env: RelocateEnv) -> None:
        self._env = env
        self._closed: dict[str, float] = {**_WRIST, **_THUMB}
        self._open: dict[str, float] = {**_WRIST, **_OPEN_THUMB}
        for finger in _FINGERS:
            self._closed |= {finger + joint: angle for joint, angle in _BENT.items()}
            self._open |= dict.fromkeys((finger + joint for joint in _BENT), 0.1)
        self._closed_at: Floats | None = None  # the palm's place
        self._closed_for = 0

    def __call__(self, state: Floats) -> Floats:
        """Return the action [A] in a state [S]."""
        env = self._env
        env.set_state(env.data, state)
        palm, ball, target = env.positions(state)
        way = self._way(palm, ball, target)
        controls = np.zeros(env.model.nu)
        controls[:_ARM] = _arm_controls(env, env.data, way)
        angles = self._open if self._closed_at is None else self._closed
        for name, angle in angles.items():
            controls[env.model.actuator(f"A_{name}").id] = angle
        low, high = env.model.actuator_ctrlrange.T
        return np.asarray(np.clip(2 * (controls - low) / (high - low) - 1, -1, 1))

    def _way(self, palm: Floats, ball: Floats, target: Floats) -> Floats:
        """Return where the palm is to go next, from where it is [3]: metres."""
        if self._closed_at is None:
            return self._approach(palm, ball)
        self._closed_for += 1
        aim = self._closed_at - palm if self._closed_for < _CLOSING_STEPS else target - ball
        return np.asarray(aim * min(1, _CARRY_METRES / max(float(np.linalg.norm(aim)), 1e-9)))

    def _approach(self, palm: Floats, ball: Floats) -> Floats:
        aim = ball + _ABOVE_BALL
        aside = np.linalg.norm((palm - aim)[:2])
        if aside < _NEAR_METRES and abs(palm[2] - aim[2]) < _NEAR_HEIGHT_METRES:
            self._closed_at = aim
        if aside > 1.5 * _NEAR_METRES:
            aim[2] = max(aim[2] + _APPROACH_METRES, _SAFE_METRES)
        return np.asarray(np.clip(aim - palm, -_REACH_METRES, _REACH_METRES))


def _arm_controls(env: RelocateEnv, data: mujoco.MjData, way: Floats) -> Floats:
    """Return the arm's controls [6] that move the palm along a way [3]."""
    at, speed = data.qpos[:_ARM], data.qvel[:_ARM]
    aim = np.zeros(_ARM)
    aim[0], aim[2] = at[0] - way[0], at[2] + way[1]
    if at[3] > 0.02 or (way[2] < 0 and at[1] < 0.02):  # as low as it goes: tilt
        aim[3] = np.clip(at[3] - 3 * way[2] / _METRES_PER_RADIAN, 0, 0.6)
    else:
        aim[1] = at[1] + 2 * way[2]
    aim = np.clip(aim, *env.model.jnt_range[:_ARM].T)
    forces = _STIFFNESS * (aim - at) - _DAMPING * speed + data.qfrc_bias[:_ARM]
    return np.asarray((_SPRING * at + forces) / _GAIN)
