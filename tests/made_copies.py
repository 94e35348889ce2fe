"""A set of copies of photographs, and of pictures that are not copies but the next of a series."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter, map_coordinates
from skimage import data

PHOTOGRAPHS = (
    "astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png", "camera.png", "coins.png", "brick.png", "ihc.png",
    "retina.jpg", "page.png",
)  # fmt: skip


def make(folder: Path, seed: int = 0) -> None:
    """Write the set: "7 copy of … .jpg" are of the photograph "7 … .jpg"; "… next 1.jpg" are not."""
    rng = np.random.default_rng(seed)
    folder.mkdir()
    for n, name in enumerate(PHOTOGRAPHS):
        photograph = Image.open(Path(data.__file__).parent / name).convert("RGB")
        photograph.thumbnail((800, 800))
        photograph.save(folder / f"{n} photograph.jpg", quality=92)
        for what, picture, options in copies(photograph, rng):
            picture.save(folder / f"{n} copy {what}", **options)
        for i in range(2):
            hand_held(photograph, rng).save(folder / f"{n} next {i}.jpg", quality=90)
        something_moved(photograph, rng).save(folder / f"{n} next moved.jpg", quality=90)


def copies(picture: Image.Image, rng: np.random.Generator) -> Iterator[tuple[str, Image.Image, dict]]:
    """Yield the name, the picture and how it is compressed, of copies."""
    width, height = picture.size
    yield "quality 50.jpg", picture, {"quality": 50}
    yield "quality 25.jpg", picture, {"quality": 25}
    yield "40.webp", picture, {"quality": 40}
    yield "half.jpg", picture.resize((width // 2, height // 2)), {"quality": 85}
    yield "quarter.jpg", picture.resize((width // 4, height // 4)), {"quality": 85}
    yield "larger.png", picture.resize((width * 3 // 2, height * 3 // 2)), {}
    for turn in (90, 180, 270):
        yield f"turned {turn}.jpg", picture.rotate(turn, expand=True), {"quality": 85}
    for share in (0.9, 0.75, 0.6):
        yield f"crop {share}.jpg", cropped(picture, share, rng), {"quality": 85}
    for what in ("corner", "across", "all over"):
        yield f"mark {what}.jpg", marked(picture, what), {"quality": 85}


def cropped(picture: Image.Image, share: float, rng: np.random.Generator) -> Image.Image:
    """Return a part with this share of the area, anywhere, a little wider or higher than the whole."""
    aspect = rng.uniform(0.9, 1.1)
    width, height = int(picture.width * min(1, share**0.5 * aspect)), int(picture.height * min(1, share**0.5 / aspect))
    x, y = rng.integers(0, picture.width - width + 1), rng.integers(0, picture.height - height + 1)
    return picture.crop((x, y, x + width, y + height))


def marked(picture: Image.Image, what: str) -> Image.Image:
    """Return a picture with a watermark."""
    layer = Image.new("RGBA", picture.size, (255, 255, 255, 0))
    draw, (width, height) = ImageDraw.Draw(layer), picture.size
    if what == "corner":
        draw.text((width * 0.6, height * 0.9), "© Jane Doe", font=ImageFont.load_default(height // 16), fill=(255, 255, 255, 230))
    elif what == "across":
        draw.text((width * 0.1, height * 0.4), "SAMPLE", font=ImageFont.load_default(width // 6), fill=(255, 255, 255, 110))
    else:
        for y in range(0, height, height // 6):
            for x in range(0, width, width // 3):
                draw.text((x, y), "stock", font=ImageFont.load_default(width // 22), fill=(255, 255, 255, 80))
    return Image.alpha_composite(picture.convert("RGBA"), layer).convert("RGB")


def hand_held(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Return what a camera sees a moment later: turned and moved a little, things at different distances moved differently."""
    height, width = picture.height, picture.width
    angle, scale = np.deg2rad(rng.choice([-1, 1]) * rng.uniform(0.4, 1.5)), 1 + rng.uniform(-0.03, 0.03)
    y, x = np.mgrid[:height, :width] - np.array([height / 2, width / 2])[:, None, None]
    across = np.cos(angle) * scale * x - np.sin(angle) * scale * y + rng.choice([-1, 1]) * rng.uniform(0.01, 0.06) * width
    down = np.sin(angle) * scale * x + np.cos(angle) * scale * y + rng.choice([-1, 1]) * rng.uniform(0.01, 0.05) * height
    parallax = [smooth_field(height, width, rng) * 0.008 * width for _ in range(2)]
    moved = seen(picture, down + height / 2 + parallax[0], across + width / 2 + parallax[1], rng, rng.uniform(0.94, 1.06))
    return moved.crop((width // 11, height // 11, width - width // 11, height - height // 11))


def something_moved(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Return what a camera on a tripod sees after a large thing has moved."""
    height, width = picture.height, picture.width
    y, x = np.mgrid[:height, :width].astype(float)
    center, radius = rng.uniform(0.3, 0.7, 2) * (height, width), rng.uniform(0.2, 0.3) * min(height, width)
    weight = np.exp(-((y - center[0]) ** 2 + (x - center[1]) ** 2) / (2 * radius**2)) * rng.uniform(0.05, 0.1) * width
    angle = rng.uniform(0, 2 * np.pi)
    return seen(picture, y + weight * np.sin(angle), x + weight * np.cos(angle), rng, 1.0)


def smooth_field(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Return a smooth field of numbers from -1 to 1."""
    field = gaussian_filter(rng.normal(size=(height // 8 + 1, width // 8 + 1)), 6)
    image = Image.fromarray((field / np.abs(field).max()).astype(np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling.BICUBIC))


def seen(picture: Image.Image, y: np.ndarray, x: np.ndarray, rng: np.random.Generator, light: float) -> Image.Image:
    """Return a picture sampled at these coordinates, in another light and with noise."""
    levels = np.asarray(picture, np.float32)
    channels = [map_coordinates(levels[..., c], [y, x], order=1, mode="reflect") for c in range(3)]
    noisy = np.stack(channels, -1) * light + rng.normal(size=levels.shape) * 3
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
