"""Request augmenters: each adds to a conversation what the model could not tell from image tokens alone."""

from collections.abc import Mapping
from typing import Protocol

from ..models.llava import ImageFeatures
from .request import Message

Features = Mapping[str, ImageFeatures]
"""By an image's digest: its tokens (N, D), patches (P, D) and crop embeddings (1 + G², E)."""


class Augmenter(Protocol):
    """Adds text to a conversation before the model reads it."""

    def augment(self, messages: tuple[Message, ...], features: Features) -> tuple[Message, ...]:
        """Return the conversation with text added. Raises UnreadableMedia."""
        ...


def augmented(messages: tuple[Message, ...], features: Features, augmenters: list[Augmenter]) -> tuple[Message, ...]:
    """Apply augmenters in order."""
    for augmenter in augmenters:
        messages = augmenter.augment(messages, features)
    return messages
