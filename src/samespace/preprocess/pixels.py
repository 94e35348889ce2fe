"""Images → arrays of pixels, the input of an image tower: squares, or the patches of a picture of any shape."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from ..core.config import Prep
from ..core.errors import UnreadableMedia
from ..media.image import opaque

MAX_ASPECT_RATIO = 32
"""Longer images are cropped before they are resized: the ends would be cut off anyway, and a resized 1 × 100,000 strip would
fill the memory."""
LONGEST_STRIP = 200
"""Times that a picture may be longer than wide where it keeps its own shape."""
RESAMPLE = {filter.name.lower(): filter for filter in Image.Resampling}
"""Prep.interpolation → Pillow's filter."""


def square(image: Image.Image, p: Prep) -> npt.NDArray[np.uint8]:
    """Return an image as uint8 (S, S, 3), resized as the space's towers were trained; S is p.size.

    Where p.resize is `patches` or `native`: uint8 (N, 3·patch² + 8), see patches. Raises UnreadableMedia on a strip there.
    """
    if p.patches:
        return patches(opaque(image, p.fill), p)
    return np.asarray(RESIZE[p.resize](opaque(image, p.fill), p))


def _shortest(image: Image.Image, p: Prep) -> Image.Image:
    """Resize the shorter side to S, then crop the centre. As torchvision's Resize and CenterCrop."""
    w, h = image.size
    if max(w, h) > MAX_ASPECT_RATIO * min(w, h):
        image = _center_crop(image, min(w, MAX_ASPECT_RATIO * h), min(h, MAX_ASPECT_RATIO * w))
        w, h = image.size
    side = p.resized_side
    w, h = (side, int(side * h / w)) if w <= h else (int(side * w / h), side)
    return _cut_out(resized(image, (w, h), p), p)


def _cut_out(image: Image.Image, p: Prep) -> Image.Image:
    """Return the centre of an image, S × S."""
    half = int if p.crop == "floor" else round
    left, top = int(half((image.width - p.size) / 2)), int(half((image.height - p.size) / 2))
    return image.crop((left, top, left + p.size, top + p.size))


def _center_crop(image: Image.Image, width: int, height: int) -> Image.Image:
    """Return the middle of an image, of this size."""
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


def _squash(image: Image.Image, p: Prep) -> Image.Image:
    """Resize both sides to S, whatever the proportions, or to p.resize_to and crop the centre."""
    return _cut_out(resized(image, (p.resized_side, p.resized_side), p), p)


def _longest(image: Image.Image, p: Prep) -> Image.Image:
    """Resize the longer side to S, and pad the shorter with grey of level p.padding; nothing is cut off."""
    w, h = image.size
    scale = p.size / max(w, h)
    image = resized(image, (max(1, round(w * scale)), max(1, round(h * scale))), p)
    canvas = Image.new("RGB", (p.size, p.size), (p.padding,) * 3)
    canvas.paste(image, ((p.size - image.width) // 2, (p.size - image.height) // 2))
    return canvas


RESIZE: dict[str, Callable[[Image.Image, Prep], Image.Image]] = {"shortest": _shortest, "squash": _squash, "longest": _longest}
"""Prep.resize → what resizes an RGB image to S × S."""


def patches(image: Image.Image, p: Prep) -> npt.NDArray[np.uint8]:
    """Return an image's patches, row by row, padded with zeros: uint8 (N, 3·patch² + 8), N being p.patches.

    After a patch's pixels (patch, patch, 3) come its row and column and how many of each there are, 16 bits each. Where p.merge is
    more than 1, squares of so many patches a side stay together, these row by row.
    """
    size = native_size(*image.size[::-1], p) if p.resize == "native" else fitting_size(*image.size[::-1], p.patch, p.patches)
    rows, columns = (side // p.patch for side in size)
    pixels = np.asarray(resized(image, (columns * p.patch, rows * p.patch), p))
    cut = _in_squares(pixels.reshape(rows, p.patch, columns, p.patch, 3).swapaxes(1, 2).reshape(rows, columns, -1), p.merge)
    at = _in_squares(np.moveaxis(np.indices((rows, columns)), 0, -1), p.merge)
    place = np.concatenate([at, np.full_like(at, (rows, columns))], axis=1)
    out = np.zeros(p.shape, np.uint8)
    out[: len(cut)] = np.concatenate([cut, np.ascontiguousarray(place, "<u2").view(np.uint8)], axis=1)
    return out


def _in_squares(plane: npt.NDArray[Any], side: int) -> npt.NDArray[Any]:
    """Put the cells of a plane in a row, squares of `side`² of them together: (h, w, D) → (h · w, D)."""
    h, w, d = plane.shape
    return plane.reshape(h // side, side, w // side, side, d).swapaxes(1, 2).reshape(h * w, d)


def count_of(prepared: npt.NDArray[np.uint8]) -> int:
    """Return how many patches of a picture that `patches` gave are no padding."""
    return math.prod(np.ascontiguousarray(prepared[0, -4:]).view("<u2").tolist())


def batches(squares: npt.NDArray[np.uint8], p: Prep, size: int) -> Iterator[npt.NDArray[np.float32]]:
    """Yield prepared pictures, uint8 (B, *p.shape), as a tower takes them: `size` at a time; one, without padding, where p.resize is
    native."""
    if p.resize != "native":
        yield from (normalize_pixels(squares[i : i + size], p) for i in range(0, len(squares), size))
        return
    for one in squares:
        yield normalize_pixels(one[None, : count_of(one)], p)


def picture_of(prepared: npt.NDArray[np.uint8], p: Prep) -> Image.Image:
    """Return what `square` gave as a picture again."""
    if not p.patches:
        return Image.fromarray(prepared)
    rows, columns = np.ascontiguousarray(prepared[0, -4:]).view("<u2").tolist()
    cut = prepared[: rows * columns, :-8].reshape(rows, columns, p.patch, p.patch, 3)
    return Image.fromarray(cut.swapaxes(1, 2).reshape(rows * p.patch, columns * p.patch, 3))


def fitting_size(height: int, width: int, patch: int, most: int) -> tuple[int, int]:
    """Return the largest size (height, width) in about these proportions whose sides are multiples of `patch`, with `most` patches.

    By bisection of the scale, to 1e-5, as SigLIP 2 does: a closed form would differ by a patch now and then.
    """
    low, high = 1e-6, 100.0
    while high - low >= 1e-5:
        scale = (low + high) / 2
        if math.prod(_whole_patches(side * scale, patch) for side in (height, width)) <= most:
            low = scale
        else:
            high = scale
    return _whole_patches(height * low, patch) * patch, _whole_patches(width * low, patch) * patch


def native_size(height: int, width: int, p: Prep) -> tuple[int, int]:
    """Return about the image's own size (height, width): sides are multiples of p.merge patches, pixels as many as there may be.

    Qwen2-VL's. Raises UnreadableMedia on a strip, which its processor does not take or makes too many patches of.
    """
    if max(height, width) > LONGEST_STRIP * min(height, width):
        raise UnreadableMedia(f"it is more than {LONGEST_STRIP} times as long as wide; crop it")
    step, most, sides = p.patch * p.merge, p.patches * p.patch**2, (height, width)
    down, across = (round(side / step) * step for side in sides)
    if down * across > most:
        scale = math.sqrt(height * width / most)
        down, across = (max(step, math.floor(side / scale / step) * step) for side in sides)
    elif down * across < p.least_pixels:
        scale = math.sqrt(p.least_pixels / (height * width))
        down, across = (math.ceil(side * scale / step) * step for side in sides)
    if down * across > most:
        raise UnreadableMedia(f"it is too narrow to be shown in {p.patches} patches; crop it")
    return down, across


def _whole_patches(side: float, patch: int) -> int:
    return max(1, math.ceil(side / patch))


def resized(image: Image.Image, size: tuple[int, int], p: Prep) -> Image.Image:
    """Return an image resized to (width, height), antialiased; the image itself if it has that size."""
    return image if image.size == size else image.resize(size, RESAMPLE[p.interpolation])


def normalize_pixels(pixels: npt.NDArray[np.uint8], p: Prep) -> npt.NDArray[np.float32]:
    """Return uint8 (B, S, S, 3) as float32 (B, 3, S, S): (pixel / 255 − mean) / std.

    Patches, uint8 (B, N, 3·patch² + 8), become float32 (B, N, 3·patch² + 4): their places are numbers now.
    """
    scale = np.float32(1 / 255) / np.asarray(p.std, np.float32)
    shift = np.asarray(p.mean, np.float32) / np.asarray(p.std, np.float32)
    if not p.patches:
        return np.ascontiguousarray((pixels * scale - shift).transpose(0, 3, 1, 2))
    place = np.ascontiguousarray(pixels[..., -8:]).view("<u2").astype(np.float32)
    return np.concatenate([pixels[..., :-8] * np.tile(scale, p.patch**2) - np.tile(shift, p.patch**2), place], axis=-1)
