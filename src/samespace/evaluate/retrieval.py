"""Image-text retrieval of a space, in both directions."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from ..core.metrics import caption_key, recall_at_k

KS = (1, 5, 10)
"""Each k that recall is reported at."""


class Encoder(Protocol):
    """What can be evaluated: a Space, or a model in training."""

    def pixels(self, squares: np.ndarray) -> np.ndarray:
        """uint8 (B, S, S, 3) → z: float32 (B, E), unit length."""
        ...

    def text(self, texts: Sequence[str]) -> np.ndarray:
        """Texts → z: float32 (B, E), unit length."""
        ...


def retrieval(encoder: Encoder, z_images: np.ndarray, captions: Sequence[Sequence[str]]) -> dict[str, float]:
    """Return recall@1, 5 and 10 in both directions, under CLIP_benchmark's names.

    z_images: float32 (B, E), unit length, the encoder's own. captions: those of each image; equal captions are one query
    with several relevant images.
    """
    queries, relevant = queries_of(captions)
    scores = encoder.text(queries) @ z_images.T
    recalls = {f"image_retrieval_recall@{k}": recall_at_k(scores, relevant, k) for k in KS}
    return recalls | {f"text_retrieval_recall@{k}": recall_at_k(scores.T, relevant.T, k) for k in KS}


def queries_of(captions: Sequence[Sequence[str]]) -> tuple[list[str], np.ndarray]:
    """Return the Q distinct captions of B images, and which images are relevant to each: bool (Q, B)."""
    queries: dict[str, str] = {}
    for caption in (caption for of_image in captions for caption in of_image):
        queries.setdefault(caption_key(caption), caption)
    row_of = {key: row for row, key in enumerate(queries)}
    relevant = np.zeros((len(queries), len(captions)), dtype=bool)
    for column, of_image in enumerate(captions):
        relevant[[row_of[caption_key(caption)] for caption in of_image], column] = True
    return list(queries.values()), relevant
