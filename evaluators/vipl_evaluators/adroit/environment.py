"""The Adroit hand with one of two tasks.

Shapes: N states, S state size. Beside the physics, a state holds the last action's controls and the
poses of the mocap bodies, among them the target.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import mujoco
import numpy as np
from numpy.typing import NDArray

from vipl.control.environment import Floats
from vipl.control.mujoco_env import MujocoEnv
from vipl_evaluators.adroit.scene import TARGET, scene_spec

STEPS_PER_ACTION = 5
"""Of 2 ms each: 100 actions a second."""

_OBJECT_JOINTS = 6
# gymnasium-robotics changes these actuators' gains after it has read the model.
_GAINS = {"WRJ": 10.0, "FFJ": 1.0, "MFJ": 1.0, "RFJ": 1.0, "LFJ": 1.0, "THJ": 1.0}


class HandEnv(MujocoEnv):
    """One task of the hand; its physics and success are gymnasium-robotics'.

    An action is where each joint is to go, -1 to 1 over its actuator's range.

    Args:
        image_size: Side of the pictures, in pixels.
        offsamples: Samples a pixel against jagged edges.
        threads: That roll out plans.
        mesh_grid_m: To draw large meshes more coarsely, in metres.

    Attributes:
        name: Of the task.
        label: In words.
        usual: Where object and target are usually, in numbers of the task's own.
        low: The least that these are drawn from.
        high: The most.
    """

    inputs_in_state = True
    name: ClassVar[str]
    label: ClassVar[str]
    usual: ClassVar[tuple[float, ...]]
    low: ClassVar[tuple[float, ...]]
    high: ClassVar[tuple[float, ...]]

    def __init__(
        self,
        *,
        image_size: int = 224,
        offsamples: int = 0,
        threads: int = 1,
        mesh_grid_m: float | None = None,
    ) -> None:
        super().__init__(
            scene_spec(self.name),
            steps_per_action=STEPS_PER_ACTION,
            image_size=image_size,
            offsamples=offsamples,
            threads=threads,
            mesh_grid_m=mesh_grid_m,
        )
        for index in range(self.model.nu):
            gain = _GAINS.get(self.model.actuator(index).name[2:5])
            if gain is not None:
                self.model.actuator_gainprm[index, :3] = gain, 0, 0
                self.model.actuator_biasprm[index, :3] = 0, -gain, 0
        self._target = self.model.body(TARGET).mocapid[0]
        self._own_joints = self.model.nq - _OBJECT_JOINTS

    def start_state(self) -> Floats:
        """Return the usual start: the hand flat, object and target in their usual places."""
        return self.start_at(np.array(self.usual))

    def start_states(self, number: int, rng: np.random.Generator) -> Floats:
        """Return starts [N, S] with places drawn as gymnasium-robotics draws them."""
        places = rng.uniform(self.low, self.high, size=(number, len(self.low)))
        return np.array([self.start_at(place) for place in places])

    def start_at(self, place: Floats) -> Floats:
        """Return the start [S] with object and target in a place, as `usual` is one."""
        mujoco.mj_resetData(self.model, self.data)
        self.put(self.data, place)
        return self.get_state(self.data)

    @abstractmethod
    def put(self, data: mujoco.MjData, place: Floats) -> None:
        """Put object and target in a place, by setting positions and mocap poses."""

    def proprioception(self, states: Floats) -> Floats:
        """Return the positions of the hand's joints, and of the arm's where it moves, [..., P]."""
        return np.asarray(self.qpos(states)[..., : self._own_joints])


class PenEnv(HandEnv):
    """Turn a pen in the hand until it points as a second pen, the target, does.

    Places are the target's roll and pitch in radians.
    """

    name, label = "pen", "turn a pen in the hand"
    usual, low, high = (0.3, 0.5), (-1.0, -1.0), (1.0, 1.0)

    def put(self, data: mujoco.MjData, place: Floats) -> None:
        """Turn the target."""
        data.mocap_quat[self._target] = _quaternion(*place)

    def _poses(self, states: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """Return where the pen is and is to be, how it points and is to point: [..., 3] each."""

        def read(data: mujoco.MjData) -> Floats:
            ways = [
                data.site(f"{pen}_top").xpos - data.site(f"{pen}_bottom").xpos
                for pen in ("object", "target")
            ]
            ways = [way / np.linalg.norm(way) for way in ways]
            return np.concatenate([data.body("Object").xpos, data.site("eps_ball").xpos, *ways])

        place, wanted, way, wanted_way = np.split(self.measure(states, read), 4, axis=-1)
        return place, wanted, way, wanted_way

    def observe(self, states: Floats) -> Floats:
        """Return gymnasium-robotics' observation [..., 45]."""
        place, wanted, way, wanted_way = self._poses(states)
        turning = self.qvel(states)[..., -_OBJECT_JOINTS:]
        parts = place, turning, way, wanted_way, place - wanted, way - wanted_way
        return np.concatenate([self.proprioception(states), *parts], axis=-1)

    def _numbers(self, states: Floats) -> tuple[Floats, Floats, Floats]:
        """Return distance to the middle of the hand, alignment with the target, and height."""
        place, wanted, way, wanted_way = self._poses(states)
        distance = np.linalg.norm(place - wanted, axis=-1)
        return distance, (way * wanted_way).sum(axis=-1), place[..., 2]

    def true_reward(self, states: Floats) -> Floats:
        """Return gymnasium-robotics' dense reward: alignment minus distance, and steps."""
        distance, alignment, height = self._numbers(states)
        inside = distance < 0.075
        bonus = 10 * (inside & (alignment > 0.9)) + 50 * (inside & (alignment > 0.95))
        return np.asarray(alignment - distance + bonus - 5 * (height < 0.075))

    def is_success(self, states: Floats) -> NDArray[np.bool_]:
        """Return whether the pen points as the target does, within 18 degrees, and is held."""
        distance, alignment, _ = self._numbers(states)
        return np.asarray((distance < 0.075) & (alignment > 0.95))

    def pose_errors(self, states: Floats, goal: Floats) -> Mapping[str, Floats]:
        """Return pen_error: the angle to the target, radians [T]."""
        return {"pen_error": np.arccos(np.clip(self._numbers(states)[1], -1, 1))}


class RelocateEnv(HandEnv):
    """Carry a ball to a place in the air.

    Places are the ball's x and y and the target's x, y and z in metres.
    """

    name, label = "relocate", "carry a ball to a place in the air"
    usual = (0.05, 0.05, -0.1, 0.1, 0.25)
    low, high = (-0.15, -0.15, -0.2, -0.2, 0.15), (0.15, 0.3, 0.2, 0.2, 0.35)

    def put(self, data: mujoco.MjData, place: Floats) -> None:
        """Put the ball on the table and the target above it."""
        home = self.model.body("Object").pos
        data.joint("OBJTx").qpos, data.joint("OBJTy").qpos = place[:2] - home[:2]
        data.mocap_pos[self._target] = place[2:]

    def positions(self, states: Floats) -> tuple[Floats, Floats, Floats]:
        """Return the palm's, the ball's and the target's position [..., 3]."""

        def read(data: mujoco.MjData) -> Floats:
            ball = data.body("Object").xpos
            return np.concatenate([data.site("S_grasp").xpos, ball, data.site(TARGET).xpos])

        palm, ball, target = np.split(self.measure(states, read), 3, axis=-1)
        return palm, ball, target

    def observe(self, states: Floats) -> Floats:
        """Return gymnasium-robotics' observation [..., 39]."""
        palm, ball, target = self.positions(states)
        parts = palm - ball, palm - target, ball - target
        return np.concatenate([self.proprioception(states), *parts], axis=-1)

    def true_reward(self, states: Floats) -> Floats:
        """Return the dense reward that gymnasium-robotics documents: reach, lift, carry, arrive."""
        palm, ball, target = self.positions(states)
        left = np.linalg.norm(ball - target, axis=-1)
        carried = 1 - 0.5 * np.linalg.norm(palm - target, axis=-1) - 0.5 * left
        reward = -0.1 * np.linalg.norm(palm - ball, axis=-1)
        reward = reward + np.where(ball[..., 2] > 0.04, carried, 0)
        return np.asarray(reward + 10 * (left < 0.1) + 20 * (left < 0.05))

    def is_success(self, states: Floats) -> NDArray[np.bool_]:
        """Return whether the ball is within 10 cm of the target."""
        _, ball, target = self.positions(states)
        return np.asarray(np.linalg.norm(ball - target, axis=-1) < 0.1)

    def pose_errors(self, states: Floats, goal: Floats) -> Mapping[str, Floats]:
        """Return ball_error: the distance to the target, metres [T]."""
        _, ball, target = self.positions(states)
        return {"ball_error": np.linalg.norm(ball - target, axis=-1)}


ENVIRONMENTS: dict[str, type[HandEnv]] = {env.name: env for env in (PenEnv, RelocateEnv)}


def _quaternion(roll: float, pitch: float) -> Floats:
    """Return the turn (w, x, y, z) by pitch about y, then by roll about the fixed x."""
    halves = np.array([roll, pitch]) / 2
    (cx, cy), (sx, sy) = np.cos(halves), np.sin(halves)
    return np.array([cx * cy, sx * cy, cx * sy, sx * sy])
