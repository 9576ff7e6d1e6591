"""Pictures of a MuJoCo model's states, drawn here or by several processes.

A software renderer keeps one core busy, and threads of one process hardly help it: another process
does.

Shapes: N states, S state size, P pixels a side.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import connection
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from vipl.control.environment import Floats
from vipl.control.opengl import choose_backend, make_context
from vipl.processes.children import Pipe, how_it_ended, start_fresh

Images = NDArray[np.uint8]

_ENDING_S = 1.0  # between the end of a process's pipe and its own


@dataclass(frozen=True)
class Scene:
    """What a picture depends on, beside state and camera.

    Attributes:
        model: To draw.
        bits: What a state is made of, of `mujoco.mjtState`.
        size: P.
        shadows: Whether shadows and reflections are drawn.
    """

    model: mujoco.MjModel
    bits: int
    size: int
    shadows: bool


class Renderer:
    """An OpenGL context with one model's meshes in it.

    Args:
        scene: To draw.

    Raises:
        UserError: If there is no OpenGL to render with.
    """

    def __init__(self, scene: Scene) -> None:
        model, size = scene.model, scene.size
        self._scene = scene
        self._data = mujoco.MjData(model)
        self._context = make_context(size=size)
        self._resources = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._resources)
        self._drawn = mujoco.MjvScene(model, maxgeom=model.ngeom + 100)
        for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION):
            self._drawn.flags[flag] = scene.shadows
        self._option = mujoco.MjvOption()
        self._camera = mujoco.MjvCamera()
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self._viewport = mujoco.MjrRect(0, 0, size, size)
        self.close = weakref.finalize(self, _free, self._resources, self._context)
        # At the interpreter's exit too, while OpenGL still answers: mujoco's end of it has been
        # registered by now, and what is registered last is called first. weakref's may come later.
        self.close.atexit = False
        atexit.register(self.close)

    def render(self, states: Floats, camera: str) -> Images:
        """Return pictures, uint8 [N, P, P, 3], of states [N, S]."""
        size = self._scene.size
        pictures = np.empty((len(states), size, size, 3), dtype=np.uint8)
        for picture, state in zip(pictures, states, strict=True):
            self._draw(state, camera, picture)
        return pictures

    def _draw(self, state: Floats, camera: str, picture: Images) -> None:
        model, data = self._scene.model, self._data
        mujoco.mj_setState(model, data, state, self._scene.bits)
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mj_camlight(model, data)
        self._camera.fixedcamid = model.camera(camera).id
        mujoco.mjv_updateScene(
            model, data, self._option, None, self._camera,
            mujoco.mjtCatBit.mjCAT_ALL, self._drawn,
        )  # fmt: skip
        self._context.make_current()
        mujoco.mjr_render(self._viewport, self._drawn, self._resources)
        mujoco.mjr_readPixels(picture, None, self._viewport, self._resources)
        picture[:] = picture[::-1].copy()  # OpenGL counts rows from below


class RendererProcesses:
    """This process and others, which draw a share each.

    Args:
        scene: To draw.
        own: Draws this process's share.
        number: Of processes, this one included: 2 or more.
    """

    def __init__(self, scene: Scene, own: Renderer, *, number: int) -> None:
        choose_backend()  # once for all
        self._scene = scene
        self._own = own
        self._others = [_start(scene) for _ in range(number - 1)]
        self.close = weakref.finalize(self, _stop, self._others)

    def render(self, states: Floats, camera: str) -> Images:
        """Return pictures, uint8 [N, P, P, 3], of states [N, S].

        Raises:
            RuntimeError: If a process died, with how; the next call has others.
            UserError: If the main script does its work where processes import it.
        """
        first, *shares = np.array_split(states, len(self._others) + 1)
        try:
            for (_, pipe), share in zip(self._others, shares, strict=True):
                pipe.send((share, camera))
            parts = [self._own.render(first, camera)]
            parts += [pipe.recv() for _, pipe in self._others]
        except (EOFError, OSError) as error:
            raise RuntimeError(f"a process that renders died ({self._restart()})") from error
        return np.concatenate(parts)

    def _restart(self) -> str:
        """Start other processes; return how those that died did."""
        connection.wait([process.sentinel for process, _ in self._others], timeout=_ENDING_S)
        codes = [process.exitcode for process, _ in self._others]
        _stop(self._others)
        ends = {how_it_ended(code) for code in codes if code is not None}
        self._others[:] = [_start(self._scene) for _ in codes]
        return "; ".join(sorted(ends)) or "it closed its pipe"


def _start(scene: Scene) -> tuple[Any, Pipe]:
    process, pipe = start_fresh(_serve, name="vipl-renderer", daemon=True)
    with contextlib.suppress(OSError):  # it is dead, which the first answer shows
        pipe.send(scene)
    return process, pipe


def _stop(others: Sequence[tuple[Any, Pipe]]) -> None:
    for process, pipe in others:
        process.kill()
        process.join()
        pipe.close()


def _serve(pipe: Pipe) -> None:
    """Draw what comes through a pipe, until it is closed, as when the other process dies."""
    try:
        renderer = Renderer(pipe.recv())
        while True:
            states, camera = pipe.recv()
            pipe.send(renderer.render(states, camera))
    except (EOFError, OSError):
        os._exit(0)


def _free(resources: mujoco.MjrContext, context: Any) -> None:
    context.make_current()  # else the current one loses what it holds under the same numbers
    resources.free()
    context.free()
