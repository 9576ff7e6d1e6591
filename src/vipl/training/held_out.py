"""What a validation measures on held-out clips."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vipl.models.collapse import effective_rank, relative_spread, spread
from vipl.rewards.curves import curve_metrics, mean_of_known

FIGURES = (
    "val/loss",
    "val/bumps",
    "val/value_order_correlation",
    "val/normalised_distance",
    "val/start_distance",
    "val/effective_rank",
    "val/embedding_spread",
    "val/relative_spread",
)
"""What a validation logs."""


class HeldOutResult(NamedTuple):
    """What a process knows of one held-out clip after a validation step.

    Attributes:
        clip_id: Of the clip.
        distances: [T], to the last frame; nan where embeddings are not finite.
        embeddings: float32 [T, D].
        drawn: float32 [1, 4, D] or [1, P, 2, D], embeddings of a frame tuple.
        times: int64 [1, 4] or [1, P, 2], its frame numbers.
    """

    clip_id: str
    distances: NDArray[np.floating]
    embeddings: Tensor
    drawn: Tensor
    times: Tensor


def held_out_figures(results: Sequence[HeldOutResult], loss: Tensor) -> dict[str, float]:
    """Return what a validation logs: means over all held-out clips; the names are `FIGURES`.

    Args:
        results: Of all processes, at least one.
        loss: [], over all clips at once.
    """
    metrics = [curve_metrics(result.distances) for result in results]
    frames = torch.cat([result.embeddings for result in results])
    logged = {
        "val/loss": loss,
        "val/bumps": mean_of_known([metric.bumps for metric in metrics]),
        "val/value_order_correlation": mean_of_known(
            [metric.value_order_correlation for metric in metrics]
        ),
        "val/normalised_distance": mean_of_known(
            [metric.normalised_distance for metric in metrics]
        ),
        "val/start_distance": np.mean([result.distances[0] for result in results]),
        "val/effective_rank": effective_rank(frames),
        "val/embedding_spread": spread(frames),
        "val/relative_spread": relative_spread(frames),
    }
    return {name: float(value) for name, value in logged.items()}
