"""Random views of a picture: as it is searched, cropped, or (cut-outs) placed on another background."""

import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageChops, ImageEnhance, ImageFilter, ImageOps

from ..core.config import Prep
from ..media.image import opaque
from ..preprocess.pixels import RESAMPLE, square

WHITE = (255, 255, 255)
BEND = 0.07
"""How far a corner of a third of a picture is moved, of the picture's side."""


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


def bent(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """The same thing in other proportions: its nine parts drawn wider or narrower, higher or lower."""
    w, h = picture.size
    xs, ys = np.meshgrid(np.linspace(0, w, 4), np.linspace(0, h, 4))
    corners = np.stack([xs, ys], axis=-1) + rng.uniform(-BEND, BEND, (4, 4, 2)) * (w, h)
    parts = []
    for i in range(3):
        for j in range(3):
            box = (w * j // 3, h * i // 3, w * (j + 1) // 3, h * (i + 1) // 3)
            seen = corners[[i, i + 1, i + 1, i], [j, j, j + 1, j + 1]]  # upper left, lower left, lower right, upper right
            parts.append((box, tuple(float(v) for v in seen.ravel())))
    return picture.transform(picture.size, Image.Transform.MESH, parts, Image.Resampling.BILINEAR)


def flattened(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Few colours, without shades: as a flat design draws it."""
    return ImageOps.posterize(picture.filter(ImageFilter.MedianFilter(5)), int(rng.integers(2, 4)))


def outlined(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Dark lines where colours meet: as a pen draws it."""
    edges = picture.convert("L").filter(ImageFilter.FIND_EDGES).filter(ImageFilter.MaxFilter(3))
    lines = ImageOps.invert(edges.point([min(255, 3 * v) for v in range(256)]))
    return ImageChops.multiply(picture, lines.convert("RGB"))


def softened(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Blurred: as a small picture looks when it is enlarged."""
    return picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 2.0)))


def tinted(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Every hue moved a little, so that red stays red."""
    hue, saturation, value = picture.convert("HSV").split()
    move = int(rng.integers(-8, 9))
    return Image.merge("HSV", (hue.point([(v + move) % 256 for v in range(256)]), saturation, value)).convert("RGB")


HANDS = (flattened, outlined, softened, tinted)


def redrawn(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """An RGBA picture as another hand might have drawn it."""
    if rng.random() < 0.5:
        picture = bent(picture, rng)
    colours, shape = picture.convert("RGB"), picture.getchannel("A")
    for hand in HANDS:
        if rng.random() < 0.25:
            colours = hand(colours, rng)
    colours.putalpha(shape)
    return colours


def view(
    picture: Image.Image, rng: np.random.Generator, size: int, photos: list[Image.Image], *, mirror: bool = True
) -> np.ndarray:
    """One random view of an RGBA picture → uint8 (size, size, 3)."""
    if rng.random() < 0.5 and mirror:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if rng.random() < 0.5:
        picture = picture.rotate(rng.uniform(-25, 25), Image.Resampling.BICUBIC, expand=True)
    scale = size * rng.uniform(0.55, 1.15) / max(picture.size)
    stretch = np.exp(rng.uniform(-0.15, 0.15))
    w, h = max(8, round(picture.width * scale * stretch)), max(8, round(picture.height * scale / stretch))
    picture = redrawn(picture.resize((w, h), Image.Resampling.BICUBIC), rng)
    canvas = ground(rng, size, photos)
    spare = size - w, size - h
    canvas.paste(picture, tuple(int(rng.uniform(min(0, s), max(0, s))) for s in spare), picture)
    return np.asarray(coloured(canvas, rng))


def coloured(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Brighter or darker, harder or softer, more or less colourful; now and then grey."""
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        picture = enhance(picture).enhance(rng.uniform(0.7, 1.3))
    return picture.convert("L").convert("RGB") if rng.random() < 0.08 else picture


def cropped(picture: Image.Image, rng: np.random.Generator, prep: Prep, least: float) -> Image.Image:
    """A random part, `least` to all of the area, 3:4 to 4:3, resized to the square: torchvision's RandomResizedCrop."""
    w, h = picture.size
    for _ in range(10):
        area, ratio = w * h * rng.uniform(least, 1.0), math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
        cw, ch = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < cw <= w and 0 < ch <= h:
            left, top = int(rng.integers(0, w - cw + 1)), int(rng.integers(0, h - ch + 1))
            return picture.resize((prep.size, prep.size), RESAMPLE[prep.interpolation], box=(left, top, left + cw, top + ch))
    return Image.fromarray(square(picture, prep))


def crop(picture: Image.Image, rng: np.random.Generator, prep: Prep) -> np.ndarray:
    """open_clip's view of a training picture: nine tenths of it or more."""
    return np.asarray(cropped(opaque(picture, prep.fill), rng, prep, 0.9))


def strong(picture: Image.Image, rng: np.random.Generator, prep: Prep) -> np.ndarray:
    """A cut-out anywhere on some background; of any other picture a part, in other colours, perhaps mirrored."""
    if picture.has_transparency_data:
        return view(picture.convert("RGBA"), rng, prep.size, [])
    part = coloured(cropped(opaque(picture, prep.fill), rng, prep, 0.4), rng)
    return np.asarray(part.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else part)


def plain(picture: Image.Image, rng: np.random.Generator, prep: Prep) -> np.ndarray:
    """As it will be searched."""
    return square(picture, prep)


AUGMENTS: dict[str, Callable[[Image.Image, np.random.Generator, Prep], np.ndarray]] = {
    "none": plain, "crop": crop, "strong": strong,
}  # fmt: skip
