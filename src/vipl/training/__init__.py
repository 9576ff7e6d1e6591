"""Training: `vipl fit`, the Lightning module, optimisers, schedules, what is watched and saved."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vipl.training.optimizers import ParameterGroups
    from vipl.training.schedules import WarmupCosine

# Imported at first use: composing a configuration needs no torch.
_HOMES = {
    "ParameterGroups": "vipl.training.optimizers",
    "WarmupCosine": "vipl.training.schedules",
}

__all__ = ["ParameterGroups", "WarmupCosine"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'vipl.training' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
