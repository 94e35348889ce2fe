"""The library in two dimensions: like is near like, what is new finds its place and moves nothing, groups have names, areas filter."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from samespace.core.errors import LibraryError, MissingExtra, QueryError
from samespace.library.library import Library
from samespace.library.search import space_map
from samespace.library.search.space_map import Layout, best_names, laid_out, place_among
from samespace.spaces.registry import load

GROUPS, EACH = 12, 60


@pytest.fixture(scope="module")
def z() -> np.ndarray:
    """Vectors around 12 directions, group after group."""
    rng = np.random.default_rng(0)
    vectors = np.repeat(rng.normal(size=(GROUPS, 64)), EACH, axis=0) + 0.8 * rng.normal(size=(GROUPS * EACH, 64))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def share_of_like_neighbours(xy: np.ndarray, new: np.ndarray, group: np.ndarray) -> float:
    """Return how many of the ten nearest points of each new one are of its group."""
    away = np.linalg.norm(xy[new][:, None] - xy[None], axis=2)
    away[np.arange(len(new)), new] = np.inf
    return float((group[np.argsort(away, axis=1)[:, :10]] == group[new][:, None]).mean())


def test_like_is_near_like_also_of_what_is_not_fitted_and_of_what_comes_later(z, monkeypatch):
    group, everything = np.repeat(np.arange(GROUPS), EACH), np.arange(len(z))
    monkeypatch.setattr(space_map, "FITTED", 400)
    xy = laid_out(z)
    assert xy.dtype == np.float32 and xy.min() == 0 and xy.max() == 1
    assert share_of_like_neighbours(xy, everything, group) > 0.95
    new = np.arange(0, len(z), 9)
    old = np.setdiff1d(everything, new)
    later = xy.copy()
    later[new] = place_among(z[new], z[old], xy[old])
    assert share_of_like_neighbours(later, new, group) > 0.95
    assert len(np.unique(later, axis=0)) == len(later)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 9])
def test_a_few_pictures_have_a_map_too(z, count):
    xy = laid_out(z[:count])
    assert xy.shape == (count, 2) and np.isfinite(xy).all() and xy.min() >= 0 and xy.max() <= 1
    assert len(np.unique(xy, axis=0)) == count


def test_the_same_pictures_are_at_one_place_and_do_not_break_it():
    assert np.isfinite(laid_out(np.ones((50, 64), np.float32))).all()


def test_no_two_groups_have_one_name_while_there_are_others():
    assert sorted(best_names(np.array([[9.0, 1, 0], [8, 7, 0], [0, 0, 1]]))) == [(0, 0), (1, 1), (2, 2)]
    assert sorted(best_names(np.array([[9.0], [8]]))) == [(0, 0), (1, 0)]


def test_inside_is_by_the_even_odd_rule():
    ids = np.array([b"a" * 32, b"b" * 32, b"c" * 32])
    layout = Layout(ids, np.array([[0.5, 0.5], [0.15, 0.5], [0.9, 0.9]], np.float32))
    assert layout.inside([(0.1, 0.1), (0.8, 0.1), (0.8, 0.8), (0.1, 0.8)]) == ["a" * 32, "b" * 32]
    assert layout.inside([(0.1, 0.1), (0.8, 0.1), (0.8, 0.8)]) == ["a" * 32]


@pytest.fixture(scope="module")
def shades(tmp_path_factory, photographs) -> Path:
    """Twelve shades of each of four photographs, which are no copies of one another, in a folder without and a library with no map."""
    folder = tmp_path_factory.mktemp("shades")
    (folder / "album").mkdir()
    for name in ("chelsea.png", "coffee.png", "rocket.jpg", "astronaut.png"):
        picture = Image.open(photographs / name).convert("RGB")
        for i in range(12):
            width, height = picture.size
            part = picture.crop((i * width // 40, i * height // 40, width - (12 - i) * width // 30, height - i * height // 30))
            ImageEnhance.Color(part).enhance(i / 6).save(folder / "album" / f"{Path(name).stem} {i}.jpg")
    Library(folder / "library", load("starter")).add([folder / "album"])
    return folder


@pytest.fixture
def library(shades, tmp_path) -> Library:
    """A library of its own, of pictures that stay as they are."""
    return Library(shutil.copytree(shades / "library", tmp_path / "library"), load("starter"))


@pytest.fixture(scope="module")
def mapped(shades, tmp_path_factory) -> Library:
    """A library with a map, which no test changes."""
    copied = Library(shutil.copytree(shades / "library", tmp_path_factory.mktemp("mapped") / "library"), load("starter"))
    copied.map.make()
    return copied


def test_a_library_is_laid_out_once_and_grows_without_moving(shades, tmp_path):
    album = shutil.copytree(shades / "album", tmp_path / "album")
    library = Library(tmp_path / "library", load("starter"))
    library.add([album])
    with pytest.raises(LibraryError, match="make one with: samespace map"):
        library.map.read()
    made = library.map.make()
    assert len(made.ids) == 48 and made.labels
    assert sum(label.count for label in made.labels if label.level == 0) == 48
    again = Library(library.location.name, library.space).map.read()
    assert (again.ids == made.ids).all() and (again.xy == made.xy).all() and again.labels == made.labels

    shutil.copy(album / "coffee 3.jpg", album / "coffee once more.jpg")
    (album / "rocket 5.jpg").unlink()
    library.add([album])
    grown, place = library.map.read(), dict(zip(made.ids.tolist(), made.xy.tolist()))
    new = [id for id in grown.ids.tolist() if id not in place]
    assert (len(grown.ids), len(new)) == (48, 1)
    assert all(xy == place[id] for id, xy in zip(grown.ids.tolist(), grown.xy.tolist()) if id in place)
    assert sum(label.count for label in grown.labels if label.level == 0) == 48
    (moment,) = (xy for id, xy in zip(grown.ids.tolist(), grown.xy) if id in new)
    near = sorted(zip(np.linalg.norm(grown.xy - moment, axis=1).tolist(), grown.ids.tolist()))[1:6]
    names = {hit.id: Path(hit.path).name for hit in library.search("", top=100, where="kind:image", group_by="file")}
    assert sum(names[id.decode()].startswith("coffee") for _, id in near) >= 4


def test_an_area_is_a_condition(library, mapped):
    with pytest.raises(LibraryError, match="no map"):
        library.search('area:"0,0 9999,0 0,9999"')
    library, layout = mapped, mapped.map.read()
    left = {id.decode() for id, (x, y) in zip(layout.ids.tolist(), layout.xy.tolist()) if x < 0.5}
    where = 'area:"0,-1 5000,-1 5000,10001 -1,10001"'
    found = {hit.id for hit in library.search("", top=100, where=where, group_by="file")}
    assert found and abs(len(found ^ left)) <= 1  # the one on its edge
    assert {hit.id for hit in library.search("a cat", top=100, where=where, group_by="file")} == found
    assert not {hit.id for hit in library.search("", top=100, where=f"-{where}", group_by="file")} & found


def test_vectors_of_few_numbers_are_laid_out():
    z = np.random.default_rng(0).standard_normal((60, 8)).astype(np.float32)
    assert laid_out(z).shape == (60, 2)


def test_an_area_of_an_older_map_is_refused(mapped):
    library = mapped
    made = library.map.read().made
    whole = "-1,-1 10001,-1 10001,10001 -1,10001"
    assert len(made) == 8 and len(library.search(f'area:"#{made} {whole}"')) == len(library.search(f'area:"{whole}"')) > 0
    with pytest.raises(QueryError, match="laid out anew"):
        library.search(f'area:"#00000000 {whole}"')


def test_what_is_not_on_the_map_is_shown_by_what_is_nearest_in_its_file(mapped):
    library = mapped
    table = library.store.readable(library.space.fingerprint).to_pylist()
    one = table[0]
    assert library.map.points_of([(one["id"], one["path"], 0.0)]) == {one["id"]: one["id"]}
    assert library.map.points_of([("f" * 32, one["path"], 7.0), ("e" * 32, "/nowhere", 0.0)]) == {"f" * 32: one["id"]}


def test_what_is_no_area_is_refused_in_a_sentence(mapped):
    for area in ("", "1,1", "1,1 2,2", "a,b c,d e,f", "1,1 2,2 3", "1,1,1 2,2,2 3,3,3"):
        with pytest.raises(QueryError, match=r"at character 1: .* is no area of the map"):
            mapped.search(f'area:"{area}"')


def test_a_map_that_cannot_be_read_is_made_again(mapped, tmp_path):
    library = Library(shutil.copytree(mapped.location.name, tmp_path / "library"), mapped.space)
    path = next(Path(library.location.name).glob("map-*.npz"))
    path.write_bytes(b"no map")
    with pytest.raises(LibraryError, match="samespace map --again"):
        library.map.read()
    assert len(library.map.make().ids) == len(library.map.read().ids) == 48


def test_without_its_extra_it_says_which_to_install(library, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "openTSNE", None)
    with pytest.raises(MissingExtra, match=r"samespace\[map\]"):
        library.map.make()


def test_a_film_does_not_fill_the_map(tmp_path, tiny_space):
    import pyarrow as pa

    ids = [f"{i:032x}" for i in range(1000)]
    columns = {"path": ["/film.mp4"] * 990 + ["/a.jpg"] * 10, "modality": ["image"] * 995 + ["text"] * 5, "ordinal": [0] * 1000}
    table = pa.table({"id": ids} | columns)
    kept = space_map.mapped_ids(table)
    assert len(kept) == space_map.FEW + 5 and kept[0] == ids[0].encode()
    parts = table.set_column(3, "ordinal", pa.array([0] * 991 + list(range(1, 10))))  # of a panorama
    assert len(space_map.mapped_ids(parts)) == space_map.FEW + 1
