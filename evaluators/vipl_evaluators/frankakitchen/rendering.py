"""Software rendering: which OpenGL to use, and pictures of given states.

Shapes: T states, C cameras, S the side of a picture in pixels.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vipl.errors import UserError

if TYPE_CHECKING:
    import mujoco

_TRIAL = """
import mujoco
model = mujoco.MjModel.from_xml_string("<mujoco><worldbody><light/></worldbody></mujoco>")
renderer = mujoco.Renderer(model, 16, 16)
renderer.update_scene(mujoco.MjData(model))
renderer.render()
renderer.close()
"""


def choose_backend() -> str:
    """Return the value of MUJOCO_GL under which this machine renders, tried out in a process.

    The one that is set, if any; on Linux else EGL, then OSMesa. It must be known before mujoco is
    imported.

    Raises:
        UserError: If there is none.
    """
    wanted = os.environ.get("MUJOCO_GL")
    candidates = [wanted] if wanted else ["egl", "osmesa"] if sys.platform == "linux" else ["glfw"]
    complaints = []
    for name in candidates:
        trial = subprocess.run(
            [sys.executable, "-c", _TRIAL],
            env={**os.environ, "MUJOCO_GL": name},
            capture_output=True,
            text=True,
            check=False,
        )
        if trial.returncode == 0:
            return name
        last = trial.stderr.strip().splitlines()[-1:] or [f"exit status {trial.returncode}"]
        complaints.append(f"{name}: {last[0]}")
    raise UserError(
        "no OpenGL to render with: run `make gl`, or `apt-get install libegl1 libgl1 "
        f"libgl1-mesa-dri libosmesa6` ({'; '.join(complaints)})"
    )


class StateRenderer:
    """Renders states of one model; a process holds one.

    Args:
        model: With a frame buffer of at least `size` x `size`.
        size: Side of the pictures, in pixels.
    """

    def __init__(self, model: "mujoco.MjModel", *, size: int) -> None:
        import mujoco

        self._mujoco = mujoco
        self._model = model
        self._data = mujoco.MjData(model)
        self._renderer = mujoco.Renderer(model, size, size)

    def render(
        self, qpos: NDArray[np.float64], cameras: Sequence[str]
    ) -> Iterator[list[NDArray[np.uint8]]]:
        """Yield, state by state, one picture a camera.

        Args:
            qpos: float64 [T, nq].
            cameras: C names.

        Yields:
            C pictures, uint8 [S, S, 3].
        """
        flags = self._mujoco.mjtRndFlag
        for positions in qpos:
            self._data.qpos[:] = positions
            self._mujoco.mj_forward(self._model, self._data)
            pictures = []
            for camera in cameras:
                self._renderer.update_scene(self._data, camera=camera)
                # In software these two cost ten times as much as all the rest.
                self._renderer.scene.flags[flags.mjRND_SHADOW] = 0
                self._renderer.scene.flags[flags.mjRND_REFLECTION] = 0
                pictures.append(self._renderer.render())
            yield pictures

    def close(self) -> None:
        """Free the OpenGL context."""
        self._renderer.close()
