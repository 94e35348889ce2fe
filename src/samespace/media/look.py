"""What a picture looks like in 32 × 32 grey pixels: enough to find the pictures that may show the same, whole or in part.

The low frequencies of a discrete cosine transform are compared, as in perceptual hashes (Zauner 2010, "Implementation and benchmarking
of perceptual image hash functions", §3.2.1), but as real numbers: a product of matrices compares a picture with all others.
"""

from functools import cache

import numpy as np
from PIL import Image

SIDE = 32
"""Pixels per side of a look, whatever the shape of the picture."""
FREQUENCIES = 6
"""Frequencies per axis that a descriptor has."""
CONTRAST = 40.0
"""Grey levels, summed like a frequency, that every descriptor has in common: those of pictures without contrast differ in nothing else."""
SCALES = (1.0, 0.93, 0.86, 0.8, 0.74, 0.68, 0.62, 0.56, 0.5)
"""Shares of a side that a part is looked for at."""
NOISE = 2.0
"""Grey levels that are no likeness."""

Box = tuple[float, float, float, float]
"""Left, top, width and height of a part, as shares of the whole."""
WHOLE: Box = (0.0, 0.0, 1.0, 1.0)


def look_of(picture: Image.Image) -> bytes:
    """Return the look of a picture: uint8 (SIDE, SIDE) as bytes, row by row."""
    if picture.mode not in ("L", "RGB"):
        picture = picture.convert("RGB")
    factor = min(picture.size) // (2 * SIDE)
    small = picture.reduce(factor) if factor > 1 else picture
    return small.resize((SIDE, SIDE), Image.Resampling.BOX).convert("L").tobytes()


def pixels_of(look: bytes) -> np.ndarray:
    """Return a look as an array: uint8 (SIDE, SIDE)."""
    return np.frombuffer(look, np.uint8).reshape(SIDE, SIDE)


def descriptors(looks: np.ndarray, quarter_turns: int = 0) -> np.ndarray:
    """Return what looks are compared by, turned counterclockwise: float32 (n, 36), unit length.

    looks: uint8 (n, SIDE, SIDE). The dot product of two descriptors is 1 for equal pictures, and near it for copies.
    """
    basis = _cosines()
    turned = np.rot90(looks, quarter_turns, axes=(1, 2)).astype(np.float32)
    amplitudes = (basis @ turned @ basis.T).reshape(len(looks), FREQUENCIES**2)
    amplitudes[:, 0] = CONTRAST  # instead of the mean
    return np.asarray(amplitudes / np.linalg.norm(amplitudes, axis=1, keepdims=True))


@cache
def _cosines() -> np.ndarray:
    """Return the basis of a DCT-II: float32 (FREQUENCIES, SIDE)."""
    angles = np.pi * np.arange(FREQUENCIES)[:, None] * (np.arange(SIDE) + 0.5) / SIDE
    return np.asarray(np.sqrt(2 / SIDE) * np.cos(angles), np.float32)


def part_of(whole: np.ndarray, part: np.ndarray, aspect: float) -> tuple[float, Box]:
    """Return how well a look fits into a part of another, at best, and into which: a correlation up to 1.

    Both are uint8 (SIDE, SIDE); `aspect` is width over height of the part, divided by that of the whole.
    """
    wide, high = min(1.0, aspect), min(1.0, 1 / aspect)
    picture, levels = Image.fromarray(part), whole.astype(np.float32)
    sums, squares = _integral(levels), _integral(levels**2)
    best, box = -1.0, WHOLE
    for scale in SCALES:
        width, height = max(6, round(SIDE * scale * wide)), max(6, round(SIDE * scale * high))
        template = np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR), np.float32)
        template = template - template.mean()
        windows = np.lib.stride_tricks.sliding_window_view(levels, (height, width))
        product = np.tensordot(windows, template, axes=2)
        mean = _window_sums(sums, height, width) / template.size
        spread = np.maximum(0, _window_sums(squares, height, width) - template.size * mean**2)
        noise = NOISE * np.sqrt(template.size)
        fit = (product + noise**2) / ((np.sqrt(spread) + noise) * (np.linalg.norm(template) + noise))
        y, x = np.unravel_index(int(fit.argmax()), fit.shape)
        if fit[y, x] > best:
            best, box = float(fit[y, x]), (x / SIDE, y / SIDE, width / SIDE, height / SIDE)
    return best, box


def _integral(levels: np.ndarray) -> np.ndarray:
    return np.pad(levels.astype(np.float64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))


def _window_sums(integral: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return the sum over each window of an array, from its integral."""
    corners = integral[height:, width:] - integral[:-height, width:] - integral[height:, :-width] + integral[:-height, :-width]
    return np.asarray(corners)
