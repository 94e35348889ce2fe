"""A large image → the whole, scaled down, and tiles of it, so that small print stays readable.

After Liu et al. 2024, "LLaVA-NeXT" (AnyRes): the grid of tiles is chosen to fit the image's proportions.
"""

import math

import numpy as np
import numpy.typing as npt
from PIL import Image

from ..core.config import Prep
from ..media.image import opaque
from .pixels import resized, square

TILE_WEIGHT = 0.25
"""Weight of the logarithm of the number of tiles against the logarithm of the distortion of the proportions."""


def grid(width: int, height: int, size: int, max_tiles: int, min_ratio: float) -> tuple[int, int]:
    """Return the columns and rows of tiles, `size` pixels per side, for an image of this width and height.

    (1, 1) where neither side reaches `min_ratio` · `size`.
    """
    if max(width, height) < min_ratio * size:
        return 1, 1
    columns, rows = (min(max_tiles, math.ceil(side / size)) for side in (width, height))
    grids = [(c, r) for c in range(1, columns + 1) for r in range(1, rows + 1) if c * r <= max_tiles]
    return min(grids, key=lambda g: abs(math.log(width * g[1] / (height * g[0]))) - TILE_WEIGHT * math.log(g[0] * g[1]))


def views(image: Image.Image, p: Prep, max_tiles: int, min_ratio: float) -> npt.NDArray[np.uint8]:
    """Return the whole image, then its tiles row by row: uint8 (1 + tiles, S, S, 3); (1, S, S, 3) where it needs no tiles."""
    columns, rows = grid(*image.size, p.size, max_tiles, min_ratio)
    whole = square(image, p)
    if columns * rows == 1:
        return whole[None]
    large = np.asarray(resized(opaque(image, p.fill), (columns * p.size, rows * p.size), p))
    tiles = large.reshape(rows, p.size, columns, p.size, 3).swapaxes(1, 2).reshape(-1, p.size, p.size, 3)
    return np.concatenate([whole[None], tiles])
