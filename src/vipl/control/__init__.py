"""Control: simulators with full state access, and planning."""

from typing import TYPE_CHECKING

from vipl.lazy import public_names
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

__getattr__, __dir__ = public_names(__name__, _HOMES)
