"""How weights are changed: optimisers by groups of parameters, and schedules of their rates."""

from vipl.training.optimizers import ParameterGroups
from vipl.training.schedules import WarmupCosine

__all__ = ["ParameterGroups", "WarmupCosine"]
