"""The reward that an encoder and a goal image make.

Source: arXiv 2210.00030, section 3: V(o; g) = -||phi(o) - phi(g)||_2 and
R(o, o'; g) = V(o'; g) - V(o; g).

Shapes: H x W pixels, D embedding size; leading dimensions ... are time and batch.
"""

import torch
from torch import Tensor

from vipl.models.encoder import Encoder


class GoalReward:
    """Value and reward of images with respect to one goal, which is embedded once.

    Args:
        encoder: Any encoder; it is used in evaluation mode.
        goal: uint8 [3, H, W], or [G, 3, H, W] for several images of the goal, whose mean
            embedding is then the goal (the paper's choice for demonstrations). Images and goal
            may differ in size.

    Attributes:
        goal_embedding: float32 [D].

    Raises:
        ValueError: If the goal is not one or more uint8 images.
    """

    def __init__(self, encoder: Encoder, goal: Tensor) -> None:
        self.encoder = encoder
        images = goal if goal.ndim == 4 else goal[None]
        if len(images) == 0:
            raise ValueError("the goal has no image, expected uint8 [3, H, W] or [G, 3, H, W]")
        self.goal_embedding = encoder.embed(images).mean(dim=0)

    def value(self, images: Tensor) -> Tensor:
        """Return V(o; g) of every image.

        Args:
            images: uint8 [..., 3, H, W], any number of leading dimensions.

        Returns:
            float32 [...], at most 0.
        """
        leading = images.shape[:-3]
        embeddings = self.encoder.embed(images.reshape(-1, *images.shape[-3:]))
        distances: Tensor = torch.linalg.vector_norm(embeddings - self.goal_embedding, dim=-1)
        return -distances.reshape(leading)

    def reward(self, images: Tensor) -> Tensor:
        """Return R(o_t, o_{t+1}; g) of every step.

        Args:
            images: uint8 [..., T, 3, H, W], T images in time order.

        Returns:
            float32 [..., T - 1].

        Raises:
            ValueError: If there is no time dimension.
        """
        if images.ndim < 4:
            raise ValueError(f"images are {list(images.shape)}, expected [..., T, 3, H, W]")
        return self.value(images).diff(dim=-1)
