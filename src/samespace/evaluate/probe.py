"""Linear probing: how well a linear classifier separates classes in a space's vectors."""

from collections.abc import Sequence

import numpy as np

from ..core.errors import MissingExtra, QueryError

FOLDS = 5
"""Folds of the cross-validation; each class needs as many images."""


def linear_probe(z: np.ndarray, labels: Sequence[str]) -> dict[str, float]:
    """Return mean accuracy and its deviation of a logistic regression on z, over stratified folds. Radford et al. 2021, §3.2.

    z: float32 (B, E), unit length. labels: the class of each. Raises QueryError where a class has too few images, and
    MissingExtra without scikit-learn.
    """
    try:
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import StratifiedKFold, cross_val_score
    except ImportError:
        raise MissingExtra("the linear probe", "train")
    classes, counts = np.unique(np.asarray(labels), return_counts=True)
    if len(classes) < 2 or counts.min() < FOLDS:
        raise QueryError(f"a probe needs two classes or more of {FOLDS} pictures or more each; add pictures")
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    scores = cross_val_score(LogisticRegression(C=10.0, max_iter=2000), z, labels, cv=folds)
    return {"acc1": float(scores.mean()), "acc1_std": float(scores.std())}
