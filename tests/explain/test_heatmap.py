"""Heat maps: of two pictures side by side, the named one is warm; with rotated vectors, either is."""

import itertools

import numpy as np
import pytest
from PIL import Image

import samespace
from samespace.explain.heatmap import GRID, Window, embed_windows, phrase_directions, windows

NAMES = {
    "chelsea.png": "a cat",
    "coffee.png": "a cup of coffee",
    "rocket.jpg": "a rocket launch",
    "motorcycle_left.png": "a motorcycle",
}


def test_windows_cover_the_picture_and_stay_within():
    assert all(w.left >= 0 and w.top >= 0 and w.left + w.side <= 1 + 1e-6 and w.top + w.side <= 1 + 1e-6 for w in windows())
    assert min(sum(w.weights() for w in windows()).ravel()) > 0.05


@pytest.mark.parametrize("size", [(1, 1), (3000, 2), (224, 224)])
def test_a_window_of_any_picture_has_pixels(size):
    crops = [w.crop(Image.new("RGB", size)) for w in windows()]
    assert all(crop.width >= 1 and crop.height >= 1 for crop in crops)


def test_a_windows_weight_is_largest_at_its_centre():
    weights = Window(0.5, 0.0, 0.5).weights()
    row, column = np.unravel_index(weights.argmax(), weights.shape)
    assert row in (3, 4) and column in (9, 10, 11)


@pytest.fixture(scope="module")
def pairs(photographs):
    """Two photographs side by side, each pair once, with their windows embedded once."""
    starter = samespace.load("starter")
    tiles = {n: Image.open(photographs / n).convert("RGB").resize((224, 224)) for n in NAMES if (photographs / n).exists()}
    made = []
    for left, right in itertools.combinations(tiles, 2):
        both = Image.new("RGB", (448, 224))
        both.paste(tiles[left], (0, 0))
        both.paste(tiles[right], (224, 0))
        made.append((left, right, embed_windows(starter, both)))
    return starter, made


def warm_half(embedded, z) -> int:
    return int(embedded.heatmap(z).max(axis=0).argmax() >= GRID // 2)


def test_the_named_picture_is_the_warm_one(pairs):
    starter, made = pairs
    correct = [
        warm_half(embedded, phrase_directions(starter, NAMES[name])[0]) == side
        for *names, embedded in made
        for side, name in enumerate(names)
    ]
    assert np.mean(correct) >= 0.8


def test_with_rotated_vectors_either_half_is_warm(pairs):
    starter, made = pairs
    rotation, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(starter.dim, starter.dim)))
    correct = [
        warm_half(embedded, rotation.astype(np.float32) @ phrase_directions(starter, NAMES[name])[0]) == side
        for *names, embedded in made
        for side, name in enumerate(names)
    ]
    assert 0.2 <= np.mean(correct) <= 0.8


def test_a_words_direction_is_its_vector_less_that_of_the_rest(tiny_space):
    z = phrase_directions(tiny_space, "red cat")
    whole, red, cat = tiny_space.text(["red cat", "red", "cat"])
    np.testing.assert_allclose(z, [whole, red - cat, cat - red], atol=1e-5)
    assert phrase_directions(tiny_space, "cat").shape == (2, tiny_space.dim)


def test_a_phrases_direction_is_its_vector_less_the_mean_background(tiny_space, monkeypatch):
    background = tiny_space.text(["a tree", "two boats", "rain"])
    monkeypatch.setitem(tiny_space.__dict__, "background", background)
    z = phrase_directions(tiny_space, "red cat")
    np.testing.assert_allclose(z[0], tiny_space.text(["red cat"])[0] - background.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(z[1] + z[2], 0, atol=1e-5)  # words are compared with each other, not with the background
