"""What any MuJoCo suite needs: full physics states, batched rollouts, and pictures of states.

Shapes: S size of the full physics state, A actions, N sampled plans, H steps, P pixels a side.
"""

from collections.abc import Callable
from functools import cached_property
from typing import Any, ClassVar

import mujoco
import numpy as np
from mujoco.rollout import Rollout
from numpy.typing import NDArray

from vipl.control.environment import ControlEnv, Floats
from vipl.control.meshes import check_grid, thin_meshes
from vipl.control.renderer import Renderer, RendererProcesses, Scene
from vipl.names import choose

_MIN_SHARE = 4  # pictures, for which a process is worth asking
_PHYSICS = mujoco.mjtState.mjSTATE_FULLPHYSICS.value
_CONTROLS = mujoco.mjtState.mjSTATE_CTRL.value
# What plugins and, since mujoco 4.0, plastic parts remember; no model here has any.
_BEHIND_INPUTS = _PHYSICS & -_CONTROLS
_MOCAP = mujoco.mjtState.mjSTATE_MOCAP_POS.value | mujoco.mjtState.mjSTATE_MOCAP_QUAT.value


class MujocoEnv(ControlEnv):
    """A MuJoCo model whose state is its full physics state (time, qpos, qvel, activations).

    Args:
        spec: The model; its frame buffer and anti-aliasing are set here. Models ship with large
            frame buffers, all of which a software renderer fills for every picture.
        steps_per_action: Simulation steps for which one action's controls are held.
        image_size: P, in pixels.
        offsamples: Samples a pixel against jagged edges; 0 is the fastest.
        shadows: Whether shadows and reflections are drawn; in software they cost ten times as
            much as all the rest.
        threads: That roll out plans, and processes that render; more change the speed, neither
            states nor pictures.
        mesh_grid_m: Draw large meshes with their vertices merged in a grid of this width, in
            metres, which is faster; None draws them as they are. Physics is the same.

    Attributes:
        inputs_in_state: Whether a state ends with the controls and the poses of mocap bodies that
            were held while it came about. Needed where a robot is moved by a mocap body, whose
            next pose depends on its last, and where things that a task puts in different places
            are mocap bodies.
    """

    inputs_in_state: ClassVar[bool] = False

    def __init__(
        self,
        spec: mujoco.MjSpec,
        *,
        steps_per_action: int,
        image_size: int = 224,
        offsamples: int = 0,
        shadows: bool = False,
        threads: int = 1,
        mesh_grid_m: float | None = None,
    ) -> None:
        check_grid(mesh_grid_m)
        spec.visual.global_.offwidth = spec.visual.global_.offheight = image_size
        spec.visual.quality.offsamples = offsamples
        self.model = spec.compile()
        self.data = mujoco.MjData(self.model)
        self.steps_per_action = steps_per_action
        self.image_size = image_size
        self.fps_hz = 1 / (steps_per_action * self.model.opt.timestep)
        self.action_size = self.model.nu
        self._inputs = _CONTROLS | _MOCAP if self.inputs_in_state else _CONTROLS
        self._bits = _PHYSICS | self._inputs if self.inputs_in_state else _PHYSICS
        assert not (self.inputs_in_state and mujoco.mj_stateSize(self.model, _BEHIND_INPUTS))
        self._physics_size = mujoco.mj_stateSize(self.model, _PHYSICS)
        self.state_size = mujoco.mj_stateSize(self.model, self._bits)
        self._shadows = shadows
        self._threads = threads
        self._mesh_grid_m = mesh_grid_m
        self._workers = [mujoco.MjData(self.model) for _ in range(max(threads, 1))]
        self._rollout = Rollout(nthread=threads if threads > 1 else 0)

    def controls(self, states: Floats, actions: Floats) -> Floats:
        """Return the actuators' controls for actions: by default, [-1, 1] spans their ranges.

        Args:
            states: [N, S], when the action begins.
            actions: [N, A], within [-1, 1].

        Returns:
            [N, nu].
        """
        low, high = self.model.actuator_ctrlrange.T
        return np.asarray(low + (actions + 1) / 2 * (high - low))

    def mocap(self, states: Floats, actions: Floats) -> Floats:
        """Return the mocap bodies' poses during actions: by default, they stay where they are.

        It is asked for where `inputs_in_state` is true.

        Args:
            states: [N, S], when the action begins.
            actions: [N, A], within [-1, 1].

        Returns:
            [N, 7 M]: the positions of all M bodies, then their quaternions.
        """
        return states[:, self._physics_size + self.model.nu :]

    def start_state(self) -> Floats:
        """Return the state [S] in which the task begins: by default the model's own."""
        return self.state()

    def state(self, qpos: Floats | None = None, qvel: Floats | None = None) -> Floats:
        """Return the full state [S] with these positions and velocities, else the model's own."""
        mujoco.mj_resetData(self.model, self.data)
        if qpos is not None:
            self.data.qpos[:] = qpos
        if qvel is not None:
            self.data.qvel[:] = qvel
        return self.get_state(self.data)

    def get_state(self, data: mujoco.MjData) -> Floats:
        """Return the full state [S] of simulation data."""
        state = np.empty(self.state_size)
        mujoco.mj_getState(self.model, data, state, self._bits)
        return state

    def set_state(self, data: mujoco.MjData, state: Floats) -> None:
        """Set the full state [S] of simulation data, and what follows from it."""
        mujoco.mj_setState(self.model, data, state, self._bits)
        mujoco.mj_forward(self.model, data)

    def qpos(self, states: Floats) -> Floats:
        """Return the positions [..., nq] in states [..., S]."""
        return states[..., 1 : 1 + self.model.nq]

    def qvel(self, states: Floats) -> Floats:
        """Return the velocities [..., nv] in states [..., S]."""
        return states[..., 1 + self.model.nq : 1 + self.model.nq + self.model.nv]

    def rollout(self, state: Floats, actions: Floats) -> Floats:
        """Return the states [N, H, S] after each action of N sequences [N, H, A] from [S].

        A sequence's states depend on nothing else: not on the others, nor on threads.

        Raises:
            ValueError: If the shapes do not fit.
        """
        if actions.ndim != 3 or actions.shape[2] != self.action_size:
            raise ValueError(f"actions are {actions.shape}, expected [N, H, {self.action_size}]")
        number, horizon, _ = actions.shape
        states = np.empty((number, horizon, self.state_size))
        current = np.tile(np.asarray(state, dtype=np.float64), (number, 1))
        for step in range(horizon):
            states[:, step] = current = self.step(current, actions[:, step])
        return states

    def step(self, states: Floats, actions: Floats) -> Floats:
        """Return the states [N, S] after one action [N, A] each; threads share them out."""
        actions = np.clip(actions, -1, 1)
        inputs = self.controls(states, actions)
        if self.inputs_in_state:
            inputs = np.concatenate([inputs, self.mocap(states, actions)], axis=1)
        every_step, _ = self._rollout.rollout(
            self.model,
            self._workers,
            states[:, : self._physics_size],
            np.repeat(inputs[:, None], self.steps_per_action, axis=1),
            control_spec=self._inputs,
        )
        if self.inputs_in_state:
            return np.concatenate([every_step[:, -1], inputs], axis=1)
        return np.ascontiguousarray(every_step[:, -1])

    def observe(self, states: Floats) -> Floats:
        """Return positions and velocities [..., nq + nv], without the time."""
        return np.concatenate([self.qpos(states), self.qvel(states)], axis=-1)

    def site_positions(self, states: Floats, site: str) -> Floats:
        """Return a site's position in the world, float64 [..., 3], in states [..., S]."""
        index = self.model.site(site).id
        return self.measure(states, lambda data: data.site_xpos[index])

    def measure(self, states: Floats, read: Callable[[mujoco.MjData], Any]) -> Floats:
        """Return what a function reads off each of states [..., S]: float64 [..., K].

        Args:
            states: To set, one after another.
            read: Gets simulation data in which the poses of bodies, geoms and sites are right;
                returns K numbers.
        """
        values = []
        for state in states.reshape(-1, self.state_size):
            mujoco.mj_setState(self.model, self.data, state, self._bits)
            mujoco.mj_kinematics(self.model, self.data)
            values.append(np.array(read(self.data), dtype=np.float64))
        return np.array(values).reshape(*states.shape[:-1], -1)

    def render(self, states: Floats, camera: str) -> NDArray[np.uint8]:
        """Return pictures, uint8 [N, P, P, 3], of states [N, S].

        Raises:
            UserError: If the model has no such camera, or there is no OpenGL to render with.
        """
        choose("camera", [camera], self._cameras)
        shared = self._threads > 1 and len(states) >= _MIN_SHARE * self._threads
        return (self._renderers if shared else self._renderer).render(states, camera)

    @cached_property
    def _cameras(self) -> list[str]:
        return [self.model.camera(number).name for number in range(self.model.ncam)]

    @cached_property
    def _renderer(self) -> Renderer:
        return Renderer(self._scene)

    @cached_property
    def _renderers(self) -> RendererProcesses:
        return RendererProcesses(self._scene, self._renderer, number=self._threads)

    @property
    def _scene(self) -> Scene:
        return Scene(self._drawn_model, self._bits, self.image_size, self._shadows)

    @cached_property
    def _drawn_model(self) -> mujoco.MjModel:
        if self._mesh_grid_m is None:
            return self.model
        return thin_meshes(self.model, self._mesh_grid_m)

    def close(self) -> None:
        """Free the OpenGL context, the threads and the processes."""
        self._rollout.close()
        for name in ("_renderers", "_renderer"):
            if name in self.__dict__:
                self.__dict__.pop(name).close()
