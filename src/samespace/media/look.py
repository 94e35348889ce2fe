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
NOISE = 0.5
"""Grey levels that are no likeness."""
GLANCE = 16
"""Pixels per side at which it is first looked whether a look may be a part of another."""
SCALES, LEAST_FIT = (1.0, 0.875, 0.75, 0.625), 0.55
"""Shares of a side that a part is looked for at, and the least correlation there of what is looked at more closely."""
FINE, ROUNDS, LONGEST_STEP, LEAST_SHARE = 24, 5, 0.06, 0.3
"""Then: pixels per side, steps, the longest of them and the smallest part as shares of a side."""

ALONG = ((np.arange(FINE) + 0.5) / FINE).astype(np.float32)
"""Centres of the pixels of a part along a side."""

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


def likeness(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the correlation of looks with others, pixel by pixel: float32 (n,). Both are uint8 (n, SIDE, SIDE)."""
    one, other = (levels.reshape(-1, SIDE**2).astype(np.float32) for levels in (one, other))
    one, other = (levels - levels.mean(axis=1, keepdims=True) for levels in (one, other))
    noise = NOISE**2 * SIDE**2
    product = (one * other).sum(axis=1) + noise
    return np.asarray(product / np.sqrt(((one**2).sum(axis=1) + noise) * ((other**2).sum(axis=1) + noise)))


def parts_of(wholes: np.ndarray, parts: np.ndarray, aspects: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how well looks fit into parts of others, at best, and into which: correlations (n,), and boxes (n, 4) as shares.

    Both are uint8 (n, SIDE, SIDE); `aspects` (n,) are width over height of the part, divided by that of the whole.
    """
    best, boxes = np.full(len(wholes), -1, np.float32), np.tile(np.array(WHOLE, np.float32), (len(wholes), 1))
    small = _resized(wholes, GLANCE, GLANCE)
    for scale in SCALES:
        widths = np.maximum(4, np.round(GLANCE * scale * np.minimum(1, aspects))).astype(int)
        heights = np.maximum(4, np.round(GLANCE * scale * np.minimum(1, 1 / aspects))).astype(int)
        for width, height in set(zip(widths.tolist(), heights.tolist())):
            mine = np.flatnonzero((widths == width) & (heights == height))
            fit, x, y = _best_windows(small[mine], _resized(parts[mine], height, width))
            better = fit > best[mine]
            best[mine[better]] = fit[better]
            boxes[mine[better]] = np.stack([x, y, np.full_like(x, width), np.full_like(y, height)], axis=1)[better] / GLANCE
    likely = np.flatnonzero(best >= LEAST_FIT)
    if not len(likely):
        return best, boxes
    best[likely], boxes[likely] = _refined(wholes[likely], parts[likely], boxes[likely])
    return best, boxes


def _best_windows(levels: np.ndarray, templates: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the greatest correlation of each template with a window of its picture, and the window's left and top."""
    windows = np.lib.stride_tricks.sliding_window_view(levels, templates.shape[1:], axis=(1, 2))
    across, pixels = windows.shape[2], templates[0].size
    windows = windows.reshape(len(levels), -1, pixels)
    templates = templates.reshape(len(levels), pixels)
    templates = templates - templates.mean(axis=1, keepdims=True)
    noise = NOISE**2 * pixels
    product = (windows @ templates[:, :, None])[:, :, 0]
    spread = np.einsum("nwp,nwp->nw", windows, windows) - windows.sum(axis=2) ** 2 / pixels
    norms = np.sqrt((np.maximum(0, spread) + noise) * ((templates**2).sum(axis=1, keepdims=True) + noise))
    correlations = (product + noise) / norms
    best = correlations.argmax(axis=1)
    return correlations[np.arange(len(best)), best], best % across, best // across


def _refined(wholes: np.ndarray, parts: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the correlations of boxes with parts, and the boxes, after ROUNDS steps of Gauss and Newton."""
    levels, wanted = wholes.astype(np.float32), _centred(_resized(parts, FINE, FINE))
    norms = np.sqrt((wanted**2).sum(axis=(1, 2))) + NOISE
    best, best_boxes, along = np.full(len(levels), -1.0), boxes.copy(), ALONG
    for _ in range(ROUNDS + 1):
        sample = _centred(_sampled(levels, boxes))
        own_norms = np.sqrt((sample**2).sum(axis=(1, 2))) + NOISE
        correlations = (sample * wanted).sum(axis=(1, 2)) / (own_norms * norms)
        better = correlations > best
        best[better], best_boxes[better] = correlations[better], boxes[better]
        gain = (correlations * norms / own_norms).astype(np.float32)[:, None, None]
        down, right = np.gradient(sample, axis=(1, 2))
        right, down = (g * gain * (FINE / boxes[:, i])[:, None, None] for i, g in ((2, right), (3, down)))
        slopes = np.stack([right, down, right * along, down * along[:, None]], axis=1).reshape(len(levels), 4, -1)
        slopes = slopes - slopes.mean(axis=2, keepdims=True)
        curvature = slopes @ slopes.transpose(0, 2, 1)
        curvature[:, range(4), range(4)] *= 1.001
        curvature[:, range(4), range(4)] += 1
        steps = np.linalg.solve(curvature, slopes @ (wanted - gain * sample).reshape(len(levels), -1, 1))[:, :, 0]
        boxes = boxes + steps.clip(-LONGEST_STEP, LONGEST_STEP)
        boxes[:, 2:] = boxes[:, 2:].clip(LEAST_SHARE, 1.2)
    return best, best_boxes


def _centred(levels: np.ndarray) -> np.ndarray:
    return np.asarray(levels - levels.mean(axis=(1, 2), keepdims=True))


def _sampled(levels: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Return boxes of looks, bilinear: float32 (n, FINE, FINE)."""
    x, y = ((boxes[:, i, None] + boxes[:, i + 2, None] * ALONG) * SIDE - np.float32(0.5) for i in (0, 1))
    x, y = (at.clip(0, SIDE - 1.001) for at in (x, y))
    column, row = x.astype(np.int32), y.astype(np.int32)
    right, down = (x - column)[:, None, :], (y - row)[:, :, None]
    n, row, column = np.arange(len(levels))[:, None, None], row[:, :, None], column[:, None, :]
    above = levels[n, row, column] * (1 - right) + levels[n, row, column + 1] * right
    below = levels[n, row + 1, column] * (1 - right) + levels[n, row + 1, column + 1] * right
    return np.asarray(above * (1 - down) + below * down)


def _resized(looks: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return looks averaged to another size: float32 (n, height, width)."""
    return np.asarray(_averages(height) @ looks.astype(np.float32) @ _averages(width).T)


@cache
def _averages(size: int) -> np.ndarray:
    """Return the weights of SIDE pixels in each of `size`: float32 (size, SIDE)."""
    edges = np.linspace(0, SIDE, size + 1)
    first, last = np.maximum(edges[:-1, None], np.arange(SIDE)), np.minimum(edges[1:, None], np.arange(SIDE) + 1)
    return np.asarray(np.maximum(0, last - first) * size / SIDE, np.float32)
