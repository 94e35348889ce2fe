"""Which files are found, and which have to be embedded again."""

import os
from pathlib import Path

import pytest

from samespace.library.indexing.scan import compare, walk
from samespace.library.store.records import File, IndexedFile


def found(root: Path, exclude=()) -> tuple[list[str], list[tuple[str, str]]]:
    problems = []
    return [os.path.relpath(f.path, root) for f in walk([root], exclude, problems)], problems


@pytest.fixture
def tree(tmp_path) -> Path:
    for name in ("b.jpg", "a.PNG", "notes.doc.bak", "sub/c.webp", "sub/deep/d.tif", ".hidden/e.jpg", "@eaDir/f.jpg", "#recycle/f.jpg", "node_modules/g.jpg",
                 ".thumb.jpg", "skip me/h.jpg"):  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return tmp_path


def test_walk_finds_media_only_in_order(tree):
    assert found(tree) == (["a.PNG", "b.jpg", "skip me/h.jpg", "sub/c.webp", "sub/deep/d.tif"], [])


def test_excluded_folders_are_not_entered(tree):
    assert found(tree, ["skip me", "deep"])[0] == ["a.PNG", "b.jpg", "sub/c.webp"]


def test_overlapping_roots_give_each_file_once(tree):
    files = list(walk([tree, tree / "sub", tree / "sub" / "c.webp"], (), []))
    assert len({f.path for f in files}) == len(files) == 5


def test_links_to_folders_are_not_followed_and_dead_links_are_named(tree):
    (tree / "sub" / "loop").symlink_to(tree, target_is_directory=True)
    (tree / "dead.jpg").symlink_to(tree / "nowhere.jpg")
    (tree / "alive.jpg").symlink_to(tree / "b.jpg")
    names, problems = found(tree)
    assert "alive.jpg" in names and "dead.jpg" not in names and len(names) == 6
    assert [Path(p).name for p, _ in problems] == ["dead.jpg"]


def test_pipes_are_not_opened(tree):
    os.mkfifo(tree / "pipe.jpg")
    names, problems = found(tree)
    assert "pipe.jpg" not in names and len(problems) == 1


def test_odd_names(tmp_path):
    names = ["with space.jpg", "émoji 🐈.jpg", "new\nline.jpg", "quote'\".jpg", "-dash.jpg"]
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    with open(os.fsencode(tmp_path) + b"/latin\xe9.jpg", "wb") as file:
        file.write(b"x")
    assert sorted(found(tmp_path)[0]) == sorted([*names, "latin\udce9.jpg"])


def a_file(path: str, size: int = 1, mtime: int = 1) -> File:
    return File(path, "/r", "image", size, mtime)


def test_what_is_new_changed_or_without_a_vector_is_to_be_embedded():
    indexed = {
        "/r/same": IndexedFile(1, 1, "h", True),
        "/r/grown": IndexedFile(1, 1, "h", True),
        "/r/touched": IndexedFile(1, 1, "h", True),
        "/r/bare": IndexedFile(1, 1, "h", False),
        "/r/gone": IndexedFile(1, 1, "h", True),
        "/elsewhere/gone": IndexedFile(1, 1, "h", True),
        "/r2/gone": IndexedFile(1, 1, "h", True),
    }
    files = [a_file("/r/same"), a_file("/r/grown", size=2), a_file("/r/touched", mtime=2), a_file("/r/bare"), a_file("/r/new")]
    changes = compare(files, indexed, [Path("/r")])
    assert [f.path for f in changes.to_embed] == ["/r/grown", "/r/touched", "/r/bare", "/r/new"]
    assert (changes.same, changes.gone) == (1, ["/r/gone"])


def test_a_file_whose_name_is_spelt_otherwise_now_is_gone(tmp_path, monkeypatch):
    """As where IMG.JPG and img.jpg are one file: two links stand for that here, of which the folder lists one."""
    (tmp_path / "img.jpg").write_bytes(b"x")
    os.link(tmp_path / "img.jpg", tmp_path / "IMG.JPG")
    files, indexed = [a_file(str(tmp_path / "img.jpg"))], {str(tmp_path / "IMG.JPG"): IndexedFile(1, 1, "h", True)}
    assert compare(files, indexed, [tmp_path]).gone == []  # two files
    monkeypatch.setattr("samespace.library.indexing.scan.os.listdir", lambda folder: ["img.jpg"])
    assert compare(files, indexed, [tmp_path]).gone == [str(tmp_path / "IMG.JPG")]


def test_what_describes_a_file_counts_however_old_it_is(tree):
    def described() -> int:
        return next(file.described for file in walk([tree], (), []) if file.path.endswith("b.jpg"))

    bare = described()
    (tree / "b.jpg.xmp").write_text("<x/>")
    os.utime(tree / "b.jpg.xmp", (1_000, 1_000))  # from a backup
    with_xmp = described()
    (tree / "b.jpg.json").write_text("{}")
    os.utime(tree / "b.jpg.json", (500, 500))
    with_both = described()
    (tree / "b.jpg.json").unlink()
    assert len({bare, with_xmp, with_both}) == 3 and described() == with_xmp
    (tree / "b.jpg.xmp").unlink()
    assert described() == bare


def test_a_file_that_is_only_excluded_is_not_gone(tree):
    indexed = {str(tree / "skip me/h.jpg"): IndexedFile(1, 1, "h", True)}
    assert compare(walk([tree], ["skip me"], []), indexed, [tree]).gone == []


def test_films_and_recordings_of_every_ending_are_taken_and_other_media_is_named(tmp_path):
    taken = "a.mts a.M2TS a.mpg a.vob a.3gp a.wmv a.flv a.ogv a.m4b PXL_1.MP a.amr a.psd a.apng a.heics a.docm".split()
    for name in (*taken, "a.xcf", "song.mid", "player.ts", "list.m3u", "a.py", "a.zip"):
        (tmp_path / name).write_bytes(b"x")
    names, problems = found(tmp_path)
    assert sorted(names) == sorted(taken)
    assert {Path(path).name for path, _ in problems} == {"a.xcf", "song.mid"}
    assert all("files are not read; save it as" in reason for _, reason in problems)
