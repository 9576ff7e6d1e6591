"""Which OpenGL this machine renders with, and contexts of it: see also `vipl.processes.llvm`."""

import importlib
import os
import subprocess
import sys
from typing import Any

from vipl.errors import UserError
from vipl.processes.children import how_it_ended
from vipl.processes.llvm import keep_apart

_TRIAL = """
import sys
from importlib import import_module
context = import_module(f"mujoco.{sys.argv[1]}").GLContext(16, 16)
context.make_current()
import mujoco
model = mujoco.MjModel.from_xml_string("<mujoco/>")
mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
"""

_KNOWN = ("egl", "osmesa", "glfw")
# What `import mujoco` takes besides: what is on by default, and what is off.
_NEUTRAL = ("", "enable", "enabled", "on", "true", "1", "disable", "disabled", "off", "false", "0")
_drawn_by: list[int] = []  # this process, or one that it was forked from
_FOUND = "VIPL_GL"  # what a trial here or in a parent found to work


def choose_backend() -> str:
    """Return "egl", "osmesa" or "glfw": the first under which a small process could render.

    MUJOCO_GL decides where it is set; the choice is written there and to VIPL_GL, so that processes
    started from here on do not try again.

    Raises:
        UserError: If there is none.
    """
    wanted = os.environ.get("MUJOCO_GL")
    if wanted and wanted not in _KNOWN:
        raise UserError(f"MUJOCO_GL is {wanted!r}, expected one of {', '.join(_KNOWN)}")
    candidates = [wanted] if wanted else ["egl", "osmesa"] if sys.platform == "linux" else ["glfw"]
    complaints = []
    for name in candidates:
        trial = subprocess.run(
            [sys.executable, "-c", _TRIAL, name],
            env={**os.environ, "MUJOCO_GL": name},
            capture_output=True,
            text=True,
            check=False,
        )
        if trial.returncode == 0:
            os.environ["MUJOCO_GL"] = os.environ[_FOUND] = name
            return name
        last = trial.stderr.strip().splitlines()[-1:] or [how_it_ended(trial.returncode)]
        complaints.append(f"{name}: {last[0]}")
    unset = f"MUJOCO_GL is {wanted!r}: unset it, or " if wanted else ""
    raise UserError(
        f"no OpenGL to render with: {unset}run `make gl`, or `apt-get install libegl1 libgl1 "
        f"libgl1-mesa-dri libosmesa6` ({'; '.join(complaints)})"
    )


def check_setting() -> None:
    """Refuse a MUJOCO_GL with which `import mujoco` itself would fail.

    Raises:
        UserError: If it names what this machine does not draw with.
    """
    wanted = os.environ.get("MUJOCO_GL", "").strip().lower()
    if wanted in ("egl", "osmesa"):
        _backend()
    elif wanted not in (*_KNOWN, *_NEUTRAL):
        raise UserError(f"MUJOCO_GL is {wanted!r}, expected one of {', '.join(_KNOWN)}")


def make_context(*, size: int) -> Any:
    """Make an OpenGL context that draws off screen, and make it current.

    Args:
        size: Side of the pictures, in pixels.

    Returns:
        One of mujoco's `GLContext` objects; `free()` ends it.

    Raises:
        UserError: If there is no OpenGL, or the process was forked from one that had drawn: OpenGL
            would wait there for ever.
    """
    if _drawn_by and os.getpid() not in _drawn_by:
        raise UserError(
            "this process was forked from one that had drawn, which OpenGL does not survive: draw "
            'first afterwards, or start it afresh, as by vector_kwargs={"context": "spawn"} of '
            "gymnasium.make_vec"
        )
    _drawn_by.append(os.getpid())
    keep_apart(mesa_next=True)
    context = importlib.import_module(f"mujoco.{_backend()}").GLContext(size, size)
    context.make_current()
    return context


def _backend() -> str:
    found = os.environ.get(_FOUND)
    return found if found and found == os.environ.get("MUJOCO_GL") else choose_backend()
