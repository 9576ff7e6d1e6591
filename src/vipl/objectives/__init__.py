"""Training objectives, one a file: pure functions of the embeddings of a batch."""

from vipl.objectives.distances import embedding_norms
from vipl.objectives.goal_distances import GoalDistances, goal_distances
from vipl.objectives.lstd import LSTD, squared_bellman_error
from vipl.objectives.objective import Objective
from vipl.objectives.tcn import TCN, info_nce
from vipl.objectives.vip import VIP, Negatives, VIPTerms, dense_terms, paper_terms, vip_loss

__all__ = [
    "LSTD",
    "TCN",
    "VIP",
    "GoalDistances",
    "Negatives",
    "Objective",
    "VIPTerms",
    "dense_terms",
    "embedding_norms",
    "goal_distances",
    "info_nce",
    "paper_terms",
    "squared_bellman_error",
    "vip_loss",
]
