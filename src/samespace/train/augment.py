"""Random views of a picture: unchanged, cropped, or (cut-outs) pasted on another background."""

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops, ImageEnhance, ImageFilter, ImageOps

from ..core.config import Prep
from ..media.image import opaque
from ..preprocess.pixels import resized, square

View = Callable[[Image.Image, np.random.Generator, Prep], npt.NDArray[np.uint8]]
"""Makes what is trained on of a picture."""
WHITE = (255, 255, 255)
MAX_WARP = 0.07
"""How far a corner of the 3 × 3 grid is moved at most, as a share of the picture's side."""


def random_background(rng: np.random.Generator, size: int, photos: list[Image.Image]) -> Image.Image:
    """Return a background: white, a colour, a gradient or a crop of a photograph. RGB, (size, size)."""
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


def warp(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Stretch and squeeze the cells of a 3 × 3 grid at random, which changes an object's proportions."""
    w, h = picture.size
    xs, ys = np.meshgrid(np.linspace(0, w, 4), np.linspace(0, h, 4))
    corners = np.stack([xs, ys], axis=-1) + rng.uniform(-MAX_WARP, MAX_WARP, (4, 4, 2)) * (w, h)
    mesh = []
    for i in range(3):
        for j in range(3):
            box = (w * j // 3, h * i // 3, w * (j + 1) // 3, h * (i + 1) // 3)
            quad = corners[[i, i + 1, i + 1, i], [j, j, j + 1, j + 1]]  # upper left, lower left, lower right, upper right
            mesh.append((box, tuple(float(v) for v in quad.ravel())))
    return picture.transform(picture.size, Image.Transform.MESH, mesh, Image.Resampling.BILINEAR)


def posterize(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Reduce to few flat colours, as in a flat design."""
    return ImageOps.posterize(picture.filter(ImageFilter.MedianFilter(5)), int(rng.integers(2, 4)))


def draw_outlines(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Darken edges between colours, as in a pen drawing."""
    edges = picture.convert("L").filter(ImageFilter.FIND_EDGES).filter(ImageFilter.MaxFilter(3))
    lines = ImageOps.invert(edges.point([min(255, 3 * v) for v in range(256)]))
    return ImageChops.multiply(picture, lines.convert("RGB"))


def blur(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Blur, as in a small picture that was enlarged."""
    return picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 2.0)))


def shift_hue(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Shift every hue a little, so that red stays red."""
    hue, saturation, value = picture.convert("HSV").split()
    shift = int(rng.integers(-8, 9))
    return Image.merge("HSV", (hue.point([(v + shift) % 256 for v in range(256)]), saturation, value)).convert("RGB")


STYLES = (posterize, draw_outlines, blur, shift_hue)


def restyle(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Apply random changes of style to an RGBA picture: as another artist might have drawn it."""
    if rng.random() < 0.5:
        picture = warp(picture, rng)
    colours, alpha = picture.convert("RGB"), picture.getchannel("A")
    for style in STYLES:
        if rng.random() < 0.25:
            colours = style(colours, rng)
    colours.putalpha(alpha)
    return colours


def cutout_view(
    picture: Image.Image, rng: np.random.Generator, size: int, photos: list[Image.Image], *, mirror: bool = True
) -> npt.NDArray[np.uint8]:
    """Paste an RGBA picture at a random size, angle and position on a random background → uint8 (size, size, 3)."""
    if rng.random() < 0.5 and mirror:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if rng.random() < 0.5:
        picture = picture.rotate(rng.uniform(-25, 25), Image.Resampling.BICUBIC, expand=True)
    scale = size * rng.uniform(0.55, 1.15) / max(picture.size)
    stretch = np.exp(rng.uniform(-0.15, 0.15))
    w, h = max(8, round(picture.width * scale * stretch)), max(8, round(picture.height * scale / stretch))
    picture = restyle(picture.resize((w, h), Image.Resampling.BICUBIC), rng)
    canvas = random_background(rng, size, photos)
    left, top = (int(rng.uniform(min(0, size - n), max(0, size - n))) for n in (w, h))
    canvas.paste(picture, (left, top), picture)
    return np.asarray(jitter_colours(canvas, rng))


def jitter_colours(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Change brightness, contrast and saturation at random; sometimes convert to grey."""
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        picture = enhance(picture).enhance(rng.uniform(0.7, 1.3))
    return picture.convert("L").convert("RGB") if rng.random() < 0.08 else picture


def random_part(picture: Image.Image, rng: np.random.Generator, min_area: float) -> Image.Image:
    """Cut out a random part, `min_area` to all of the area and 3:4 to 4:3 (as torchvision does)."""
    w, h = picture.size
    for _ in range(10):
        area, ratio = w * h * rng.uniform(min_area, 1.0), math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
        cw, ch = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < cw <= w and 0 < ch <= h:
            left, top = int(rng.integers(0, w - cw + 1)), int(rng.integers(0, h - ch + 1))
            return picture.crop((left, top, left + cw, top + ch))
    cw, ch = min(w, max(1, h * 4 // 3)), min(h, max(1, w * 4 // 3))  # the middle of a strip
    left, top = (w - cw) // 2, (h - ch) // 2
    return picture.crop((left, top, left + cw, top + ch))


def as_input(part: Image.Image, prep: Prep) -> npt.NDArray[np.uint8]:
    """Return a part as a tower takes it, squashed where that is a square: Prep.shape."""
    return square(part, prep) if prep.patches else np.asarray(resized(part, (prep.size, prep.size), prep))


def crop_view(picture: Image.Image, rng: np.random.Generator, prep: Prep) -> npt.NDArray[np.uint8]:
    """Crop at least nine tenths of the picture, open_clip's augmentation → Prep.shape."""
    return as_input(random_part(opaque(picture, prep.fill), rng, 0.9), prep)


def strong_view(picture: Image.Image, rng: np.random.Generator, prep: Prep) -> npt.NDArray[np.uint8]:
    """Paste a cut-out on a background; of any other picture, crop, jitter and perhaps mirror a part → Prep.shape."""
    if picture.has_transparency_data:
        return as_input(Image.fromarray(cutout_view(picture.convert("RGBA"), rng, prep.size, [])), prep)
    part = random_part(opaque(picture, prep.fill), rng, 0.4)
    part = jitter_colours(part if prep.patches else resized(part, (prep.size, prep.size), prep), rng)
    return as_input(part.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else part, prep)


def plain_view(picture: Image.Image, rng: np.random.Generator, prep: Prep) -> npt.NDArray[np.uint8]:
    """Prepare the picture as for searching, without augmentation → uint8 (S, S, 3)."""
    return square(picture, prep)


def cutout(picture: Image.Image, size: int, left: float = 0.5, top: float = 0.5, scale: float = 1.0) -> npt.NDArray[np.uint8]:
    """Fit a picture into a transparent square, `left` and `top` being its place in what is free → uint8 (size, size, 4)."""
    picture = picture.convert("RGBA")
    fit = scale * size / max(picture.size)
    w, h = max(1, round(picture.width * fit)), max(1, round(picture.height * fit))
    canvas = Image.new("RGBA", (size, size))
    canvas.paste(picture.resize((w, h), Image.Resampling.BICUBIC), (round(left * (size - w)), round(top * (size - h))))
    return np.asarray(canvas)


def plain_cutout(picture: Image.Image, rng: np.random.Generator, prep: Prep) -> npt.NDArray[np.uint8]:
    """Fit the picture into a transparent square → uint8 (S, S, 4)."""
    return cutout(picture, prep.size)


def moved_cutout(picture: Image.Image, rng: np.random.Generator, prep: Prep) -> npt.NDArray[np.uint8]:
    """Fit the picture into a transparent square, often a little smaller and somewhere in it → uint8 (S, S, 4)."""
    if rng.random() < 0.4:
        return cutout(picture, prep.size)
    return cutout(picture, prep.size, rng.random(), rng.random(), rng.uniform(0.8, 1.0))


AUGMENTS: dict[str, View] = {
    "none": plain_view, "crop": crop_view, "strong": strong_view,
}  # fmt: skip
"""RunConfig.augment → the view of a picture."""
CUTOUTS: dict[str, View] = {"none": plain_cutout, "crop": moved_cutout, "strong": moved_cutout}
"""RunConfig.augment → the view of a picture that is to be drawn."""
