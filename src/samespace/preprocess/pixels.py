"""A picture becomes the square of numbers that an image tower reads."""

import numpy as np
from PIL import Image

from ..core.config import Prep
from ..media.image import opaque

LONGEST_RATIO = 32
"""Of longer strips only the middle is resized: the rest would be cut away, and a 1 × 100,000 strip would fill memory."""
RESAMPLE = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


def square(image: Image.Image, p: Prep) -> np.ndarray:
    """A picture → uint8 (S, S, 3), resized the way the space's towers were trained."""
    return np.asarray(RESIZES[p.resize](opaque(image, p.fill), p))


def shortest(image: Image.Image, p: Prep) -> Image.Image:
    """Shorter side to S, then the middle. As in torchvision's Resize and CenterCrop."""
    w, h = image.size
    if max(w, h) > LONGEST_RATIO * min(w, h):
        image = middle(image, min(w, LONGEST_RATIO * h), min(h, LONGEST_RATIO * w))
        w, h = image.size
    short = min(w, h)
    w, h = (p.size, int(p.size * h / w)) if w == short else (int(p.size * w / h), p.size)
    image = resized(image, (w, h), p)
    half = int if p.crop == "floor" else round
    left, top = int(half((w - p.size) / 2)), int(half((h - p.size) / 2))
    return image.crop((left, top, left + p.size, top + p.size))


def middle(image: Image.Image, width: int, height: int) -> Image.Image:
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


def squash(image: Image.Image, p: Prep) -> Image.Image:
    """Both sides to S, whatever the proportions."""
    return resized(image, (p.size, p.size), p)


def longest(image: Image.Image, p: Prep) -> Image.Image:
    """Longer side to S, the rest filled: nothing is cut away."""
    w, h = image.size
    scale = p.size / max(w, h)
    image = resized(image, (max(1, round(w * scale)), max(1, round(h * scale))), p)
    ground = Image.new("RGB", (p.size, p.size), (p.fill,) * 3)
    ground.paste(image, ((p.size - image.width) // 2, (p.size - image.height) // 2))
    return ground


RESIZES = {"shortest": shortest, "squash": squash, "longest": longest}


def resized(image: Image.Image, size: tuple[int, int], p: Prep) -> Image.Image:
    return image if image.size == size else image.resize(size, RESAMPLE[p.interpolation])


def normalize_pixels(pixels: np.ndarray, p: Prep) -> np.ndarray:
    """uint8 (B, S, S, 3) → float32 (B, 3, S, S): (pixel / 255 − mean) / std."""
    scale = np.float32(1 / 255) / np.asarray(p.std, np.float32)
    shift = np.asarray(p.mean, np.float32) / np.asarray(p.std, np.float32)
    return np.ascontiguousarray((pixels * scale - shift).transpose(0, 3, 1, 2))
