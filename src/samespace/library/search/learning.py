"""A direction of the space that some examples have in common, and what others do not; and how likely a vector is one of them.

Linear discriminant analysis with the library as the other class: its covariance, shrunk towards a multiple of the identity, is known
without labels, so that few examples suffice (Hariharan et al. 2012, "Discriminative decorrelation for clustering and classification";
shrinkage: Ledoit & Wolf 2004). Words that name the examples count as far as the examples fit them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

SHRINKAGE = 3.0
"""Weight of the identity, in mean variances. This and what follows was chosen on Open Clip Art; see recipes/concepts/fit.py."""
COUNTER = 0.2
"""Share of counter-examples in the mean that examples are told apart from."""
LEAST, SINGLE = 0.5, 1.5
"""Weight of examples at least, and of a single one, which cannot be left out to see how well the others find it."""
SLOPE, CONSTANT = 0.61, -4.72
"""Scores → log odds (Platt 1999)."""
LOWER = 0.1587
"""Share of a normal distribution that is more than a deviation below its median."""


class Background:
    """What a library's vectors are like."""

    def __init__(self, sample: np.ndarray):
        """sample: float (N, E), N ≥ 1."""
        self.sample = sample.astype(np.float32)
        self.mean = self.sample.mean(axis=0)
        centred = self.sample - self.mean
        covariance = centred.T @ centred / len(sample)
        variance = max(float(np.trace(covariance)) / len(covariance), 1e-6)
        self._inverse = np.linalg.inv(covariance + SHRINKAGE * variance * np.eye(len(covariance), dtype=np.float32))

    def direction(self, examples: np.ndarray, others: np.ndarray) -> "Direction":
        """Return what tells examples (n, E) from the rest, and from others (m, E), m ≥ 0."""
        rest = self.mean if not len(others) else (1 - COUNTER) * self.mean + COUNTER * others.mean(axis=0)
        return self.scaled(self._inverse @ (examples.mean(axis=0) - rest))

    def scaled(self, w: np.ndarray) -> "Direction":
        """Return a direction (E,) whose scores have median 0 and deviation 1, as far as the lower half of the sample tells.

        What is sought is in the upper half, where it cannot change them.
        """
        scores = self.sample @ w
        median, lower = np.quantile(scores, [0.5, LOWER])
        deviation = max(float(median - lower), 1e-6)
        return Direction(w / deviation, float(median) / deviation)


@dataclass(frozen=True)
class Direction:
    """A linear score: how many deviations a vector is above the median of a library."""

    w: np.ndarray
    """float32 (E,)."""
    offset: float
    labels: Mapping[str, bool] = field(default_factory=dict)
    """Ids of segments of which it was said that they are it, or are not."""

    def scores(self, z: np.ndarray) -> np.ndarray:
        """Return the scores of vectors (n, E): float32 (n,)."""
        scores: np.ndarray = z @ self.w - np.float32(self.offset)
        return scores

    def probability(self, ids: Sequence[str], z: np.ndarray) -> np.ndarray:
        """Return the probability that each segment, with its vector (n, E), is what was learnt: float32 (n,); certain where that was said."""
        p: np.ndarray = 1 / (1 + np.exp(-(SLOPE * self.scores(z) + CONSTANT)))
        return np.array([self.labels.get(id, likely) for id, likely in zip(ids, p)], np.float32)

    def least_cosine(self, probability: float) -> float:
        """Return the cosine of `unit` with a vector from which on it has at least a probability between 0 and 1."""
        score = (np.log(probability / (1 - probability)) - CONSTANT) / SLOPE
        return float((score + self.offset) / np.linalg.norm(self.w))

    @property
    def unit(self) -> np.ndarray:
        """The direction, of length 1: float32 (E,)."""
        return unit(self.w)


@dataclass(frozen=True)
class LearntQuery:
    """A query whose meaning was learnt, from named examples in its words, or from what is said of its hits."""

    directions: tuple[Direction, ...]
    """Of the names, or of the hits."""
    modality: str
    """Of the segments that they were learnt from."""
    rest: np.ndarray | None
    """z of the other words: float32 (E,); None where there are none, or they say nothing."""
    z: np.ndarray
    """All of it as one query: float32 (E,), unit length."""


def learn(examples: np.ndarray, others: np.ndarray, background: Background, words: np.ndarray | None) -> Direction:
    """Return the direction of examples (n, E), n ≥ 1, and not of others (m, E), m ≥ 0. words: z of their name, or of a query (E,).

    Examples and words are weighted by how far the examples stand out by each: by the others of them, and by the words.
    """
    found = background.direction(examples, others)
    weight = max(LEAST, _left_out(examples, others, background)) if len(examples) > 1 else SINGLE
    if words is None:
        return background.scaled(found.w)
    by_words = background.scaled(words)
    weight_of_words = max(0.0, float(by_words.scores(examples).mean()))
    return background.scaled(weight * found.w + weight_of_words * by_words.w)


def away_from(others: np.ndarray, background: Background, words: np.ndarray) -> Direction:
    """Return the direction of words (E,), and not of counter-examples (m, E), m ≥ 1."""
    against = background.direction(others, others[:0])
    return background.scaled(background.scaled(words).w - COUNTER * against.w)


def unit(w: np.ndarray) -> np.ndarray:
    """Return a vector (E,) at length 1: float32."""
    return np.asarray(w / np.linalg.norm(w), np.float32)


def _left_out(examples: np.ndarray, others: np.ndarray, background: Background) -> float:
    """Return the mean score of examples, each by what is learnt from the others."""
    scores = [background.direction(np.delete(examples, i, axis=0), others).scores(examples[[i]])[0] for i in range(len(examples))]
    return float(np.mean(scores))
