"""Whether a picture is a copy of another or of a part of it: smaller, compressed, marked; and not the next picture of a series.

The part is aligned to a fraction of a pixel (Lucas and Kanade 1981, "An iterative image registration technique", with a robust norm);
then it is measured cell by cell how far the content still is displaced. In a copy it is not; in another picture of the same scene
something has always moved: the camera, the light, or who is in it.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from .look import WHOLE, Box

COMPARED = 320
"""Pixels along the longer side that pictures need to have, if they have so many, to be compared."""
PYRAMID, FINEST = (32, 64, 160), 240
"""Pixels along the longer side of the part, from coarse to fine; and for a second look at what seems to be a copy."""
ROUNDS, LONGEST_STEP, SHORTEST_STEP = 6, 0.04, 0.01
"""Steps at each level; the longest in shares of a side, and the shortest in pixels, after which no more are made."""
LEAST_SHARE = 0.2
"""Parts are not smaller than this share of a side."""
CELLS = 8
"""Cells per axis."""
TEXTURED, FEWEST_TEXTURED = 8.0, 8
"""Mean squared gradient of a cell in which one can see whether it is displaced, and the fewest such cells of a picture."""
SAME_PLACE, SAME_CONTENT = 0.2, 0.7
"""Largest displacement in pixels, and least correlation, of a cell that agrees."""
PROMISING, AGREEING = 0.75, 0.93
"""Least share of textured cells that agree: for a second look, and at that."""


@dataclass(frozen=True)
class Aligned:
    """A part of a picture, and the picture that it is to equal: float32, of one shape."""

    box: Box
    expected: np.ndarray
    found: np.ndarray


def is_copy(whole: Image.Image, part: Image.Image, box: Box | None = None) -> bool:
    """Whether `part` is a copy of `whole`, or of what lies about `box` in it; both as `comparable` returns them.

    To be told from others, both need texture: see `is_textured`.
    """
    same_shape = abs(np.log(part.width * whole.height / (part.height * whole.width))) < 0.03
    is_whole = same_shape and _agrees(whole, part, WHOLE, PYRAMID[-1:])
    return is_whole or (box is not None and _agrees(whole, part, box, PYRAMID))


def is_textured(grey: Image.Image) -> bool:
    """Whether a picture has enough texture to be told from others."""
    size = max(CELLS, grey.width // 2), max(CELLS, grey.height // 2)
    levels = np.asarray(grey.resize(size, Image.Resampling.BOX), np.float32)
    down, right = np.gradient(levels)
    energy = _cells(np.asarray(right * right + down * down)).mean(axis=1)
    return int((energy > TEXTURED).sum()) >= FEWEST_TEXTURED


def _agrees(one: Image.Image, other: Image.Image, box: Box, pyramid: tuple[int, ...]) -> bool:
    """Whether the box, once aligned, agrees with the other picture, and still does when one looks closer."""
    aligned = align(one, other, box, pyramid)
    if aligned is None or agreement(aligned) < PROMISING:
        return False
    closer = align(one, other, aligned.box, (FINEST,))
    return closer is not None and agreement(closer) >= AGREEING


def comparable(picture: Image.Image) -> Image.Image:
    """Return a picture as pictures are compared: small and grey."""
    grey = picture.convert("L")
    grey.thumbnail((COMPARED, COMPARED), Image.Resampling.BOX)
    return grey


def align(whole: Image.Image, part: Image.Image, box: Box, pyramid: tuple[int, ...] = PYRAMID) -> Aligned | None:
    """Move and stretch a box of `whole`, and its brightness and contrast, until it equals `part`; None where that leads nowhere.

    Both are grey.
    """
    at, light = np.array(box), np.array([1.0, 0.0])
    aligned = None
    for side in pyramid:
        scale = side / max(part.size)
        size = max(12, round(part.width * scale)), max(12, round(part.height * scale))
        fitted = _fit(_near_scale(whole, at, size), np.asarray(part.resize(size, Image.Resampling.BOX), np.float32), at, light)
        if fitted is None:
            return None
        at, light, aligned = fitted
    return aligned


def _near_scale(whole: Image.Image, box: np.ndarray, size: tuple[int, int]) -> Image.Image:
    """Return a picture made so small that its box has about this size, without aliasing."""
    factor = size[0] / (box[2] * whole.width)
    if factor >= 0.8:
        return whole
    return whole.resize((max(8, round(whole.width * factor)), max(8, round(whole.height * factor))), Image.Resampling.BOX)


def _fit(
    whole: Image.Image, found: np.ndarray, box: np.ndarray, light: np.ndarray
) -> tuple[np.ndarray, np.ndarray, Aligned] | None:
    """Return box and light after ROUNDS steps of Gauss and Newton, each of which made the pictures more alike."""
    height, width = found.shape
    u, v = np.meshgrid((np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height)
    scale, least, best = 0.0, np.inf, (box, light, Aligned(WHOLE, found, found))
    for _ in range(ROUNDS + 1):
        sample = _sampled(whole, box, (width, height))
        expected = light[0] * sample + light[1]
        residual = (found - expected).ravel()
        scale = scale or max(2.0, 2 * float(np.median(np.abs(residual))))
        cost = float(np.log1p((residual / scale) ** 2).sum())  # of Cauchy's norm
        if cost >= least:
            break
        least, best = cost, (box, light, Aligned((*box.tolist(),), expected, found))
        down, right = np.gradient(sample)
        right, down = right * (width / box[2] * light[0]), down * (height / box[3] * light[0])
        slopes = np.stack([right, down, right * u, down * v, sample, np.ones_like(sample)]).reshape(6, -1)
        weighted = slopes / (1 + (residual / scale) ** 2)
        curvature = weighted @ slopes.T
        curvature[np.diag_indices(6)] += 1e-3 * np.diag(curvature) + 1e-2
        step = np.linalg.solve(curvature, weighted @ residual)
        move = step[:4].clip(-LONGEST_STEP, LONGEST_STEP)
        box, light = box + move, light + step[4:]
        if min(box[2], box[3]) < LEAST_SHARE:
            return None
        if np.abs(move).max() * max(width, height) < SHORTEST_STEP:
            break
    return best


def _sampled(whole: Image.Image, box: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return a box of a picture at a size: float32 (height, width)."""
    x, y, width, height = box * (whole.width, whole.height, whole.width, whole.height)
    matrix = (width / size[0], 0.0, x, 0.0, height / size[1], y)
    return np.asarray(whole.transform(size, Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC), np.float32)


def agreement(aligned: Aligned) -> float:
    """Return the share of textured cells whose content lies at the same place in both; 0 where there are too few."""
    one, other = _smooth(aligned.expected), _smooth(aligned.found)
    down, right = np.gradient((one + other) / 2)
    one, other, right, down = map(_cells, (one, other, right, down))
    residual = other - one
    residual = residual - np.median(residual, axis=1, keepdims=True)
    scale = np.maximum(2.0, 2 * np.median(np.abs(residual), axis=1, keepdims=True))
    weights = (1 + (residual / scale) ** 2) ** -2  # what was written over a picture counts little

    def total(values: np.ndarray) -> np.ndarray:
        return np.asarray((weights * values).sum(axis=1))

    damping = 0.5 * one.shape[1]
    xx, yy, xy = total(right * right) + damping, total(down * down) + damping, total(right * down)
    xr, yr = total(right * residual), total(down * residual)
    displacement = np.hypot(yy * xr - xy * yr, xx * yr - xy * xr) / (xx * yy - xy * xy)
    sums = weights.sum(axis=1)
    one, other = (cells - (total(cells) / sums)[:, None] for cells in (one, other))
    correlation = total(one * other) / np.sqrt(total(one * one) * total(other * other) + 1e-3)
    textured = (right * right + down * down).mean(axis=1) > TEXTURED
    agrees = (displacement < SAME_PLACE) & (correlation > SAME_CONTENT)
    return float(agrees[textured].mean()) if textured.sum() >= FEWEST_TEXTURED else 0.0


def _smooth(levels: np.ndarray) -> np.ndarray:
    """Return each pixel averaged with its neighbours by 1 : 2 : 1 along both axes: what is left of it in a smaller copy."""
    padded = np.pad(levels, 1, mode="edge")
    rows = padded[:-2] + 2 * padded[1:-1] + padded[2:]
    return np.asarray((rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]) / 16)


def _cells(levels: np.ndarray) -> np.ndarray:
    """Return an array cut into CELLS × CELLS cells: (cells, pixels of a cell)."""
    height, width = levels.shape[0] // CELLS, levels.shape[1] // CELLS
    cut = levels[: height * CELLS, : width * CELLS].reshape(CELLS, height, CELLS, width)
    return cut.transpose(0, 2, 1, 3).reshape(CELLS * CELLS, height * width)
