"""Audio described by its nearest labels: the space encodes audio, but assistants read images and text only."""

from functools import lru_cache
from pathlib import Path

import numpy as np

from ..spaces.space import Space

LABELS = Path(__file__).with_name("audio_labels.txt")
"""Short names of sounds that the starter's audio tower was trained on, one a line."""
NEAREST = 3
"""How many labels describe a sound."""


def nearest_labels(space: Space, z: np.ndarray) -> list[str]:
    """Return the labels that sounds (N, dim), taken together, are nearest to, the nearest first."""
    labels, z_labels = _label_vectors(space)
    return [labels[i] for i in np.argsort(-(z_labels @ z.mean(axis=0)))[:NEAREST]]


@lru_cache(1)
def _label_vectors(space: Space) -> tuple[list[str], np.ndarray]:
    """Return the labels and their vectors (labels, dim)."""
    labels = LABELS.read_text("utf-8").splitlines()
    return labels, space.text(labels)
