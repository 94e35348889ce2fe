"""Why did this match: the parts of a picture that mean what words say.

The picture is looked at through windows of two sizes, each embedded like a picture of its own; a cell's relevance is that of
the windows it lies in the middle of. It needs nothing from the model but its vectors, so it holds for every tower.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image

from ..spaces.space import Space

GRID = 14
"""Cells of a map along each side."""
WINDOWS = (1 / 2, 1 / 3)
"""Sides of the windows, as shares of the picture's."""
STEPS = 6
"""Places of a window along each side."""
UNSEEN = 2.0
"""Windows that say nothing, beside those that cover a cell: at the edges, where few do, none speaks for a cell alone."""


@dataclass(frozen=True)
class Window:
    """A part of a picture, in shares of its sides."""

    left: float
    top: float
    side: float

    def cut(self, image: Image.Image) -> Image.Image:
        """The part, as a picture of at least one pixel."""
        x, y = self.left * image.width, self.top * image.height
        right, bottom = x + max(1, self.side * image.width), y + max(1, self.side * image.height)
        return image.crop((round(x), round(y), round(right), round(bottom)))

    def weights(self) -> np.ndarray:
        """How much it says about each cell: float32 (GRID, GRID), most in its middle."""
        middles = (np.arange(GRID) + 0.5) / GRID
        across, down = (np.exp(-(((middles - at - self.side / 2) / (self.side / 2)) ** 2)) for at in (self.left, self.top))
        return (down[:, None] * across).astype(np.float32)


@cache
def windows() -> tuple[Window, ...]:
    """All windows, the large ones first."""
    return tuple(
        Window(c * (1 - side) / (STEPS - 1), r * (1 - side) / (STEPS - 1), side)
        for side in WINDOWS
        for r in range(STEPS)
        for c in range(STEPS)
    )


@cache
def shares() -> np.ndarray:
    """What part each window has in a cell: float32 (windows, GRID, GRID), less than 1 over all windows."""
    weights = np.stack([window.weights() for window in windows()])
    return weights / (weights.sum(axis=0) + UNSEEN)


@dataclass(frozen=True)
class Looked:
    """A picture's windows, embedded: any words may then be asked for."""

    z: np.ndarray
    """float32 (windows, dim), unit length."""

    def map(self, z_words: np.ndarray) -> np.ndarray:
        """How much nearer to words the picture's cells are than its farthest window: z (dim,) → float32 (GRID, GRID)."""
        scores = self.z @ z_words
        return np.einsum("wij,w->ij", shares(), scores - scores.min())


def look(space: Space, image: Image.Image) -> Looked:
    """Embed a picture's windows."""
    return Looked(space.image([window.cut(image) for window in windows()]))


def phrase(space: Space, words: str) -> np.ndarray:
    """Directions of a phrase against any other, then of each of its words against the rest of it: float32 (1 + words, dim)."""
    parts = words.split()
    any_other = 0.0 if space.background is None else space.background.mean(axis=0)
    whole = space.text([words]) - any_other
    if len(parts) < 2:
        return np.concatenate([whole, whole]) if parts else whole
    rests = space.text([" ".join(parts[:i] + parts[i + 1 :]) for i in range(len(parts))])
    return np.concatenate([whole, space.text(parts) - rests])
