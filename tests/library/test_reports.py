"""What users of other programs met, when files have odd names, times and marks; docs/reports.md has their reports."""

import os
import zipfile

import pyarrow as pa
import pytest
from PIL import Image

from samespace.library.export import export
from samespace.library.indexing import scan
from samespace.library.indexing.places import place_name
from samespace.library.indexing.scan import LAST_TIME, walk
from samespace.library.indexing.stacks import StackedFile, stacks_of
from samespace.library.library import Library
from samespace.library.search.query import parse
from samespace.library.search.where import condition_of, split
from samespace.library.store.conditions import loose
from samespace.library.store.marks import Change

NFD = {"Müller": "Mu\u0308ller", "Café": "Cafe\u0301"}


def passes(condition: str, **columns: str) -> bool:
    """Whether a segment with these columns meets a condition."""
    table = pa.table({name: [value] for name, value in columns.items()})
    (met,) = condition_of(condition).mask(table).to_pylist()
    return met


@pytest.mark.parametrize(
    "condition, column, value",
    [
        ('folder:"/p/🎂 Birthday"', "path", "/p/🎂 Birthday/a.jpg"),
        ('folder:"/p/Été – 2019"', "path", "/p/Été – 2019/b.jpg"),
        ('folder:"/p/हिन्दी"', "path", "/p/हिन्दी/d.jpg"),
        ('tag:"O’Brien"', "keywords", "sea\nO’Brien"),
        ("name:–", "path", "/p/a – b.jpg"),
        ("name:Müller", "path", f"/p/{NFD['Müller']}.jpg"),
        (f"name:{NFD['Müller']}", "path", "/p/Müller.jpg"),
        ("tag:cafe", "keywords", "Café"),
        (f"tag:{NFD['Café']}", "keywords", "Café"),
        ("place:zurich", "place", "Zürich, Switzerland"),
        ("person:jose", "people", "José Pérez"),
        ("caption:ete", "caption", f"L’{NFD['Café']} en Été"),
        ('folder:"/p/한국"', "path", "/p/한국/a.jpg"),
        ('name:"a.b(c)+[d]"', "path", "/p/a.b(c)+[d].jpg"),
        ('folder:"/p/5"" disk"', "path", '/p/5" disk/a.jpg'),
        ('tag:"say ""cheese"""', "keywords", 'say "cheese"'),
        ("folder:/p/f\uf7fcr", "path", "/p/f\uf7fcr/a.jpg"),
    ],
)
def test_names_are_found_as_people_write_them(condition, column, value):
    columns = {"path": "/x", "keywords": "", "place": "", "people": "", "caption": "", "text": "", "hash": "0"} | {column: value}
    assert passes(condition, **columns)
    assert not passes(condition, **columns | {column: "something else"})


def test_a_pattern_is_no_looser_than_accents():
    import re

    assert re.fullmatch(loose("a.b"), "a.b") and not re.fullmatch(loose("a.b"), "axb")
    assert re.fullmatch(loose("résumé"), "resume") and not re.fullmatch(loose("resume"), "resumes")


@pytest.mark.parametrize("query", ["text: hello", "date: 3 May", "year: 2019", "tag:"])
def test_a_word_before_a_colon_is_a_word(query):
    assert split(query) == (query, None)


def stacked(name: str, taken: float, look: bytes | None) -> StackedFile:
    return StackedFile(f"/a/{name}.jpg", name, "image", 100, 1, taken, "EPSON V600", "", look)


def test_scans_of_one_date_are_no_burst_and_pictures_of_one_moment_are():
    import numpy as np

    rng = np.random.default_rng(0)
    looks = [rng.integers(0, 256, 1024, dtype=np.uint8) for _ in range(8)]
    assert stacks_of([stacked(str(i), 0.0, look.tobytes()) for i, look in enumerate(looks)]) == {}
    moving = [np.clip(looks[0].astype(int) + rng.integers(-30, 30, 1024), 0, 255).astype(np.uint8) for _ in range(4)]
    burst = stacks_of([stacked(str(i), i / 3, look.tobytes()) for i, look in enumerate(moving)])
    assert len(burst) == 4 and len(set(burst.values())) == 1


def test_a_file_of_an_impossible_time_is_found_with_one_that_can_be_stored(tmp_path):
    far = tmp_path / "far.jpg"
    far.write_bytes(b"x")
    os.utime(far, ns=(0, 2**63 + 10**18))
    if far.stat().st_mtime_ns <= LAST_TIME:
        pytest.skip("this file system keeps no such time")
    (file,) = walk([tmp_path], (), [])
    assert file.mtime == LAST_TIME == file.described and pa.array([file.mtime], pa.int64())


def test_what_systems_throw_away_is_left_out_in_any_case_of_letters(tmp_path):
    for name in ("$Recycle.Bin/S-1/a.jpg", "@Recycle/b.jpg", "RECYCLER/c.jpg", "#RECYCLE/d.jpg", "mine/e.jpg"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(b"x")
    assert [os.path.basename(file.path) for file in walk([tmp_path], (), [])] == ["e.jpg"]


@pytest.mark.parametrize(
    "lat, lon, has, lacks",
    [
        (47.5596, 7.5886, "Switzerland", "France"),
        (-4.2661, 15.2832, "Brazzaville", "Kinshasa"),
        (41.8902, 12.4922, "Rome", "Vatican"),
    ],
)
def test_a_place_has_no_city_of_another_country(lat, lon, has, lacks):
    name = place_name(lat, lon)
    assert has in name and lacks not in name


def test_a_title_with_a_colon_is_words_and_a_weight_stays_one():
    assert [(term.weight, term.text) for term in parse("2001: A Space Odyssey")] == [(1.0, "2001: A Space Odyssey")]
    assert [(term.weight, term.text) for term in parse("24: the series + 2:dog")] == [(1.0, "24: the series"), (2.0, "dog")]


def test_a_folder_that_was_renamed_and_is_indexed_by_its_new_name_has_moved(tmp_path, album, tiny_space, monkeypatch):
    library = Library(tmp_path / "library", tiny_space)
    library.add([album])
    count = library.store.count()
    library.mark([album / next(path.name for path in album.iterdir() if path.is_file())], Change(tags=("dear",)))
    renamed = album.rename(tmp_path / "renamed")
    report = library.add([renamed])
    assert report.moved + report.reused >= 4 and report.added == 0 and library.store.count() == count
    hits = library.search("a cat", 20, group_by="file")
    assert hits and all(hit.path.startswith(str(renamed)) for hit in hits)
    assert [hit.path.startswith(str(renamed)) for hit in library.search("tag:dear", 5)] == [True]
    monkeypatch.setattr(scan, "MOUNT_POINTS", (f"{tmp_path}/",))  # a disk that may come back
    again = renamed.rename(tmp_path / "again")
    assert library.add([again]).moved == 0 and library.store.count() == 2 * count


@pytest.mark.parametrize("seconds, together", [(3.0, True), (600.0, False)])
def test_a_long_film_is_not_the_one_of_a_live_photo(seconds, together):
    film = StackedFile("/a/lecture.mp4", "film", "video", 100, 1, None, "", "", None, seconds)
    assert bool(stacks_of([stacked("lecture", 0.0, None), film])) == together


def test_a_link_to_a_folder_elsewhere_is_told(tmp_path):
    for name in ("mine/below", "other"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "mine" / "linked").symlink_to(tmp_path / "other", target_is_directory=True)
    (tmp_path / "mine" / "loop").symlink_to(tmp_path / "mine" / "below", target_is_directory=True)
    problems: list[tuple[str, str]] = []
    assert list(walk([tmp_path / "mine"], (), problems)) == []
    assert [(os.path.basename(path), "give the folder itself" in reason) for path, reason in problems] == [("linked", True)]


def test_names_that_differ_in_case_are_two_files_wherever_a_zip_is_unpacked(tmp_path, tiny_space):
    for name in ("one/Cat.jpg", "two/cat.jpg"):
        (tmp_path / name).parent.mkdir()
        Image.new("RGB", (64, 64), "red" if "one" in name else "blue").save(tmp_path / name)
    library = Library(tmp_path / "library", tiny_space)
    library.add([tmp_path / "one", tmp_path / "two"])
    export(library.search("kind:image"), tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert len({name.casefold() for name in archive.namelist()}) == 2
