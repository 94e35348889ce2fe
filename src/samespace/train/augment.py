"""Views of a cut-out picture: placed, turned, coloured, and set on another background."""

import numpy as np
from PIL import Image, ImageEnhance

WHITE = (255, 255, 255)


def ground(rng: np.random.Generator, size: int, photos: list[Image.Image]) -> Image.Image:
    """A background: white, a colour, a gradient or a piece of a photograph. → RGB (size, size)"""
    kind = rng.choice(["white", "colour", "gradient", "photo"], p=[0.35, 0.2, 0.15, 0.3])
    if kind == "white" or (kind == "photo" and not photos):
        return Image.new("RGB", (size, size), WHITE)
    if kind == "colour":
        return Image.new("RGB", (size, size), tuple(int(v) for v in rng.integers(0, 256, 3)))
    if kind == "gradient":
        corners = rng.integers(0, 256, (2, 2, 3), dtype=np.uint8)
        return Image.fromarray(corners).resize((size, size), Image.Resampling.BILINEAR)
    photo = photos[rng.integers(len(photos))]
    side = int(rng.uniform(0.3, 1.0) * min(photo.size))
    left, top = (int(rng.integers(0, n - side + 1)) for n in photo.size)
    return photo.resize((size, size), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side))


def view(picture: Image.Image, rng: np.random.Generator, size: int, photos: list[Image.Image]) -> np.ndarray:
    """One random view of an RGBA picture → uint8 (size, size, 3)."""
    if rng.random() < 0.5:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if rng.random() < 0.5:
        picture = picture.rotate(rng.uniform(-25, 25), Image.Resampling.BICUBIC, expand=True)
    scale = size * rng.uniform(0.55, 1.15) / max(picture.size)
    stretch = np.exp(rng.uniform(-0.15, 0.15))
    w, h = max(8, round(picture.width * scale * stretch)), max(8, round(picture.height * scale / stretch))
    picture = picture.resize((w, h), Image.Resampling.BICUBIC)
    canvas = ground(rng, size, photos)
    spare = size - w, size - h
    canvas.paste(picture, tuple(int(rng.uniform(min(0, s), max(0, s))) for s in spare), picture)
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        canvas = enhance(canvas).enhance(rng.uniform(0.7, 1.3))
    if rng.random() < 0.08:
        canvas = canvas.convert("L").convert("RGB")
    return np.asarray(canvas)
