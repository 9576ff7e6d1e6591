"""Training objectives: pure functions of embeddings, one family a file."""

from vipl.objectives.vip import (
    Negatives,
    VIPTerms,
    dense_terms,
    embedding_norms,
    paper_terms,
    vip_loss,
)

__all__ = [
    "Negatives",
    "VIPTerms",
    "dense_terms",
    "embedding_norms",
    "paper_terms",
    "vip_loss",
]
