"""The reward of any Gymnasium environment: the change of distance to a goal image."""

from vipl.gym.rendering import FreshRender
from vipl.gym.wrappers import VectorVisualReward, VisualReward

__all__ = ["FreshRender", "VectorVisualReward", "VisualReward"]
