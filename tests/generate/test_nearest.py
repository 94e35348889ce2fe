"""The training picture that a drawing is nearest to."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from samespace.generate.nearest import TrainingPictures, write_atlas


def drawing(colour: str, left: int) -> np.ndarray:
    image = Image.new("RGBA", (64, 64))
    ImageDraw.Draw(image).ellipse((left, 12, left + 30, 50), fill=colour)
    return np.asarray(image)


@pytest.fixture
def known(tmp_path) -> TrainingPictures:
    pictures = [drawing(colour, left) for colour in ("red", "green", "blue") for left in (2, 17)]
    write_atlas(pictures, [f"{colour} {left}" for colour in ("red", "green", "blue") for left in (2, 17)], tmp_path)
    return TrainingPictures.read(tmp_path)


def test_the_nearest_is_found_with_its_distance_and_mirrored_ones_too(known):
    found = known.nearest(np.stack([drawing("green", 17), drawing("#dd1111", 3), drawing("blue", 32)]))
    assert [one.name for one in found] == ["green 17", "red 2", "blue 2"]
    assert found[0].distance < 0.03 and found[2].distance < 0.08 and found[1].distance < 0.1
    assert found[0].picture.size == (32, 32) and found[0].picture.getpixel((16, 16))[1] > 90


def test_the_distance_is_the_root_of_the_mean_squared_difference(known):
    white = np.full((1, 64, 64, 4), 255, np.uint8)
    (one,) = known.nearest(white)
    cells = known.cells[known.names.index(one.name)].astype(float)
    assert one.distance == pytest.approx(np.sqrt(np.mean((cells - 255) ** 2)) / 255, abs=1e-3)
