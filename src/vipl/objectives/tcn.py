"""Time-contrastive learning on single views: what is near in time is to be near in embedding.

For an anchor frame o_k, the positive is the next frame o_{k+1}, and negatives are the frames of the
same draw that lie farther from o_k in time, and frames of other clips. With the similarity
S(a, b) = -||phi(a) - phi(b)||_2 the loss is InfoNCE:

    loss = mean(-log(exp(S_positive / t) / (exp(S_positive / t) + sum(exp(S_negative / t)))))

Source: Sermanet et al., "Time-Contrastive Networks", arXiv 1704.06888, which trains single
views too; the InfoNCE form and the similarity are those of R3M's time-contrastive part, arXiv
2203.12601. The VIP paper compares itself with it (arXiv 2210.00030, appendix). It has no goals and
no discount.

Shapes: B clips of a batch, P pairs of a clip, N permutations, D embedding size; F frames of a draw,
A anchors of a draw.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from vipl.errors import UserError
from vipl.objectives.distances import distance, full_precision, pairwise_distances
from vipl.objectives.goal_distances import check_pairs, check_permutations, check_tuple
from vipl.objectives.objective import Objective


class TCN(Objective):
    """Single-view time-contrastive learning, by InfoNCE on negative distances.

    Args:
        num_negatives: How many other clips each clip's anchors are contrasted with.
        temperature: What distances are divided by.
        margin_frames: A frame of the same draw is a negative if it lies more than this farther from
            the anchor than the positive does, which is one frame from it.
    """

    def __init__(
        self, *, num_negatives: int = 3, temperature: float = 1.0, margin_frames: int = 0
    ) -> None:
        super().__init__(num_negatives=num_negatives)
        if not 0 < temperature < math.inf:
            raise UserError(f"temperature is {temperature}, expected more than 0")
        if margin_frames < 0:
            raise UserError(f"margin_frames is {margin_frames}, expected 0 or more")
        self.temperature = temperature
        self.margin_frames = margin_frames

    def terms(
        self, embeddings: Tensor, times: Tensor, permutations: Tensor | None
    ) -> dict[str, Tensor]:
        """Return `contrast`, the InfoNCE loss."""
        draw = _draw(embeddings, times)
        check_permutations(len(embeddings), permutations)
        similarities = draw.similarities(permutations, margin_frames=self.margin_frames)
        return {"contrast": info_nce(*(part / self.temperature for part in similarities))}


def info_nce(positive: Tensor, negatives: Tensor) -> Tensor:
    """Return the mean of -log(exp(positive) / (exp(positive) + sum(exp(negatives)))).

    Args:
        positive: [...], similarities.
        negatives: [..., M]; -inf stands for one that is not there.
    """
    every = torch.cat([positive[..., None], negatives], dim=-1)
    return (torch.logsumexp(every, dim=-1) - positive).mean()


class _Draw(NamedTuple):
    """Attributes: anchors, positives [B, A, D]; frames [B, F, D]; the times of all of them."""

    anchors: Tensor
    positives: Tensor
    frames: Tensor
    anchor_times: Tensor
    positive_times: Tensor
    frame_times: Tensor

    def similarities(
        self, permutations: Tensor | None, *, margin_frames: int
    ) -> tuple[Tensor, Tensor]:
        """Return [B, A] of positives and [B, A, M] of negatives, -inf for what is none."""
        positive = -distance(self.anchors, self.positives)
        reach = (self.positive_times - self.anchor_times).abs() + margin_frames  # [B, A]
        apart = (self.frame_times[:, None, :] - self.anchor_times[:, :, None]).abs()  # [B, A, F]
        own = -pairwise_distances(self.anchors, self.frames)
        negatives = [own.masked_fill(apart <= reach[:, :, None], -torch.inf)]
        clips = torch.arange(len(self.frames), device=self.frames.device)
        for permutation in () if permutations is None else permutations:
            others = -pairwise_distances(self.anchors, self.frames[permutation])
            itself = (permutation == clips)[:, None, None]
            negatives.append(others.masked_fill(itself, -torch.inf))
        return positive, torch.cat(negatives, dim=-1)


def _draw(embeddings: Tensor, times: Tensor) -> _Draw:
    """Return the anchors and frames of a batch of either kind of tuples."""
    dense = embeddings.ndim == 4
    if dense:
        check_pairs(embeddings, times)
    else:
        check_tuple(embeddings)
    embeddings = full_precision(embeddings)
    # The paper's tuples are (start, goal, current, next): the last two are their only pair.
    pairs, pair_times = (
        (embeddings, times) if dense else (embeddings[:, None, 2:], times[:, None, 2:])
    )
    frames, frame_times = (
        (embeddings.flatten(1, 2), times.flatten(1, 2)) if dense else (embeddings, times)
    )
    anchors, positives = pairs.unbind(2)
    anchor_times, positive_times = pair_times.unbind(2)
    return _Draw(anchors, positives, frames, anchor_times, positive_times, frame_times)
