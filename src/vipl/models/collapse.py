"""Whether embeddings still tell images apart: their effective rank and their spread.

An encoder that embeds every image alike, or on a line, has collapsed: its distances are no reward.

Shapes: N images, D embedding size.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vipl.errors import UserError

_ROUNDING = 1e-6  # of the largest number: what differs by less differs by rounding


def effective_rank(embeddings: Tensor) -> float:
    """Return how many dimensions embeddings take up: between 1 and the lesser of N and D.

    It is exp(-sum p_k log p_k), p_k being the k-th singular value of the matrix of embeddings as a
    share of their sum.

    Source: RankMe, arXiv 2210.02885, equation 4, without the constant that it adds to each share.

    Args:
        embeddings: [N, D], finite.

    Returns:
        nan where all of them are 0.
    """
    matrix = embeddings.double()
    if matrix.shape[0] < matrix.shape[1]:
        matrix = matrix.T
    # Of the small square matrix: the values of the large one take ten times as long.
    values = torch.linalg.eigvalsh(matrix.T @ matrix).clamp(min=0).sqrt()
    if not bool(values.sum() > 0):
        return math.nan
    return float(torch.special.entr(values / values.sum()).sum().exp())


def spread(embeddings: Tensor) -> float:
    """Return the standard deviation of embeddings [N, D] over images, averaged over dimensions."""
    return float(embeddings.double().std(dim=0, correction=0).mean())


def relative_spread(embeddings: Tensor) -> float:
    """Return how far embeddings are from their mean, as a share of how large they are; at most 1.

    Args:
        embeddings: [N, D], finite.

    Returns:
        The ratio of two root mean squares; 0 where all embeddings are 0.
    """
    exact = embeddings.double()
    size = float(exact.square().mean().sqrt())
    apart = float((exact - exact.mean(dim=0)).square().mean().sqrt())
    return apart / size if size > 0 else 0.0


@dataclass
class CollapseSettings:
    """When embeddings of held-out frames count as collapsed, and what is done then.

    Attributes:
        min_effective_rank: Fewer dimensions than these are a collapse; 1 is the least there is.
        min_spread: Embeddings that differ by less than this share of their size have collapsed.
        stop: Stop the run at the validation that finds a collapse, before it saves or exports
            anything; else warn.
    """

    min_effective_rank: float = 1.01
    min_spread: float = 0.001
    stop: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.min_effective_rank < math.inf:
            raise UserError(
                f"collapse.min_effective_rank is {self.min_effective_rank}, expected 1 or more"
            )
        if not 0 <= self.min_spread <= 1:
            raise UserError(f"collapse.min_spread is {self.min_spread}, expected 0 to 1")

    def verdict(self, *, rank: float, share: float) -> str | None:
        """Return in words what is wrong with embeddings, None where nothing is.

        Args:
            rank: Their effective rank.
            share: Their relative spread.
        """
        if share <= _ROUNDING:
            return "the embeddings do not differ"
        if share < self.min_spread:
            return (
                f"the embeddings differ by {share:.2g} of their size, expected "
                f"{self.min_spread:g} (collapse.min_spread) or more"
            )
        if rank < self.min_effective_rank:
            return (
                f"the embeddings have an effective rank of {rank:.3f}, expected "
                f"{self.min_effective_rank:g} (collapse.min_effective_rank) or more"
            )
        return None


class Extent:
    """Between which numbers embeddings are that come in batches."""

    def __init__(self) -> None:
        self._count = 0
        self._lowest: Tensor | None = None
        self._highest: Tensor | None = None

    def add(self, embeddings: Tensor) -> None:
        """Count embeddings [N, D]."""
        if not len(embeddings):
            return
        lowest, highest = torch.aminmax(embeddings.detach(), dim=0)
        if self._lowest is not None and self._highest is not None:
            lowest = torch.minimum(lowest, self._lowest)
            highest = torch.maximum(highest, self._highest)
        self._lowest, self._highest = lowest, highest
        self._count += len(embeddings)

    @property
    def is_a_point(self) -> bool:
        """Whether there were several, which differ by rounding errors at most."""
        if self._lowest is None or self._highest is None or self._count < 2:
            return False
        size = torch.maximum(self._lowest.abs(), self._highest.abs()).max()
        return bool((self._highest - self._lowest).max() <= _ROUNDING * size)
