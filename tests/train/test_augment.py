"""Augmentations of pictures."""

import numpy as np
from PIL import Image

from samespace.train.augment import cutout_view


def test_views_are_reproducible_and_differ_by_seed():
    picture = Image.new("RGBA", (80, 60), (255, 0, 0, 255))
    photo = Image.effect_noise((100, 90), 60).convert("RGB")
    views = [cutout_view(picture, np.random.default_rng(i), 64, [photo]) for i in range(40)]
    again = cutout_view(picture, np.random.default_rng(7), 64, [photo])
    assert all(v.shape == (64, 64, 3) and v.dtype == np.uint8 for v in views)
    assert np.array_equal(again, views[7])
    assert len({v.tobytes() for v in views}) == 40


def test_the_picture_stays_in_view():
    picture = Image.new("RGBA", (80, 60), (255, 0, 0, 255))
    for i in range(40):
        pixels = cutout_view(picture, np.random.default_rng(i), 64, []).astype(int)
        red = (pixels[..., 0] > pixels[..., 1] + 40) & (pixels[..., 0] > pixels[..., 2] + 40)
        grey = np.ptp(pixels, axis=2).max() < 5
        assert grey or red.mean() > 0.1
