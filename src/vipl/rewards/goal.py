"""The reward that an encoder and a goal image make.

Source: arXiv 2210.00030, section 3: V(o; g) = -||phi(o) - phi(g)||_2 and
R(o, o'; g) = V(o'; g) - V(o; g). LIV (arXiv 2306.00958) takes the cosine for the distance.

Shapes: H x W pixels, D embedding size, G goals; leading dimensions ... are time and batch.
"""

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from vipl.errors import UserError
from vipl.models.encoder import Distance, Encoder
from vipl.models.finite import all_finite
from vipl.names import choose

Mode: TypeAlias = Literal["difference", "value", "normalised"]
Combine: TypeAlias = Literal["mean", "nearest"]


class GoalReward:
    """Value and reward of images with respect to a goal, which is embedded once.

    Args:
        encoder: Any encoder; it is used in evaluation mode.
        goal: uint8 [3, H, W]; or [G, 3, H, W], or a sequence of images that may differ in size,
            for several images of the goal. Images and goal may differ in size.
        distance: "l2"; or "cosine", 1 - cos, so that a value is at most 0 here, too. The encoder's
            own by default.
        combine: What several images of the goal are: "mean", their mean embedding is the goal (the
            paper's choice for demonstrations); or "nearest", any of them is.

    Attributes:
        goal_embeddings: float32 [1, D] or [G, D].

    Raises:
        ValueError: If the goal is not one or more uint8 images, or another word is not known.
    """

    def __init__(
        self,
        encoder: Encoder,
        goal: Tensor | Sequence[Tensor],
        *,
        distance: Distance | None = None,
        combine: Combine = "mean",
    ) -> None:
        parts = list(goal) if isinstance(goal, list | tuple) else [goal]
        tensors = [part for part in parts if isinstance(part, Tensor)]
        batches = [part if part.ndim == 4 else part[None] for part in tensors]
        others = [part for part in parts if not isinstance(part, Tensor)]
        if others:
            raise TypeError(
                f"the goal is of type {type(others[0]).__name__}, expected a tensor: "
                "vipl.rewards.as_images(goal)"
            )
        if not sum(map(len, batches)):
            raise ValueError("the goal has no image, expected uint8 [3, H, W] or [G, 3, H, W]")
        embeddings = torch.cat([encoder.embed(batch) for batch in batches])
        self._set_goal(encoder, embeddings, distance, combine)

    @classmethod
    def of_embeddings(
        cls,
        encoder: Encoder,
        embeddings: Tensor,
        *,
        distance: Distance | None = None,
        combine: Combine = "mean",
    ) -> "GoalReward":
        """Return the reward whose goal's images [G, ...] have been embedded: float32 [G, D]."""
        reward = cls.__new__(cls)
        reward._set_goal(encoder, embeddings, distance, combine)
        return reward

    def _set_goal(
        self, encoder: Encoder, embeddings: Tensor, distance: Distance | None, combine: Combine
    ) -> None:
        choose("distance", [distance or encoder.distance], get_args(Distance))
        choose("way to combine goals", [combine], get_args(Combine))
        self.encoder = encoder
        self.distance: Distance = distance or encoder.distance
        self.goal_embeddings = embeddings if combine == "nearest" else embeddings.mean(0)[None]

    def value(self, images: Tensor) -> Tensor:
        """Return V(o; g) of every image.

        Args:
            images: uint8 [..., 3, H, W], any number of leading dimensions.

        Returns:
            float32 [...], at most 0.

        Raises:
            UserError: If an embedding or a value is not finite.
        """
        leading = images.shape[:-3]
        embeddings = self.encoder.embed(images.reshape(-1, *images.shape[-3:]))
        return self.value_of(embeddings).reshape(leading)

    def value_of(self, embeddings: Tensor) -> Tensor:
        """Return V of embeddings of this encoder, float32 [..., D]: float32 [...].

        Raises:
            UserError: If a value is not finite.
        """
        apart = embeddings[..., None, :], self.goal_embeddings
        if self.distance == "cosine":
            distances = 1 - functional.cosine_similarity(*apart, dim=-1)
        else:
            distances = torch.linalg.vector_norm(apart[0] - apart[1], dim=-1)
        values = -distances.amin(dim=-1)
        if not bool(all_finite([values])):
            raise UserError(
                "values are not finite, expected embeddings of images and goal that are: take an "
                "encoder from before its training went wrong, such as an earlier checkpoint"
            )
        return values

    def reward(self, images: Tensor, *, mode: Mode = "difference") -> Tensor:
        """Return the reward of every step from one image to the next.

        Args:
            images: uint8 [..., T, 3, H, W], T images in time order.
            mode: "difference", R = V(o'; g) - V(o; g); "value", V(o'; g); or "normalised", R over
                the distance of the first image, so that the rewards of a way to the goal sum to 1.

        Returns:
            float32 [..., T - 1].

        Raises:
            ValueError: If there is no time dimension.
        """
        if images.ndim < 4:
            raise ValueError(f"images are {list(images.shape)}, expected [..., T, 3, H, W]")
        values = self.value(images)
        return step_reward(values[..., :-1], values[..., 1:], values[..., :1], mode=mode)


def step_reward(before: Tensor, after: Tensor, first: Tensor, *, mode: Mode) -> Tensor:
    """Return the reward of steps, out of values; see `GoalReward.reward`.

    Args:
        before: V(o; g), float32 [...].
        after: V(o'; g), float32 [...].
        first: V of the first image of the episode, of a shape that goes with them.
        mode: As for `GoalReward.reward`.

    Raises:
        ValueError: On another mode.
    """
    choose("mode", [mode], get_args(Mode))
    if mode == "value":
        return after
    # An episode that begins at its goal has no distance to measure by.
    scale = (-first).clamp(min=1e-6) if mode == "normalised" else 1
    return (after - before) / scale


def as_pictures(shown: Any) -> NDArray[Any]:
    """Return what is given or rendered as one array.

    Raises:
        UserError: If it is nothing, or of several sizes.
    """
    several = shown if isinstance(shown, list | tuple) else []
    sizes = sorted({np.shape(one) for one in several if one is not None})
    if len(sizes) > 1:
        raise UserError(
            f"pictures are of different sizes ({' and '.join(map(str, sizes))}): bring them to "
            "one, uint8 [..., H, W, 3]"
        )
    pictures = np.asarray(None if any(one is None for one in several) else shown)
    if pictures.dtype == object:
        raise UserError(
            "there is nothing where a picture is expected, uint8 [..., H, W, 3]: render() gave "
            "None, or the goal is none"
        )
    return pictures


def as_images(shown: Any) -> Tensor:
    """Return pictures [..., H, W, 3] as an encoder's images [..., 3, H, W].

    Raises:
        UserError: As `as_pictures` does.
    """
    pictures = as_pictures(shown)
    # Copied where their memory is read-only or out of order, which torch does not take.
    return torch.from_numpy(np.require(pictures, requirements=["C", "W"])).movedim(-1, -3)
