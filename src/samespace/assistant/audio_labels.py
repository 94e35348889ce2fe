"""What a sound is nearest to, in words: assistants here read pictures and text, and the space hears."""

from functools import lru_cache
from pathlib import Path

import numpy as np

from ..spaces.space import Space

NAMES = Path(__file__).with_name("audio_labels.txt")
"""Short names of things that are heard in the training of the starter's audio tower, one a line."""
LIKE = 3
"""How many of them are told."""


def sounds_like(space: Space, z: np.ndarray) -> list[str]:
    """The names that sounds (N, dim) are nearest to, taken together, the nearest first."""
    names, z_names = named(space)
    return [names[i] for i in np.argsort(-(z_names @ z.mean(axis=0)))[:LIKE]]


@lru_cache(1)
def named(space: Space) -> tuple[list[str], np.ndarray]:
    names = NAMES.read_text("utf-8").splitlines()
    return names, space.text(names)
