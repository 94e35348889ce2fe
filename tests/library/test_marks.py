"""Tags, albums, stars, favourites and hidden files: filtered by, kept when files move or change, exported."""

import json
import os
import shutil
import threading
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from samespace.core.errors import LibraryError, QueryError
from samespace.library.export import export, zip_pieces
from samespace.library.library import Library
from samespace.library.store.lance import Store
from samespace.library.store.marks import FILE, MAX_NAME, Change


@pytest.fixture
def library(tmp_path, album, tiny_space) -> Library:
    exif = Image.Exif()
    exif[0x4746] = 3
    Image.open(album / "coffee.png").convert("RGB").save(album / "starred.jpg", exif=exif)
    opened = Library(tmp_path / "library", tiny_space)
    opened.add([album])
    return opened


def found(library: Library, query: str) -> list[str]:
    return sorted(Path(hit.path).name for hit in library.search(query, top=100, group_by="file"))


@pytest.fixture(params=["copy", "database"])
def marked(request, library, album, monkeypatch) -> Library:
    if request.param == "database":
        monkeypatch.setattr(Store, "exact_index", lambda self, fingerprint: None)
    assert library.mark([album / "chelsea.png"], Change(tags=("Cat", "indoors"), albums=("Pets",), favourite=True, rating=5)) == 1
    assert library.mark([album / "more", album / "rocket.jpg"], Change(tags=("space",), albums=("Pets",), rating=2)) == 2
    assert library.mark([album / "coffee.png"], Change(hidden=True)) == 1
    return library


QUERIES = {
    "tag:cat": ["chelsea.png"],
    "tag:ca": [],
    "tag:cat OR tag:space": ["astronaut.png", "chelsea.png", "rocket.jpg"],
    "album:pets -tag:space": ["chelsea.png"],
    'album:"Pets"': ["astronaut.png", "chelsea.png", "rocket.jpg"],
    "is:favourite": ["chelsea.png"],
    "rating:>=3": ["chelsea.png", "starred.jpg"],
    "rating:3": ["starred.jpg"],
    "rating:<3": ["astronaut.png", "rocket.jpg"],
    "is:hidden": ["coffee.png"],
    "kind:image": ["astronaut.png", "chelsea.png", "rocket.jpg", "starred.jpg"],
    "anything": ["astronaut.png", "chelsea.png", "rocket.jpg", "starred.jpg"],
    "anything -tag:space": ["chelsea.png", "starred.jpg"],
}


def test_marks_are_filtered_by(marked):
    assert {query: found(marked, query) for query in QUERIES} == QUERIES


def test_ones_own_tags_are_found_by_words(marked):
    assert Path(marked.search("indoors", top=1)[0].path).name == "chelsea.png"
    assert Path(marked.search("indo", top=1)[0].path).name == "chelsea.png"
    assert [Path(hit.path).name for hit in marked.search("pets -album:pets", top=5)] == ["starred.jpg"]


def test_an_album_that_is_not_there_is_named(marked):
    with pytest.raises(QueryError, match="at character 5: there is no album 'Summer'; there are: \"Pets\""):
        marked.search("cat album:Summer")


def test_marks_are_taken_back(library, album):
    library.mark([album / "chelsea.png"], Change(tags=("a", "B"), albums=("x",), favourite=True, rating=4, hidden=True))
    library.mark(
        [album / "chelsea.png"], Change(without_tags=("b",), without_albums=("X",), favourite=False, rating=0, hidden=False)
    )
    (mark,) = library.marks.read().files.values()
    assert mark.tags == ("a",) and not (mark.albums or mark.favourite or mark.rating or mark.hidden)
    library.mark([album / "chelsea.png"], Change(without_tags=("a",)))
    assert library.marks.read().files == {}


def test_a_stars_of_ones_own_come_before_the_files(library, album):
    library.mark([album / "starred.jpg"], Change(rating=1))
    assert found(library, "rating:3") == [] and found(library, "rating:1") == ["starred.jpg"]


def test_marks_follow_files_that_are_moved_then_changed(library, album):
    library.mark([album / "chelsea.png"], Change(tags=("cat",)))
    (album / "chelsea.png").rename(album / "more" / "tabby.png")
    assert library.add([album]).moved == 1
    assert found(library, "tag:cat") == ["tabby.png"]
    picture = Image.open(album / "more" / "tabby.png").rotate(90)
    picture.save(album / "more" / "tabby.png")
    library.add([album])
    assert found(library, "tag:cat") == ["tabby.png"]
    os.remove(album / "more" / "tabby.png")
    library.add([album])
    assert found(library, "tag:cat") == [] and len(library.marks.read().files) == 1  # it may come back
    picture.save(album / "more" / "tabby.png")
    library.add([album])
    assert found(library, "tag:cat") == ["tabby.png"]


def test_a_new_file_at_its_path_takes_no_mark(library, album):
    library.mark([album / "chelsea.png"], Change(tags=("cat",), hidden=True))
    (album / "archive").mkdir()
    (album / "chelsea.png").rename(album / "archive" / "chelsea.png")
    shutil.copy(album / "coffee.png", album / "chelsea.png")  # of a camera that counts from 1 again
    library.add([album])
    marked = library.marks.read().files
    assert list(marked) == [str(album / "archive/chelsea.png")] and marked[str(album / "archive/chelsea.png")].hidden


def test_a_copy_that_is_older_than_a_change_takes_no_mark(library, album):
    shutil.copy(album / "chelsea.png", album / "more" / "chelsea.png")
    library.add([album])
    library.mark([album / "chelsea.png"], Change(tags=("cat",)))
    Image.open(album / "chelsea.png").rotate(90).save(album / "chelsea.png")
    library.add([album])
    assert list(library.marks.read().files) == [str(album / "chelsea.png")]


def test_a_copy_of_a_marked_file_is_found_with_it(library, album):
    library.mark([album / "chelsea.png"], Change(tags=("cat",)))
    shutil.copy(album / "chelsea.png", album / "copy.png")
    library.add([album])
    assert found(library, "tag:cat") == ["chelsea.png", "copy.png"]


def test_hiding_a_copy_leaves_the_other_to_be_seen(library, album):
    shutil.copy(album / "chelsea.png", album / "copy.png")
    library.add([album])
    library.mark([album / "copy.png"], Change(hidden=True))
    assert "chelsea.png" in found(library, "kind:image") and "copy.png" not in found(library, "kind:image")
    assert found(library, "is:hidden") == ["copy.png"]
    (album / "copy.png").unlink()
    library.add([album])  # what was said of the one that is gone goes to the other, but for its being hidden
    assert "chelsea.png" in found(library, "kind:image") and found(library, "is:hidden") == []


def test_marks_of_copies_that_move_together_are_each_kept(library, album):
    pets, moved = album / "pets", album / "moved"
    pets.mkdir()
    for name in ("chelsea.png", "copy.png"):
        shutil.copy(album / "chelsea.png", pets / name)
    (album / "chelsea.png").unlink()
    shutil.move(album / "rocket.jpg", pets)
    library.add([album])
    library.mark([pets / "chelsea.png"], Change(tags=("cat",)))
    library.mark([pets / "copy.png"], Change(albums=("Pets",), hidden=True))
    pets.rename(moved)
    library.add([album])
    files = library.marks.read().files
    assert files.keys() == {str(moved / "chelsea.png"), str(moved / "copy.png")}
    assert files[str(moved / "chelsea.png")].tags == ("cat",) and not files[str(moved / "chelsea.png")].hidden
    assert files[str(moved / "copy.png")].albums == ("Pets",) and files[str(moved / "copy.png")].hidden
    (moved / "copy.png").unlink()
    (moved / "chelsea.png").rename(album / "one.png")
    library.add([album])
    (mark,) = library.marks.read().files.values()  # one file is left for both
    assert mark.tags == ("cat",) and mark.albums == ("Pets",) and not mark.hidden


def test_many_mark_at_once_and_nothing_is_lost(library, album):
    def mark(n: int) -> None:
        library.mark([album / "chelsea.png"], Change(tags=(f"tag {n}",)))

    threads = [threading.Thread(target=mark, args=(n,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert library.marks.read().tags() == [(f"tag {n}", 1) for n in sorted(range(12), key=str)]


@pytest.mark.parametrize("name", ["", "  ", "a" * (MAX_NAME + 1), "two\nlines", 'a "quoted" one', "turned \u202e around"])
def test_names_that_cannot_be_asked_for_are_refused(name):
    with pytest.raises(QueryError, match="cannot be the name"):
        Change(tags=(name,))


@pytest.mark.parametrize("name", ["می\u200cخواهم", "👩\u200d👧", "été", "東京", "a\u00a0b"])
def test_names_of_every_script_are_taken(name):
    assert Change(tags=(name,)).tags == (name,)


def test_hidden_files_are_in_no_stack(library, album):
    shutil.copy(album / "chelsea.png", album / "copy.png")
    library.add([album])
    id = next(hit.id for hit in library.search("kind:image", 100) if hit.path.endswith(("chelsea.png", "copy.png")))
    assert len(library.stack(id)) == 2
    library.mark([album / "copy.png"], Change(hidden=True))
    assert [Path(hit.path).name for hit in library.stack(id)] == ["chelsea.png"]


def test_stars_are_one_to_five():
    with pytest.raises(QueryError, match="no number of stars"):
        Change(rating=6)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"format": 9, "files": {}}', '{"format": 1, "files": {"/a": {}}, "searches": {}}']
)
def test_a_broken_file_of_marks_is_one_sentence(library, content):
    (library.location.folder / FILE).write_text(content)
    with pytest.raises(LibraryError, match=r"marks\.json"):
        library.search("anything")


def test_marks_are_readable_json(library, album):
    library.mark([album / "chelsea.png"], Change(tags=("Zoë",)))
    values = json.loads((library.location.folder / FILE).read_text("utf-8"))
    assert values["files"][str(album / "chelsea.png")]["tags"] == ["Zoë"]


def test_saved_searches_are_kept_and_forgotten(library):
    library.marks.save_search("Cats", "a cat rating:>=3")
    library.marks.save_search("Dogs", "a dog")
    library.marks.save_search("Dogs", "")
    assert library.marks.read().searches == {"Cats": "a cat rating:>=3"}


def test_hits_are_exported(library, tmp_path):
    hits = library.search("kind:image", group_by="file")
    names = sorted(Path(hit.path).name for hit in hits)
    assert export(hits, tmp_path / "links") == 5
    links = sorted((tmp_path / "links").iterdir())
    assert sorted(link.name[2:] for link in links) == names and all(link.resolve().is_file() for link in links)
    export(hits, tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert sorted(archive.namelist()) == names and archive.testzip() is None
    (tmp_path / "b.zip.part").write_text("another program's download")
    os.remove(hits[0].path)
    assert export(hits, tmp_path / "b.zip") == 4 and (tmp_path / "b.zip.part").exists()
    with pytest.raises(LibraryError, match="mount their disk"):
        export(hits[:1], tmp_path / "c.zip")
    assert not (tmp_path / "c.zip").exists()
    export(hits, tmp_path / "a.m3u")
    assert (tmp_path / "a.m3u").read_text().splitlines() == ["#EXTM3U", *(hit.path for hit in hits)]
    export(hits, tmp_path / "a.html")
    assert "chelsea.png" in (tmp_path / "a.html").read_text("utf-8")


def test_a_folder_of_links_takes_long_names_or_leaves_nothing(library, album, tmp_path, monkeypatch):
    (album / ("é" * 124 + ".png")).write_bytes((album / "coffee.png").read_bytes())
    library.add([album])
    hits = library.search("kind:image")
    assert export(hits, tmp_path / "links") == len(list((tmp_path / "links").iterdir()))
    monkeypatch.setattr(os, "symlink", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(OSError, match="full"):
        export(hits, tmp_path / "again")
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize("name, message", [("a.tar", "cannot be written"), (".", "exists")])
def test_what_cannot_be_exported_is_one_sentence(library, tmp_path, name, message):
    with pytest.raises(LibraryError, match=message):
        export(library.search("kind:image"), tmp_path / name)
    with pytest.raises(LibraryError, match="nothing to export"):
        export([], tmp_path / "none")


@pytest.mark.parametrize("ending", [KeyboardInterrupt, SystemExit])
def test_marks_follow_what_moved_whatever_interrupts_the_indexing(library, album, monkeypatch, ending):
    """A process that is killed is played by one that cannot follow any more, either."""
    library.mark([album / "chelsea.png"], Change(tags=("cat",), hidden=True))
    (album / "archive").mkdir()
    (album / "chelsea.png").rename(album / "archive" / "chelsea.png")
    shutil.copy(album / "coffee.png", album / "chelsea.png")  # of a camera that counts from 1 again
    with monkeypatch.context() as patch:
        patch.setattr("samespace.library.indexing.indexer.describe_again", lambda *_: (_ for _ in ()).throw(ending))
        if ending is SystemExit:
            patch.setattr("samespace.library.store.marks.Marks.follow", lambda *_: (_ for _ in ()).throw(ending))
        with pytest.raises(ending):
            library.add([album])
    if ending is SystemExit:
        library.add([album])
    marked = library.marks.read().files
    assert list(marked) == [str(album / "archive/chelsea.png")] and marked[str(album / "archive/chelsea.png")].hidden
    assert not (library.location.folder / "following.json").exists()


def test_hidden_files_are_asked_for_in_quotes_too(library, album):
    library.mark([album / "chelsea.png"], Change(hidden=True))
    assert found(library, 'is:"hidden"') == ["chelsea.png"]


def test_files_of_one_name_are_all_in_an_archive(library, album, tmp_path):
    for folder in ("b", "c"):
        (album / folder).mkdir()
        shutil.copy(album / "coffee.png", album / folder / "a.png")
    shutil.copy(album / "coffee.png", album / "a.png")
    shutil.copy(album / "coffee.png", album / "3 a.png")
    files = [album / "3 a.png", album / "a.png", album / "b" / "a.png", album / "c" / "a.png"]
    (tmp_path / "a.zip").write_bytes(b"".join(zip_pieces(map(str, files))))
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert len({name.casefold() for name in archive.namelist()}) == 4
