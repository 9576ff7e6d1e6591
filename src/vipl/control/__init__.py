"""Control: simulators with full state access, and planning."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from vipl.processes.llvm import keep_apart

if TYPE_CHECKING:
    from vipl.control.environment import ControlEnv
    from vipl.control.mppi import Planner
    from vipl.control.mujoco_env import MujocoEnv

keep_apart()  # before mujoco is imported

# Imported at first use: planning needs no simulator, nor does reading results.
_HOMES = {
    "ControlEnv": "vipl.control.environment",
    "MujocoEnv": "vipl.control.mujoco_env",
    "Planner": "vipl.control.mppi",
}

__all__ = ["ControlEnv", "MujocoEnv", "Planner"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'vipl.control' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
