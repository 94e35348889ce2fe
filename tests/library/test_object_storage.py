"""A library on object storage: a local S3 server (moto) holds its tables, a folder here the copies that searches read."""

import shutil

import platformdirs
import pytest

from samespace.core.errors import LibraryError
from samespace.library.library import Library

pytestmark = pytest.mark.filterwarnings("ignore")  # of boto3 and moto
WHERE = "s3://pictures/of mine"


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Change to another machine: one with empty caches."""

    def change(name: str):
        monkeypatch.setattr(platformdirs, "user_cache_path", lambda *_: tmp_path / name)
        return tmp_path / name

    change("one")
    return change


@pytest.fixture
def folder(tmp_path, photographs):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("coffee.png", "chelsea.png", "rocket.jpg"):
        shutil.copy(photographs / name, folder)
    return folder


def found(library: Library) -> list[tuple[str, float]]:
    return [(hit.path, round(hit.score, 3)) for hit in library.search("anything at all", 10, group_by="file")]


def test_many_machines_read_what_one_has_written(bucket, machine, folder, tmp_path, tiny_space):
    here = Library(tmp_path / "library", tiny_space)
    here.add([folder])
    there = Library(WHERE, tiny_space)
    assert there.add([folder]).added == 3 and found(there) == found(here)
    kept = {item["Key"] for item in bucket.list_objects_v2(Bucket="pictures")["Contents"]}
    assert "of mine/library.json" in kept and any(key.startswith("of mine/segments.lance/") for key in kept)
    cache = machine("two")
    reader = Library(WHERE, tiny_space)
    assert found(reader) == found(here) and list(cache.rglob("exact-*.arrow"))
    machine("one")
    (folder / "rocket.jpg").unlink()
    shutil.copy(folder / "coffee.png", folder / "again.png")
    report = Library(WHERE, tiny_space).add([folder])
    assert (report.same, report.reused, report.removed) == (2, 1, 1)
    machine("two")
    assert {path for path, _ in found(reader)} == {str(folder / n) for n in ("coffee.png", "chelsea.png", "again.png")}


def test_a_missing_library_is_one_sentence(bucket, machine, tiny_space):
    with pytest.raises(LibraryError, match=f"no library at {WHERE} yet"):
        Library(WHERE, tiny_space).search("anything")
    with pytest.raises(LibraryError, match="gopher://x"):
        Library("gopher://x/y", tiny_space).search("anything")


def test_captions_are_found_by_their_words(bucket, machine, folder, tiny_space):
    library = Library(WHERE, tiny_space)
    library.add([folder])
    assert library.write_captions({str(folder / "chelsea.png"): "a tabby named Chelsea"}) == 1
    assert library.search("chelsea tabby", 1)[0].path == str(folder / "chelsea.png")
