"""Heat maps of relevance: which parts of an image match a text.

Windows of two sizes are cut from the image, and each is embedded like an image of its own; a cell's relevance is the weighted
mean over the windows around it. This needs no access to the model's insides, so it works with every image tower.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image

from ..spaces.space import Space

GRID = 14
"""Cells of a heat map along each side."""
WINDOW_SIDES = (1 / 2, 1 / 3)
"""Sides of the windows, as shares of the image's."""
POSITIONS = 6
"""Positions of a window along each side of the image."""
SHRINKAGE = 2.0
"""Added to a cell's sum of weights: shrinks cells that few windows cover, at the edges, towards 0."""


@dataclass(frozen=True)
class Window:
    """A rectangle of an image with the image's proportions, in shares of its sides."""

    left: float
    top: float
    side: float

    def crop(self, image: Image.Image) -> Image.Image:
        """Cut the window from an image, at least one pixel."""
        x, y = self.left * image.width, self.top * image.height
        right, bottom = x + max(1, self.side * image.width), y + max(1, self.side * image.height)
        return image.crop((round(x), round(y), round(right), round(bottom)))

    def weights(self) -> np.ndarray:
        """Return the window's weight in each cell, a Gaussian around its centre: float32 (GRID, GRID)."""
        centres = (np.arange(GRID) + 0.5) / GRID
        across, down = (np.exp(-(((centres - at - self.side / 2) / (self.side / 2)) ** 2)) for at in (self.left, self.top))
        weights: np.ndarray = (down[:, None] * across).astype(np.float32)
        return weights


@cache
def windows() -> tuple[Window, ...]:
    """Return the W windows: the large ones first, row by row."""
    return tuple(
        Window(c * (1 - side) / (POSITIONS - 1), r * (1 - side) / (POSITIONS - 1), side)
        for side in WINDOW_SIDES
        for r in range(POSITIONS)
        for c in range(POSITIONS)
    )


@cache
def _normalized_weights() -> np.ndarray:
    """Return each window's share in each cell: float32 (W, GRID, GRID); a cell's shares add up to less than 1."""
    weights = np.stack([window.weights() for window in windows()])
    shares: np.ndarray = weights / (weights.sum(axis=0) + SHRINKAGE)
    return shares


@dataclass(frozen=True)
class WindowEmbeddings:
    """The vectors of an image's windows, from which heat maps of any text are made."""

    z: np.ndarray
    """float32 (W, E), unit length."""

    def heatmap(self, z_text: np.ndarray) -> np.ndarray:
        """Return how much nearer each cell is to z_text than the farthest window is: (E,) → float32 (GRID, GRID)."""
        scores = self.z @ z_text
        heatmap: np.ndarray = np.einsum("wij,w->ij", _normalized_weights(), scores - scores.min())
        return heatmap


def embed_windows(space: Space, image: Image.Image) -> WindowEmbeddings:
    """Embed the windows of an image."""
    return WindowEmbeddings(space.image([window.crop(image) for window in windows()]))


def phrase_directions(space: Space, phrase: str) -> np.ndarray:
    """Return the direction of a phrase, then those of its words: float32 (1 + words, E), not of unit length.

    The phrase's is its vector less the mean background caption's. A word's is its vector less that of the phrase without it.
    """
    words = phrase.split()
    mean_background = 0.0 if space.background is None else space.background.mean(axis=0)
    whole = space.text([phrase]) - mean_background
    if len(words) < 2:
        return np.concatenate([whole, whole]) if words else whole
    without_word = space.text([" ".join(words[:i] + words[i + 1 :]) for i in range(len(words))])
    return np.concatenate([whole, space.text(words) - without_word])
