"""A large picture becomes a small whole and tiles of it, so that small print survives.

After Liu et al. 2024, "LLaVA-NeXT" (AnyRes): the grid of tiles is chosen to fit the picture's proportions.
"""

import math

import numpy as np
from PIL import Image

from ..core.config import Prep
from ..media.image import opaque
from .pixels import resized, square

DETAIL = 0.25
"""What a tile more is worth against distorted proportions, in the units of a logarithm."""


def grid(width: int, height: int, size: int, most: int, start: float) -> tuple[int, int]:
    """Columns and rows for a picture of these sides; (1, 1) where neither side reaches `start` · `size`."""
    if max(width, height) < start * size:
        return 1, 1
    columns, rows = (min(most, math.ceil(side / size)) for side in (width, height))
    fits = [(c, r) for c in range(1, columns + 1) for r in range(1, rows + 1) if c * r <= most]
    return min(fits, key=lambda g: abs(math.log(width * g[1] / (height * g[0]))) - DETAIL * math.log(g[0] * g[1]))


def views(image: Image.Image, p: Prep, most: int, start: float) -> np.ndarray:
    """The whole, then its tiles row by row: uint8 (1 + tiles, S, S, 3); the whole alone where it needs no tiles."""
    columns, rows = grid(*image.size, p.size, most, start)
    whole = square(image, p)
    if columns * rows == 1:
        return whole[None]
    large = np.asarray(resized(opaque(image, p.fill), (columns * p.size, rows * p.size), p))
    tiles = large.reshape(rows, p.size, columns, p.size, 3).swapaxes(1, 2).reshape(-1, p.size, p.size, 3)
    return np.concatenate([whole[None], tiles])
