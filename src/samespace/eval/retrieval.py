"""Retrieval measured: recall@k over a matrix of scores."""

import numpy as np


def recall_at_k(scores: np.ndarray, right: np.ndarray, k: int) -> float:
    """Share of queries with a right answer among the k best.

    scores: float (queries, items). right: bool (queries, items), any number of right answers a row; rows without one
    do not count. A wrong item that ties with the best right one is ranked above it: chance is not credited.
    """
    asked = right.any(axis=1)
    scores, right = scores[asked], right[asked]
    best = np.where(right, scores, -np.inf).max(axis=1, keepdims=True)
    above = ((scores >= best) & ~right).sum(axis=1)
    return float((above < k).mean())
