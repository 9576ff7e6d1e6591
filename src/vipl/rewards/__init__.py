"""Rewards: the distance to a goal, its curves over videos, and the labels of data sets."""

from typing import TYPE_CHECKING

from vipl.lazy import public_names

if TYPE_CHECKING:
    from vipl.rewards.goal import GoalReward, as_images, step_reward

# Imported at first use: curves need no torch.
_HOMES = dict.fromkeys(("GoalReward", "as_images", "step_reward"), "vipl.rewards.goal")

__all__ = ["GoalReward", "as_images", "step_reward"]

__getattr__, __dir__ = public_names(__name__, _HOMES)
