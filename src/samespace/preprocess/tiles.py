"""A large image → the whole, scaled down, and tiles of it, so that small print stays readable.

After Liu et al. 2024, "LLaVA-NeXT" (AnyRes): the grid of tiles is chosen to fit the image's proportions.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from ..core.assistant_config import Tiling
from ..core.config import Prep
from ..media.image import opaque
from .pixels import count_of, resized, square

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


class Views(NamedTuple):
    """An image as an assistant's tower takes it."""

    pixels: npt.NDArray[np.uint8]
    """(V, S, S, 3): the whole and its tiles, row by row. Of an image in its own shape its patches, (1, N, 3·patch² + 8)."""
    tiling: Tiling


def views(image: Image.Image, p: Prep, max_tiles: int, min_ratio: float) -> Views:
    """Return the whole image, then its tiles; the whole alone where it needs none."""
    columns, rows = grid(*image.size, p.size, max_tiles, min_ratio)
    whole = square(image, p)
    if columns * rows == 1:
        return Views(whole[None], Tiling(0, 0, *image.size))
    large = resized(opaque(image, p.fill), (columns * p.size, rows * p.size), p)
    return Views(np.concatenate([whole[None], cut(large, p.size)]), Tiling(columns, rows, *image.size))


def cut(image: Image.Image, size: int) -> npt.NDArray[np.uint8]:
    """Cut an image of whole tiles into them, row by row: uint8 (rows · columns, S, S, 3)."""
    pixels = np.asarray(image)
    rows, columns = pixels.shape[0] // size, pixels.shape[1] // size
    return pixels.reshape(rows, size, columns, size, 3).swapaxes(1, 2).reshape(-1, size, size, 3)


def fitted(image: Image.Image, p: Prep, sizes: Sequence[tuple[int, int]]) -> Views:
    """Return the whole image, squashed, then the tiles of the image fitted into the best of some sizes (height, width), on black.

    LLaVA-NeXT's: the size that keeps the most pixels, and of those the smallest.
    """
    image = opaque(image, p.fill)
    width, height = image.size
    room_height, room_width = min(sizes, key=lambda size: _loss(width, height, *size))
    across, down = room_width / width, room_height / height
    if across < down:
        inner = room_width, min(math.ceil(height * across), room_height)
    else:
        inner = min(math.ceil(width * down), room_width), room_height
    canvas = Image.new("RGB", (room_width, room_height))
    canvas.paste(resized(image, inner, p), ((room_width - inner[0]) // 2, (room_height - inner[1]) // 2))
    whole = np.asarray(resized(image, (p.size, p.size), p))
    tiling = Tiling(room_width // p.size, room_height // p.size, width, height)
    return Views(np.concatenate([whole[None], cut(canvas, p.size)]), tiling)


def on_square(image: Image.Image, p: Prep) -> Views:
    """Return the image on a square of the mean colour, resized; no tiles. LLaVA-OneVision's, of several pictures."""
    image = opaque(image, p.fill)
    side = max(image.size)
    canvas = Image.new("RGB", (side, side), tuple(int(mean * 255) for mean in p.mean))
    canvas.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return Views(np.asarray(resized(canvas, (p.size, p.size), p))[None], Tiling(0, 0, *image.size))


def _loss(width: int, height: int, room_height: int, room_width: int) -> tuple[int, int]:
    """Return minus the pixels that an image keeps in a size, at most its own, and the size's pixels without any."""
    scale = min(room_width / width, room_height / height)
    kept = min(int(width * scale) * int(height * scale), width * height)
    return -kept, room_width * room_height - kept


def split(image: Image.Image, p: Prep, longest: int, frame: int = 0) -> Views:
    """Return the tiles of the image, resized to `longest` and then to whole tiles, and last the whole, squashed.

    SmolVLM's. The whole alone where it is no larger than a tile, or `longest` is 0: then resized to `frame` before it is squashed, if that
    is not 0.
    """
    image, original = opaque(image, p.fill), image.size
    if frame and not longest:
        image = resized(image, _even_size(*image.size, frame), p)
    if longest:
        image = resized(image, _even_size(*image.size, longest), p)
        image = resized(image, _whole_tiles(*image.size, p.size), p)
    whole = np.asarray(resized(image, (p.size, p.size), p))[None]
    if (image.width <= p.size and image.height <= p.size) or not longest:
        return Views(whole, Tiling(0, 0, *original))
    tiling = Tiling(image.width // p.size, image.height // p.size, *original)
    return Views(np.concatenate([cut(image, p.size), whole]), tiling)


def _even_size(width: int, height: int, longest: int) -> tuple[int, int]:
    """Return the size whose longer side is `longest` and whose shorter one is even."""
    ratio = width / height
    if width >= height:
        shorter = int(longest / ratio)
        return longest, max(1, shorter + shorter % 2)
    shorter = int(longest * ratio)
    return max(1, shorter + shorter % 2), longest


def _whole_tiles(width: int, height: int, size: int) -> tuple[int, int]:
    """Return the size enlarged to whole tiles, the longer side first."""
    ratio = width / height
    if width >= height:
        width = math.ceil(width / size) * size
        return width, math.ceil(int(width / ratio) / size) * size
    height = math.ceil(height / size) * size
    return math.ceil(int(height * ratio) / size) * size, height


def whole(image: Image.Image, p: Prep) -> Views:
    """Return the patches of the image alone, in about its own shape and size: Qwen3-VL's. Raises UnreadableMedia on a strip."""
    prepared = square(image, p)
    return Views(prepared[None, : count_of(prepared)], Tiling(0, 0, *image.size))
