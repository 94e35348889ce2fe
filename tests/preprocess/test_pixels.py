"""Our preprocessing against open_clip's and transformers', on real photographs."""

import numpy as np
import open_clip
import pytest
from PIL import Image
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

from samespace.core.config import Prep
from samespace.preprocess.pixels import normalize_pixels, square

CLOSE = 1e-4
NAMES = ("chelsea.png", "coffee.png", "rocket.jpg", "hubble_deep_field.jpg", "motorcycle_left.png", "camera.png", "moon.png")


def ours(image: Image.Image, prep: Prep) -> np.ndarray:
    return normalize_pixels(square(image, prep)[None], prep)[0]


@pytest.mark.parametrize("resize", ["shortest", "squash", "longest"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_equals_open_clip(photographs, resize, interpolation):
    prep = Prep(size=224, resize=resize, interpolation=interpolation, padding=0)
    theirs = open_clip.image_transform(224, is_train=False, resize_mode=resize, interpolation=interpolation)
    for name in NAMES:
        image = Image.open(photographs / name).convert("RGB")
        assert np.abs(ours(image, prep) - theirs(image).numpy()).max() < CLOSE, name


def test_equals_transformers_clip(photographs):
    theirs, prep = CLIPImageProcessorPil(), Prep(crop="floor")
    for name in NAMES:
        image = Image.open(photographs / name).convert("RGB")
        assert np.abs(ours(image, prep) - np.asarray(theirs(image)["pixel_values"][0])).max() < CLOSE, name


def test_equals_transformers_siglip(photographs):
    theirs = SiglipImageProcessorPil(size={"height": 224, "width": 224}, image_mean=[0.5] * 3, image_std=[0.5] * 3)
    prep = Prep(resize="squash", mean=(0.5,) * 3, std=(0.5,) * 3)
    for name in NAMES:
        image = Image.open(photographs / name).convert("RGB")
        assert np.abs(ours(image, prep) - np.asarray(theirs(image)["pixel_values"][0])).max() < CLOSE, name


@pytest.mark.parametrize("size", [(1, 1), (1, 4000), (4000, 1), (3, 224), (225, 224), (226, 225), (227, 224)])
@pytest.mark.parametrize("resize", ["shortest", "squash", "longest"])
def test_any_proportions_become_the_square(size, resize):
    assert square(Image.new("RGB", size, "red"), Prep(resize=resize)).shape == (224, 224, 3)


def test_transparent_parts_become_white():
    clear = Image.new("RGBA", (50, 50), (0, 0, 0, 0))
    assert (square(clear, Prep()) == 255).all()
    palette = Image.new("P", (50, 50), 0)
    palette.putpalette([10, 20, 30])
    palette.info["transparency"] = 0
    assert (square(palette, Prep()) == 255).all()


def test_a_long_strip_does_not_fill_the_memory():
    strip = Image.new("RGB", (100_000, 1), "red")
    assert (square(strip, Prep()) == (255, 0, 0)).all()
