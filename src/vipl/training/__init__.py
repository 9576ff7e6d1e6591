"""Training: `vipl fit`, the Lightning module, optimisers, schedules, what is watched and saved."""

from typing import TYPE_CHECKING

from vipl.lazy import public_names

if TYPE_CHECKING:
    from vipl.training.optimizers import ParameterGroups
    from vipl.training.schedules import WarmupCosine

# Imported at first use: composing a configuration needs no torch.
_HOMES = {
    "ParameterGroups": "vipl.training.optimizers",
    "WarmupCosine": "vipl.training.schedules",
}

__all__ = ["ParameterGroups", "WarmupCosine"]

__getattr__, __dir__ = public_names(__name__, _HOMES)
