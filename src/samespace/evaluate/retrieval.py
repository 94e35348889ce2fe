"""Retrieval measured: recall@k over a matrix of scores, and over pairs of a space both ways."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

AT = (1, 5, 10)


class Encoder(Protocol):
    """What is measured: a Space, or a model that is being trained."""

    def pixels(self, squares: np.ndarray) -> np.ndarray:
        """uint8 (B, S, S, 3) → z: float32 (B, dim), unit length."""
        ...

    def text(self, texts: Sequence[str]) -> np.ndarray:
        """Texts → z: float32 (B, dim), unit length."""
        ...


def recall_at_k(scores: np.ndarray, right: np.ndarray, k: int) -> float:
    """Share of queries with a right answer among the k best.

    scores: float (queries, items). right: bool (queries, items), any number of right answers a row; rows without one
    do not count. A wrong item that ties with the best right one is ranked above it: chance is not credited.
    """
    asked = right.any(axis=1)
    scores, right = scores[asked], right[asked]
    best = np.where(right, scores, -np.inf).max(axis=1, keepdims=True)
    above = (~(scores < best) & ~right).sum(axis=1)  # so that a score that is no number is above too
    return float((above < k).mean())


def retrieval(encoder: Encoder, squares: np.ndarray, captions: Sequence[Sequence[str]]) -> dict[str, float]:
    """Recall@1, 5 and 10, both ways, under CLIP_benchmark's names.

    squares: uint8 (B, S, S, 3). captions: those of each picture; equal ones are one query with several right answers.
    """
    queries, right = answers(captions)
    scores = encoder.text(queries) @ encoder.pixels(squares).T
    found = {f"image_retrieval_recall@{k}": recall_at_k(scores, right, k) for k in AT}
    return found | {f"text_retrieval_recall@{k}": recall_at_k(scores.T, right.T, k) for k in AT}


def folded(caption: str) -> str:
    """What captions have in common that count as equal, in training and when it is measured."""
    return caption.strip().lower()


def answers(captions: Sequence[Sequence[str]]) -> tuple[list[str], np.ndarray]:
    """Each picture's captions → the captions that differ, and which pictures are right for each: bool (Q, B)."""
    queries: dict[str, str] = {}
    for caption in (c for some in captions for c in some):
        queries.setdefault(folded(caption), caption)
    place = {key: i for i, key in enumerate(queries)}
    right = np.zeros((len(queries), len(captions)), dtype=bool)
    for column, some in enumerate(captions):
        right[[place[folded(c)] for c in some], column] = True
    return list(queries.values()), right
