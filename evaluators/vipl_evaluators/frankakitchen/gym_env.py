"""The twelve tasks as Gymnasium environments; `vipl_evaluators.gym` registers them."""

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from vipl.control.environment import Floats
from vipl.control.opengl import check_setting
from vipl.errors import UserError
from vipl.names import choose
from vipl_evaluators.frankakitchen.demonstrations import FPS_HZ, load_index
from vipl_evaluators.frankakitchen.tasks import TASKS

try:
    from vipl_evaluators.frankakitchen.environment import ROBOT_JOINTS, KitchenEnv
    from vipl_evaluators.frankakitchen.scene import CAMERAS
except AttributeError:  # mujoco's, where no library is behind MUJOCO_GL
    check_setting()
    raise

_OPTIONS = ("state", "start")


class KitchenGymEnv(gymnasium.Env[Floats, Floats]):
    """One FrankaKitchen task for reinforcement and imitation learning.

    Actions: float64 [9] in [-1, 1], the joints' velocities, for 0.08 s: 1 aims a joint at where it
    is plus 0.16 rad (fingers: m). It lags behind, and covers about half. Numbers beyond are
    clipped.

    Observations: float64 [20]: [0:9] the robot's joint positions (seven in rad, the two fingers in
    m), [9:18] their velocities (rad/s, m/s), [18] the position and [19] the velocity of the joint
    that the task is about (rad, rad/s; the sliding door m, m/s).

    Reward: `KitchenEnv.true_reward` of the ground-truth state after the action.

    Episodes end by truncation after `vipl_evaluators.gym.MAX_EPISODE_STEPS` actions. The paper
    judges success in the last state, so by default nothing terminates them before.

    Info, after `reset` too: `success` (bool), `object_error` (the joint's distance to its goal as
    a share of its range), `hand_to_handle` (m) and `state`, the full physics state, float64 [S],
    which `reset(options={"state": state})` goes back to.

    Args:
        task: Name, such as "sdoor_open".
        render_mode: "rgb_array", or None without pictures.
        camera: That `render` shows: "default", "left_cam" or "right_cam".
        image_size: Side of the pictures, in pixels.
        terminate_on_success: Whether an episode terminates once the task is solved.

    Raises:
        UserError: On an unknown name or a wrong size.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": FPS_HZ}  # noqa: RUF012 - Gymnasium's

    def __init__(
        self,
        task: str,
        *,
        render_mode: str | None = None,
        camera: str = "default",
        image_size: int = 224,
        terminate_on_success: bool = False,
    ) -> None:
        choose("task", [task], TASKS)
        choose("camera", [camera], CAMERAS)
        if render_mode is not None:
            choose("render_mode", [render_mode], self.metadata["render_modes"])
        if image_size < 1:
            raise UserError(f"image_size is {image_size}, expected 1 pixel or more")
        self.render_mode = render_mode
        self.kitchen = KitchenEnv(TASKS[task], image_size=image_size)
        self._camera = camera
        self._terminate_on_success = terminate_on_success
        self._joint_velocity = int(self.kitchen.model.joint(TASKS[task].joint).dofadr[0])
        self._state = self.kitchen.start_state()
        size = 2 * ROBOT_JOINTS + 2
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (size,), np.float64)
        self.action_space = gymnasium.spaces.Box(-1, 1, (self.kitchen.action_size,), np.float64)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Floats, dict[str, Any]]:
        """Begin an episode: by default in the usual start, which is the same every time.

        Args:
            seed: Of the generator that draws among demonstrations.
            options: One of
                `state`: a full physics state, float64 [S], to begin in;
                `start`: "recovery" to begin where one of the task's recovery demonstrations does,
                the arm elsewhere and the object untouched, drawn anew at every reset; or one
                demonstration's name, such as "sdoor_open/recovery_00".

        Returns:
            The observation and the info.

        Raises:
            UserError: On other options, or where they fit nothing.
        """
        super().reset(seed=seed)
        self._state = self._first_state(options or {})
        return self._observation(), self._info()

    def step(self, action: Floats) -> tuple[Floats, float, bool, bool, dict[str, Any]]:
        """Hold an action for 0.08 s.

        Args:
            action: Float64 [9] in [-1, 1].

        Returns:
            Observation, reward, terminated, truncated (always False: `gymnasium.make` adds the
            limit), info.

        Raises:
            ValueError: If the action is not nine finite numbers.
        """
        action = np.asarray(action, dtype=np.float64)
        if action.shape != self.action_space.shape or not np.isfinite(action).all():
            raise ValueError(
                f"action is {action}, expected {self.kitchen.action_size} finite numbers"
            )
        self._state = self.kitchen.rollout(self._state, action[None, None])[0, 0]
        info = self._info()
        reward = float(self.kitchen.true_reward(self._state))
        terminated = self._terminate_on_success and info["success"]
        return self._observation(), reward, terminated, False, info

    def render(self) -> NDArray[np.uint8] | None:
        """Return the picture, uint8 [P, P, 3]; None without a render mode.

        Raises:
            UserError: If there is no OpenGL.
        """
        if self.render_mode is None:
            gymnasium.logger.warn('no render_mode: gymnasium.make(..., render_mode="rgb_array")')
            return None
        return np.asarray(self.kitchen.render(self._state[None], self._camera)[0])

    def close(self) -> None:
        """Free the simulation's threads and pictures."""
        self.kitchen.close()

    def _first_state(self, options: Mapping[str, Any]) -> Floats:
        choose("reset option", list(options), _OPTIONS)
        if len(options) > 1:
            raise UserError("reset has the options 'state' and 'start', expected one of them")
        if "state" in options:
            state = np.array(options["state"], dtype=np.float64)
            if state.shape != self._state.shape or not np.isfinite(state).all():
                raise UserError(
                    f"options['state'] has the shape {state.shape}, expected "
                    f"{len(self._state)} finite numbers, such as info['state']"
                )
            return state
        if "start" in options:
            return self._demonstrated_start(options["start"])
        return self.kitchen.start_state()

    def _demonstrated_start(self, start: str) -> Floats:
        of_task = [demo for demo in load_index() if demo.task_name == self.kitchen.task.name]
        demos = {demo.name: demo for demo in of_task}
        recoveries = [demo.name for demo in of_task if demo.kind == "recovery"]
        choose("start", [start], [*demos, "recovery"] if recoveries else demos)
        if start == "recovery":
            start = recoveries[self.np_random.integers(len(recoveries))]
        arrays = demos[start].arrays
        return self.kitchen.state(arrays["qpos"][0], arrays["qvel"][0])

    def _observation(self) -> Floats:
        kitchen = self.kitchen
        qpos, qvel = kitchen.qpos(self._state), kitchen.qvel(self._state)
        joint = [qpos[kitchen.task.qpos_index], qvel[self._joint_velocity]]
        return np.concatenate([qpos[:ROBOT_JOINTS], qvel[:ROBOT_JOINTS], joint])

    def _info(self) -> dict[str, Any]:
        kitchen = self.kitchen
        return {
            "success": bool(kitchen.is_success(self._state)),
            "object_error": float(kitchen.object_error(self._state)),
            "hand_to_handle": float(kitchen.hand_to_handle(self._state)),
            "state": self._state.copy(),
        }
