"""Distances and norms of embeddings, which every objective is made of.

Shapes: F frames, G goals, D embedding size.
"""

import torch
from torch import Tensor


def full_precision(embeddings: Tensor) -> Tensor:
    """Return float64 as it is and anything else in float32."""
    return embeddings if embeddings.dtype == torch.float64 else embeddings.float()


def distance(first: Tensor, second: Tensor) -> Tensor:
    """Return the Euclidean distance over the last dimension; its gradient at zero is zero."""
    result: Tensor = torch.linalg.vector_norm(first - second, dim=-1)
    return result


def pairwise_distances(frames: Tensor, goals: Tensor) -> Tensor:
    """Return [..., F, G] distances of [..., F, D] to [..., G, D], exact for near frames."""
    return torch.cdist(frames, goals, compute_mode="donot_use_mm_for_euclid_dist")


def embedding_norms(embeddings: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean L1 and the mean L2 norm of the embeddings of all frames.

    Args:
        embeddings: [..., D], any number of leading dimensions.

    Returns:
        Two scalars. The recipe penalises each with a weight of 0.001; the paper's table calls
        them weight penalties, but they act on embeddings.
    """
    embeddings = full_precision(embeddings)
    l1 = torch.linalg.vector_norm(embeddings, ord=1, dim=-1).mean()
    l2 = torch.linalg.vector_norm(embeddings, ord=2, dim=-1).mean()
    return l1, l2
