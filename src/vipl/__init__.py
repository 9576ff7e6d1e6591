"""Value-Implicit Pre-training: image encoders whose embedding distance is a reward."""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from vipl._moved import MovedModules
from vipl._version import __version__

if TYPE_CHECKING:
    from vipl.models import Encoder, load_encoder, save_encoder
    from vipl.rewards import GoalReward

sys.meta_path.append(MovedModules())

# Imported at first use: `import vipl` must not load torch.
_HOMES = {
    "Encoder": "vipl.models",
    "GoalReward": "vipl.rewards",
    "load_encoder": "vipl.models",
    "save_encoder": "vipl.models",
}

__all__ = ["Encoder", "GoalReward", "__version__", "load_encoder", "save_encoder"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'vipl' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
