"""A batch of pairs, trained for a few steps."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..core.errors import RequestError
from ..explain.contrast import Vectors, contrastive_steps

MIN_PAIRS, MAX_PAIRS = 2, 32


@dataclass(frozen=True)
class TrainedPairs:
    """A batch after training."""

    images: Vectors
    """(B, E), unit length."""
    texts: Vectors
    """(B, E), unit length."""
    losses: list[float]
    """The loss before each step."""


def train_pairs(images: Vectors, texts: Vectors, temperature: float) -> TrainedPairs:
    """Train images and their captions, (B, E) each, to be nearer to each other than to the rest. Raises RequestError."""
    if not is_batch(images, texts):
        raise RequestError(
            f"give between {MIN_PAIRS} and {MAX_PAIRS} pictures, as many texts, and vectors of one length"
        )  # fmt: skip
    return TrainedPairs(*contrastive_steps(images, texts, temperature))


def is_batch(images: Sequence[Sequence[float]], texts: Sequence[Sequence[float]]) -> bool:
    """Whether these are pairs of vectors of one length."""
    lengths = {len(z) for z in (*images, *texts)}
    return MIN_PAIRS <= len(images) == len(texts) <= MAX_PAIRS and len(lengths) == 1
