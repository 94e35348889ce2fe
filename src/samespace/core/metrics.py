"""Metrics of ranking and calibration, in NumPy alone."""

import numpy as np
from numpy.typing import ArrayLike

from .errors import QueryError


def recall_at_k(scores: np.ndarray, relevant: np.ndarray, k: int) -> float:
    """Return the share of queries with a relevant item among their k best.

    scores: float (Q, N). relevant: bool (Q, N), any number of relevant items in a row; rows without one do not count.
    An irrelevant item that ties with the best relevant one is ranked above it, so that ties raise no recall.
    """
    answerable = relevant.any(axis=1)
    scores, relevant = scores[answerable], relevant[answerable]
    best = np.where(relevant, scores, -np.inf).max(axis=1, keepdims=True)
    above = (~(scores < best) & ~relevant).sum(axis=1)  # not `>=`: a NaN is ranked above too
    return float((above < k).mean())


def auc(scores: ArrayLike, relevant: ArrayLike) -> float:
    """Return the area under the ROC curve: the chance that a relevant hit scores higher than an irrelevant one.

    scores: float (N,). relevant: bool (N,). Ties count half. Hanley and McNeil 1982. Raises QueryError where all hits are
    relevant, or none is.
    """
    s, r = np.asarray(scores, float), np.asarray(relevant, bool)
    if r.all() or not r.any():
        raise QueryError("every best hit is right, or none is; give harder or easier pairs")
    return float((s[r][:, None] > s[~r]).mean() + 0.5 * (s[r][:, None] == s[~r]).mean())


def expected_calibration_error(probabilities: ArrayLike, relevant: ArrayLike, bins: int = 10) -> float:
    """Return the mean gap between predicted probability and observed frequency, over bins of equal width.

    probabilities: float (N,). relevant: bool (N,). Guo et al. 2017, "On Calibration of Modern Neural Networks", eq. 3.
    """
    p, r = np.asarray(probabilities, float), np.asarray(relevant, float)
    bin_of = np.minimum((p * bins).astype(int), bins - 1)
    gaps = [abs(r[bin_of == b].mean() - p[bin_of == b].mean()) * (bin_of == b).mean() for b in np.unique(bin_of)]
    return float(sum(gaps))


def caption_key(caption: str) -> str:
    """Return a caption without outer spaces and in lower case: captions with one key are equal, in training and evaluation."""
    return caption.strip().lower()
