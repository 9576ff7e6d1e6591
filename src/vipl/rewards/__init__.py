"""Rewards: the distance to a goal, its curves over videos, and the labels of data sets."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vipl.rewards.goal import GoalReward, as_images, step_reward

# Imported at first use: curves need no torch.
_PUBLIC = ("GoalReward", "as_images", "step_reward")

__all__ = ["GoalReward", "as_images", "step_reward"]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'vipl.rewards' has no attribute {name!r}")
    return getattr(import_module("vipl.rewards.goal"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
