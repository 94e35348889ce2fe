"""Turn scores into probabilities that a hit is relevant.

A cosine alone says little: some captions are near every image, and some images are near every caption. So a hit's score is
normalized in two ways: by the hit's scores with *background* captions, and by the query's scores with a *cohort* of the
library's vectors. A logistic regression on both and the score itself gives the probability (Platt 1999). It is fitted once
for each space, on pairs that the space was not trained on. The two normalizations are z-norm and t-norm of speaker
verification, Auckenthaler et al. 2000.
"""

from dataclasses import dataclass

import numpy as np

from ..core.errors import MissingExtra, QueryError
from ..core.metrics import auc, expected_calibration_error

BACKGROUND_FILE = "background.npy"
"""In a space's folder: vectors of the background captions, float16 (C, E)."""
MAX_BACKGROUND = 256
"""Most background captions that a space keeps, C."""
MIN_LIBRARY = 20
"""Size of the smallest library that is fitted, and the fewest images that a calibration is measured on."""
FEATURES = ("score", "score normalized by the background", "score normalized by the cohort", "log of the library's size")


@dataclass(frozen=True)
class Calibration:
    """Logistic regression from scores of a space to probabilities."""

    weights: tuple[float, ...]
    """One for each of FEATURES, then the constant."""
    background: np.ndarray
    """float32 (C, E): vectors of captions about anything."""

    def probability(self, scores: np.ndarray, z_hits: np.ndarray, cohort: np.ndarray, library_size: int) -> np.ndarray:
        """Return the probability that each hit of one query is relevant: float64 (hits,).

        scores: cosines (hits,). z_hits: (hits, E). cohort: cosines of the query with the library's vectors, or a sample of
        them. library_size: how many vectors the library has.
        """
        x = features(scores, z_hits @ self.background.T, cohort, library_size)
        p: np.ndarray = 1 / (1 + np.exp(-(x @ np.array(self.weights[:-1]) + self.weights[-1])))
        return p


def features(scores: np.ndarray, background_scores: np.ndarray, cohort: np.ndarray, library_size: int) -> np.ndarray:
    """Return FEATURES of hits: float (hits, 4).

    scores: cosines (hits,). background_scores: cosines of each hit with the background captions (hits, C). cohort: cosines
    of the query with the library's vectors.
    """
    by_background = (scores - background_scores.mean(axis=1)) / (background_scores.std(axis=1) + 1e-6)
    by_cohort = (scores - cohort.mean()) / (cohort.std() + 1e-3)
    log_size = np.log(max(library_size, MIN_LIBRARY))  # do not extrapolate below the smallest fitted library
    return np.stack([scores, by_background, by_cohort, np.full(len(scores), log_size)], axis=1)


def fit(
    z_image: np.ndarray, z_text: np.ndarray, relevant: np.ndarray, background: np.ndarray, seed: int = 0, rounds: int = 40
) -> Calibration:
    """Fit on pairs that the space was not trained on, and on captions whose images are left out.

    z_image: float32 (N, E). z_text: float32 (Q, E). relevant: bool (Q, N). background: float32 (C, E). Each round draws a
    library of another size, so that one calibration serves small and large ones; half of its queries have no image in it.
    Raises MissingExtra without scikit-learn.
    """
    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError:
        raise MissingExtra("fitting a calibration", "train")
    rng, xs, ys = np.random.default_rng(seed), [], []
    for _ in range(rounds):
        size = int(np.exp(rng.uniform(np.log(MIN_LIBRARY), np.log(0.7 * len(z_image)))))
        library = rng.choice(len(z_image), size, replace=False)
        x, y = _top_hits(z_image[library], z_text, relevant[:, library], background, rng)
        xs.append(x)
        ys.append(y)
    model = LogisticRegression(C=100.0, max_iter=5000).fit(np.concatenate(xs), np.concatenate(ys))
    return Calibration((*map(float, model.coef_[0]), float(model.intercept_[0])), background)


def _top_hits(
    z_image: np.ndarray, z_text: np.ndarray, relevant: np.ndarray, background: np.ndarray, rng: "np.random.Generator"
) -> tuple[np.ndarray, np.ndarray]:
    """Return FEATURES of queries' best hits, and whether each is relevant; half of the queries have no relevant image."""
    with_image = np.flatnonzero(relevant.any(axis=1))
    without_image = np.flatnonzero(~relevant.any(axis=1))
    count = min(len(with_image), len(without_image)) or max(len(with_image), len(without_image))
    queries = np.concatenate([rng.permutation(group)[:count] for group in (with_image, without_image)])
    scores = z_text[queries] @ z_image.T
    best = scores.argmax(axis=1)
    background_scores = z_image @ background.T
    x = [features(row[[i]], background_scores[[i]], row, len(z_image))[0] for row, i in zip(scores, best)]
    return np.array(x), relevant[queries, best]


def measure(
    calibration: Calibration, z_image: np.ndarray, z_text: np.ndarray, relevant: np.ndarray, seed: int = 0
) -> dict[str, float]:
    """Return AUC and expected calibration error of the best hits' probabilities, and the numbers that they rest on.

    z_image: float32 (N, E). z_text: float32 (Q, E). relevant: bool (Q, N). Half of the images are left out, so that their
    captions have no relevant hit. Raises QueryError where there are too few images, or the best hits are all alike.
    """
    if len(z_image) < MIN_LIBRARY:
        raise QueryError(f"{len(z_image)} pictures are too few to judge a calibration by; give {MIN_LIBRARY} or more")
    library = np.random.default_rng(seed).permutation(len(z_image))[len(z_image) // 2 :]
    scores, probabilities = z_text @ z_image[library].T, []
    best = scores.argmax(axis=1)
    for row, i in zip(scores, best):
        probabilities.append(calibration.probability(row[[i]], z_image[library[[i]]], row, len(library))[0])
    correct = relevant[np.arange(len(best)), library[best]]
    return {
        "auc": auc(probabilities, correct), "ece": expected_calibration_error(probabilities, correct),
        "queries": len(z_text), "pictures": len(library), "top_hit_right": float(correct.mean()),
    }  # fmt: skip
