"""From a score to a probability that a hit is what was meant.

A cosine alone says little: some captions fit everything a little, some pictures are near every caption. So a hit's score
is held against two crowds. Against *background captions* (does this picture like these words better than other words?),
and against the *library* (do these words like this picture better than other pictures?). A logistic regression over both
and the score, fitted once for a space on pairs that it was not trained on, gives the probability. Platt 1999; after the
background (cohort) normalisation of speaker verification, Auckenthaler et al. 2000, "z-norm" and "t-norm".
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..core.errors import MissingExtra, QueryError

FILE = "background.npy"
"""In a space's folder: the background captions' vectors, fp16."""
BACKGROUND = 256
"""Background captions that are kept."""
LEAST = 20
"""Pictures, below which a measurement says nothing; the smallest library that weights are fitted on."""
FEATURES = ("score", "against captions", "against pictures", "log pictures")


@dataclass(frozen=True)
class Calibration:
    """What turns scores of a space into probabilities."""

    weights: tuple[float, ...]
    """One for each of FEATURES, then the constant."""
    background: np.ndarray
    """float32 (C, dim): vectors of captions about anything."""

    def probability(self, scores: np.ndarray, z_hits: np.ndarray, crowd: np.ndarray, rows: int) -> np.ndarray:
        """Hits of one query → the probability that each is relevant, float64 (hits,).

        scores: (hits,), cosines. z_hits: (hits, dim). crowd: cosines of the query with (a sample of) the library's
        pictures. rows: how many pictures the library has.
        """
        x = features(scores, z_hits @ self.background.T, crowd, rows)
        return 1 / (1 + np.exp(-(x @ np.array(self.weights[:-1]) + self.weights[-1])))


def features(scores: np.ndarray, against: np.ndarray, crowd: np.ndarray, rows: int) -> np.ndarray:
    """FEATURES of hits: (hits, 4). against: cosines of each hit with the background captions, (hits, C)."""
    captions = (scores - against.mean(axis=1)) / (against.std(axis=1) + 1e-6)
    pictures = (scores - crowd.mean()) / (crowd.std() + 1e-3)
    size = np.log(max(rows, LEAST))  # no library that the weights were fitted on is smaller, and theirs is no line to go on along
    return np.stack([scores, captions, pictures, np.full(len(scores), size)], axis=1)


def fit(
    z_image: np.ndarray, z_text: np.ndarray, right: np.ndarray, background: np.ndarray, seed: int = 0, rounds: int = 40
) -> Calibration:
    """Fit on pairs that the space was not trained on, and on captions whose pictures are taken away.

    z_image (N, dim), z_text (Q, dim), right: bool (Q, N). Each round draws a library of another size, so that one
    calibration serves small and large ones; half of the captions asked of it have no picture in it.
    """
    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError:
        raise MissingExtra("fitting a calibration", "train")
    rng, rows, labels = np.random.default_rng(seed), [], []
    for _ in range(rounds):
        size = int(np.exp(rng.uniform(np.log(LEAST), np.log(0.7 * len(z_image)))))
        library = rng.choice(len(z_image), size, replace=False)
        x, y = top_hits(z_image[library], z_text, right[:, library], background, rng)
        rows.append(x)
        labels.append(y)
    model = LogisticRegression(C=100.0, max_iter=5000).fit(np.concatenate(rows), np.concatenate(labels))
    return Calibration((*map(float, model.coef_[0]), float(model.intercept_[0])), background)


def top_hits(
    z_image: np.ndarray, z_text: np.ndarray, right: np.ndarray, background: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """FEATURES of each caption's best hit, and whether it is right; as many captions without a picture as with one."""
    has = np.flatnonzero(right.any(axis=1))
    lacks = np.flatnonzero(~right.any(axis=1))
    count = min(len(has), len(lacks)) or max(len(has), len(lacks))
    asked = np.concatenate([rng.permutation(some)[:count] for some in (has, lacks)])
    scores = z_text[asked] @ z_image.T
    best = scores.argmax(axis=1)
    against = z_image @ background.T
    x = [features(row[[i]], against[[i]], row, len(z_image))[0] for row, i in zip(scores, best)]
    return np.array(x), right[asked, best]


def measure(
    calibration: Calibration, z_image: np.ndarray, z_text: np.ndarray, right: np.ndarray, seed: int = 0
) -> dict[str, float]:
    """Does the probability of the best hit tell whether it is right? Half of the pictures are taken away first.

    z_image (N, dim), z_text (Q, dim), right: bool (Q, N). → AUC, ECE, and the numbers they rest on. Raises QueryError.
    """
    if len(z_image) < LEAST:
        raise QueryError(f"{len(z_image)} pictures are too few to judge a calibration by; give {LEAST} or more")
    library = np.random.default_rng(seed).permutation(len(z_image))[len(z_image) // 2 :]
    scores, told = z_text @ z_image[library].T, []
    best = scores.argmax(axis=1)
    for row, i in zip(scores, best):
        told.append(calibration.probability(row[[i]], z_image[library[[i]]], row, len(library))[0])
    found = right[np.arange(len(best)), library[best]]
    return {
        "auc": auc(told, found), "ece": expected_calibration_error(told, found),
        "queries": len(z_text), "pictures": len(library), "top_hit_right": float(found.mean()),
    }  # fmt: skip


def auc(probability: Sequence[float], right: Sequence[bool]) -> float:
    """Chance that a right hit has a higher probability than a wrong one; ties count half. Hanley & McNeil 1982."""
    p, r = np.asarray(probability, float), np.asarray(right, bool)
    if r.all() or not r.any():
        raise QueryError("every best hit is right, or none is; give harder or easier pairs")
    return float((p[r][:, None] > p[~r]).mean() + 0.5 * (p[r][:, None] == p[~r]).mean())


def expected_calibration_error(probability: Sequence[float], right: Sequence[bool], bins: int = 10) -> float:
    """Mean gap between what was promised and what came true, over bins of equal width. Guo et al. 2017, eq. 3."""
    p, r = np.asarray(probability, float), np.asarray(right, float)
    bin_of = np.minimum((p * bins).astype(int), bins - 1)
    gaps = [abs(r[bin_of == b].mean() - p[bin_of == b].mean()) * (bin_of == b).mean() for b in np.unique(bin_of)]
    return float(sum(gaps))
