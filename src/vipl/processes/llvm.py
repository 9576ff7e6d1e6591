"""Two copies of LLVM in a process: Mesa's, which draws in software, and triton's.

Triton, which torch's compiler and with it torchvision and timm import, must be imported before Mesa
is loaded: the other order ends in a segmentation fault inside triton. Mesa is loaded with the first
OpenGL context, and under MUJOCO_GL=osmesa as early as by `import mujoco`. `import torch` alone does
not import triton.
"""

import os
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

_MAPPED_FILES = Path("/proc/self/maps")  # of Linux; elsewhere nothing draws by Mesa


def keep_apart(*, mesa_next: bool = False) -> None:
    """Import triton while it can be, and keep it out of a process that holds Mesa's LLVM already.

    Without triton, torch does all that it does on a CPU.

    Args:
        mesa_next: Whether Mesa may be loaded next, also without MUJOCO_GL=osmesa.
    """
    if "triton" in sys.modules or find_spec("triton") is None:
        return
    if _MAPPED_FILES.is_file() and "libLLVM" in _MAPPED_FILES.read_text(errors="replace"):
        sys.modules["triton"] = None  # type: ignore[assignment]  # importing it is refused
    elif mesa_next or os.environ.get("MUJOCO_GL") == "osmesa":
        import_module("triton")
