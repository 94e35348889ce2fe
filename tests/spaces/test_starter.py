"""The shipped starter: whole, small, and good enough on the photographs that every install can check."""

import numpy as np
import pytest

import samespace
from samespace.cli.doctor import damaged_files
from samespace.library.demo import PHRASES, photographs
from samespace.media.image import opaque
from samespace.spaces import registry
from samespace.spaces.space import read_space_config


@pytest.fixture(scope="module")
def starter() -> samespace.Space:
    return samespace.load("starter")


def test_it_is_whole_and_small():
    assert damaged_files(registry.STARTER) == ""
    audio = sum(f.stat().st_size for f in registry.STARTER.glob("audio.*"))
    assert audio <= 6.5e6 and sum(f.stat().st_size for f in registry.STARTER.iterdir()) - audio <= 40e6


def test_its_card_says_where_it_comes_from():
    config = read_space_config(registry.STARTER)
    assert (config.name, config.dim, config.licence) == ("starter", 512, "Apache-2.0")
    assert config.card["steps"] > 0 and "EfficientNet" in config.origin
    for report in config.card["precision"].values():
        tried = report["tried"][report["chosen"]]
        assert tried["cosine"] >= 0.99 and tried["recall_at_10_lost"] <= 0.01


def test_vectors_are_unit_length_and_deterministic(starter):
    z = starter.text(["a cat", "ein Hund", "", "🐈" * 500])
    assert z.shape == (4, 512) and z.dtype == np.float32
    assert np.allclose(np.linalg.norm(z, axis=1), 1, atol=1e-5)
    assert np.allclose(starter.text(["a cat"]), z[:1], atol=1e-5)


@pytest.mark.parametrize("number", range(6))
def test_each_demo_photograph_is_first_for_its_plain_phrase(starter, number):
    z = starter.image(photographs())
    assert int((starter.text([PHRASES[number]]) @ z.T).argmax()) == number


def test_files_arrays_and_pillow_images_are_one(starter):
    path = photographs()[0]
    picture = starter.open(path)
    z = starter.image([path, picture, np.asarray(opaque(picture))])
    assert np.allclose(z[0], z[1], atol=1e-5) and np.allclose(z[0], z[2], atol=1e-5)


def test_nothing_in_gives_nothing_out(starter):
    assert starter.text([]).shape == starter.image([]).shape == (0, 512)


def test_the_python_example_of_the_package_runs(tmp_path):
    space = samespace.load("starter")
    library = samespace.Library(tmp_path / "library")
    library.add(photographs())
    assert library.space.fingerprint == space.fingerprint
    hits = library.search("a cat", top=1)
    assert hits[0].path.endswith("chelsea.png")


def test_one_array_is_one_picture(starter):
    picture = np.asarray(opaque(starter.open(photographs()[0])))
    assert starter.image(picture).shape == (1, 512)


def test_a_pillow_image_is_turned_upright(starter, tmp_path):
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(photographs()[0]).convert("RGB").save(tmp_path / "turned.jpg", exif=exif, quality=95)
    z = starter.image([tmp_path / "turned.jpg", Image.open(tmp_path / "turned.jpg")])
    assert float(z[0] @ z[1]) > 0.99
