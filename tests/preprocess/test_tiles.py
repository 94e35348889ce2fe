"""Tiles: which grid is chosen, and that no pixel is lost."""

import numpy as np
import pytest
from PIL import Image

from samespace.core.config import Prep
from samespace.preprocess.tiles import grid, views

P = Prep(size=32, resize="squash")


@pytest.mark.parametrize(
    ("size", "max_tiles", "expected"),
    [
        ((32, 32), 6, (1, 1)),
        ((40, 30), 6, (1, 1)),
        ((64, 64), 6, (2, 2)),
        ((3000, 3000), 9, (3, 3)),
        ((8000, 8000), 4, (2, 2)),
        ((1080, 12000), 6, (1, 6)),
        ((640, 100), 6, (6, 1)),
        ((96, 64), 6, (3, 2)),
        ((5000, 5000), 1, (1, 1)),
    ],
)
def test_grid(size, max_tiles, expected):
    assert grid(*size, 32, max_tiles, 1.5) == expected


def test_tiles_are_the_image_row_by_row():
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 96, 3), dtype=np.uint8))
    whole, *tiles = views(picture, P, 6, 1.5).pixels
    assert len(tiles) == 6
    rows = [np.concatenate(tiles[i : i + 3], axis=1) for i in (0, 3)]
    assert np.array_equal(np.concatenate(rows), np.asarray(picture))
    assert np.array_equal(whole, np.asarray(picture.resize((32, 32), Image.Resampling.BICUBIC)))


def test_transparent_parts_become_white():
    tiles = views(Image.new("RGBA", (64, 64), (0, 0, 0, 0)), P, 4, 1.5).pixels
    assert tiles.shape == (5, 32, 32, 3)
    assert (tiles == 255).all()
