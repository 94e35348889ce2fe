"""A library over real files: what is added, reused, moved, removed, and what survives a kill."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from samespace.core.errors import LibraryBusy, LibraryError, QueryError, UnknownSpace, WrongSpace
from samespace.library.indexing import segments
from samespace.library.library import Library
from samespace.library.store.filter import Filter
from samespace.library.store.lance import Store
from samespace.spaces.space import Space


@pytest.fixture
def library(tmp_path, tiny_space) -> Library:
    return Library(tmp_path / "library", tiny_space)


def names(library: Library) -> list[str]:
    """Every file of the library, by name."""
    return sorted(Path(h.path).name for h in library.search("anything", top=10_000, group_by="file"))


ALL = ["astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg"]


def test_index_then_search(library, album, tiny_space):
    report = library.add([album])
    assert (report.added, report.same, report.skipped) == (4, 0, [])
    assert names(library) == ALL
    z = tiny_space.text(["a cat"])[0]
    expected = sorted(((float(tiny_space.image([f])[0] @ z), f.name) for f in album.rglob("*.*")), reverse=True)
    hits = library.search("a cat")
    assert [h.score for h in hits] == pytest.approx([s for s, _ in expected], abs=2e-3)
    assert [h.rank for h in hits] == [1, 2, 3, 4]
    assert {(h.kind, h.width) for h in hits} >= {("image", 451)}


SEARCH = """
import sys
from samespace.library.library import Library
assert len(Library(sys.argv[1], sys.argv[2]).search("a cat")) == 4
unneeded = "pandas", "pyarrow.compute", "lancedb", "torch", "av", "pypdfium2", "ray", "samespace.library.indexing.segments"
print([name for name in unneeded if name in sys.modules])
"""


def test_a_search_of_a_small_library_imports_little(library, album, tiny_space_folder):
    library.add([album])
    command = [sys.executable, "-c", SEARCH, str(library.location), str(tiny_space_folder)]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "[]\n"


def test_a_second_run_embeds_nothing(library, album):
    library.add([album])
    report = library.add([album])
    assert (report.added, report.same, report.processed) == (0, 4, 0)


def test_touched_files_are_recognised_by_their_content(library, album):
    library.add([album])
    os.utime(album / "coffee.png", (1, 1))
    report = library.add([album])
    assert (report.added, report.reused, report.same) == (0, 1, 3)


def test_moved_files_keep_their_vectors(library, album):
    library.add([album])
    (album / "coffee.png").rename(album / "more" / "latte.png")
    report = library.add([album])
    assert (report.added, report.reused, report.moved, report.removed) == (0, 0, 1, 0)
    assert names(library) == ["astronaut.png", "chelsea.png", "latte.png", "rocket.jpg"]


def test_equal_contents_are_embedded_once(library, album):
    for i in range(40):
        shutil.copy(album / "coffee.png", album / f"copy {i}.png")
    report = library.add([album])
    assert (report.added, report.reused) == (4, 40)
    hits = library.search("coffee", top=100)
    assert len({h.score for h in hits if "co" in Path(h.path).name}) == 1


def test_changed_content_is_embedded_again(library, album, tiny_space):
    library.add([album])
    shutil.copy(album / "rocket.jpg", album / "coffee.png")
    report = library.add([album])
    assert (report.added, report.reused, report.same) == (0, 1, 3)
    Image.new("RGB", (50, 50), "red").save(album / "coffee.png")
    assert library.add([album]).added == 1
    z = tiny_space.image([album / "coffee.png"])[0]
    hit = next(h for h in library.search("a cat") if h.path.endswith("coffee.png"))
    assert hit.score == pytest.approx(float(tiny_space.text(["a cat"])[0] @ z), abs=2e-3)


def test_a_copy_of_what_has_changed_since_is_embedded(library, album):
    """b.png is a copy of what a.png was, and a.png changes: no indexed file has the content of b.png any more."""
    shutil.copy(album / "coffee.png", album / "a.png")
    (album / "coffee.png").unlink()
    library.add([album])
    shutil.copy(album / "a.png", album / "b.png")
    Image.new("RGB", (50, 50), "red").save(album / "a.png")
    report = library.add([album])
    assert report.skipped == [] and report.added + report.reused == 2
    assert "b.png" in names(library)


def test_equal_files_are_all_skipped_or_all_indexed(library, album):
    for i in range(5):
        (album / f"broken {i}.jpg").write_bytes(b"\xff\xd8 no picture")
    report = library.add([album])
    assert sorted(Path(p).name for p, _ in report.skipped) == [f"broken {i}.jpg" for i in range(5)]
    shutil.copy(album / "coffee.png", album / "b.png")
    shutil.copy(album / "coffee.png", album / "c.png")
    Image.new("RGB", (50, 50), "red").save(album / "coffee.png")
    library.add([album])
    assert {"b.png", "c.png", "coffee.png"} <= set(names(library))


def test_what_is_forgotten_is_not_found(library, album, tmp_path):
    library.add([album])
    shutil.copytree(album, tmp_path / "album 2")
    library.add([tmp_path / "album 2"])  # its name begins like the other's
    album.rename(tmp_path / "away")
    with pytest.raises(LibraryError, match="samespace forget"):
        library.add([album])
    assert library.forget([album]) == 4 and len(names(library)) == 4
    assert library.forget([tmp_path / "album 2" / "coffee.png"]) == 1 and library.forget([tmp_path / "nothing"]) == 0
    assert "coffee.png" not in names(library) and (tmp_path / "album 2" / "coffee.png").exists()


def test_an_indexed_folder_that_is_empty_now_is_refused(library, album):
    """As the folder of a disk that is not mounted."""
    library.add([album])
    for file in list(album.iterdir()):
        shutil.rmtree(file) if file.is_dir() else file.unlink()
    with pytest.raises(LibraryError, match="4 of its files are indexed; mount its disk"):
        library.add([album])
    assert library.store.count() == 4


def test_removed_files_are_not_found(library, album):
    library.add([album])
    (album / "coffee.png").unlink()
    shutil.rmtree(album / "more")
    report = library.add([album])
    assert (report.removed, report.same) == (2, 2)
    assert names(library) == ["chelsea.png", "rocket.jpg"]


def test_other_roots_are_left_alone(library, album, tmp_path):
    library.add([album])
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(album / "rocket.jpg", other / "launch.jpg")
    report = library.add([other])
    assert (report.reused, report.removed) == (1, 0)
    assert len(names(library)) == 5


def test_bad_files_are_skipped_and_reported(library, album):
    (album / "empty.jpg").touch()
    (album / "text.png").write_text("hello")
    (album / "drawing.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'>")
    (album / "cut.png").write_bytes((album / "coffee.png").read_bytes()[:5000])
    report = library.add([album])
    assert report.added == 4
    assert sorted(Path(p).name for p, _ in report.skipped) == ["cut.png", "drawing.svg", "empty.jpg", "text.png"]
    assert library.add([album]).added == 0


def test_files_that_became_empty_or_broken_are_not_found(library, album):
    library.add([album])
    (album / "coffee.png").write_bytes(b"")
    (album / "chelsea.png").write_bytes(b"no picture any more")
    report = library.add([album])
    assert (report.removed, len(report.skipped), names(library)) == (2, 2, ["astronaut.png", "rocket.jpg"])


def test_a_broken_space_stops_the_run(library, album, monkeypatch):
    def fail(path: Path, space: Space):
        raise UnknownSpace("audio.onnx cannot be opened; pull the space again")

    (album / "note.wav").write_bytes(b"RIFF")
    monkeypatch.setitem(segments.STREAMED, "audio", fail)
    with pytest.raises(UnknownSpace, match="pull the space again"):
        library.add([album])


def test_odd_names_are_found(library, album):
    odd = [b"with space.png", "émoji 🐈.png".encode(), b"new\nline.png", b"quote'\".png", b"latin\xe9.png"]
    for i, name in enumerate(odd):
        Image.new("RGB", (40, 40), (i * 40, 0, 0)).save(album / "x.png")
        os.rename(os.fsencode(album / "x.png"), os.fsencode(album) + b"/" + name)
    assert library.add([album]).added == 9
    found = {os.fsencode(h.path) for h in library.search("red", top=20)}
    assert {os.fsencode(album) + b"/" + name for name in odd} <= found
    assert library.add([album]).same == 9


def test_searching_by_an_image_leaves_that_image_out(library, album):
    library.add([album])
    hits = library.search(str(album / "coffee.png"))
    assert len(hits) == 3 and all("coffee" not in h.path for h in hits)


def test_filters(library, album):
    library.add([album])
    under = library.search("x", filter=Filter(under=str(album / "more")))
    assert [Path(h.path).name for h in under] == ["astronaut.png"]
    assert library.search("x", filter=Filter(kinds=("audio",))) == []


def test_a_missing_root_is_skipped_and_refused_alone(library, album, tmp_path):
    typo = tmp_path / "typo"
    ((path, reason),) = library.add([typo, album]).skipped
    assert path == str(typo) and "does not exist; give one that does" in reason
    assert names(library) == ALL
    with pytest.raises(LibraryError, match="does not exist"):
        library.add([typo])
    away = album.rename(tmp_path / "away")
    ((path, reason),) = library.add([away, album]).skipped
    assert path == str(album) and f"samespace forget {album}" in reason


def test_the_home_of_an_unknown_user_is_a_missing_folder(library):
    with pytest.raises(LibraryError, match="does not exist"):
        library.add(["~no such user/pictures"])


def test_an_empty_folder_is_fine(library, tmp_path):
    (tmp_path / "empty").mkdir()
    report = library.add([tmp_path / "empty"])
    assert report.processed == 0
    assert library.search("a cat") == []


def test_no_library_yet(library):
    with pytest.raises(LibraryError, match="samespace index DIR"):
        library.search("a cat")
    assert not library.location.folder.exists()


@pytest.fixture
def other_space(tmp_path, tiny_space_folder) -> Space:
    """The same towers with another fingerprint."""
    folder = tmp_path / "other"
    shutil.copytree(tiny_space_folder, folder)
    text = (folder / "space.json").read_text()
    (folder / "space.json").write_text(text.replace('"weights": "', '"weights": "f00'))
    return Space(folder)


def test_another_space_is_refused_with_a_remedy(library, album, other_space):
    library.add([album])
    other = Library(library.location.folder, other_space)
    for act in (lambda: other.search("a cat"), lambda: other.add([album])):
        with pytest.raises(WrongSpace, match="--additional"):
            act()


def test_another_space_is_added(library, album, other_space, tiny_space):
    library.add([album])
    before = [(h.path, h.score) for h in library.search("a cat")]
    other = Library(library.location.folder, other_space)
    (album / "rocket.jpg").rename(album / "moved.jpg")
    assert other.add([album], additional=True).added == 4
    assert len(other.search("a cat")) == 4
    assert len(library.search("a cat")) == 3  # rocket.jpg left; moved.jpg has no vector of the first space yet
    assert library.add([album]).processed == 1
    after = {Path(p).name: s for p, s in before}
    for hit in library.search("a cat"):
        assert hit.score == pytest.approx(after[Path(hit.path).name.replace("moved", "rocket")], abs=2e-3)


def test_another_process_has_to_wait(library, album):
    with Store(library.location).writing(), pytest.raises(LibraryBusy, match="another process"):
        library.add([album])
    with library.store.writing():  # the one that holds it need not
        assert library.add([album]).added


def many_pictures(folder: Path, count: int) -> None:
    rng = np.random.default_rng(0)
    folder.mkdir(exist_ok=True)
    for i in range(count):
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).resize((600, 400)).save(folder / f"{i:04}.jpg")


INDEX = """
import sys
from samespace.library.indexing import indexer
from samespace.library.library import Library
indexer.FLUSH_ROWS = 32
lib = Library(sys.argv[1], sys.argv[2])
lib.add([sys.argv[3]], progress=lambda report, done, total: print(report.added, flush=True))
"""


@pytest.mark.parametrize(("sig", "moments"), [(signal.SIGKILL, (32, 96)), (signal.SIGINT, (64,))])
def test_a_killed_run_is_continued(tmp_path, tiny_space_folder, sig, moments):
    """Kill the indexer at several moments; what was written stays, nothing is written by halves, the next run completes it."""
    pictures, path = tmp_path / "many", tmp_path / "library"
    many_pictures(pictures, 160)
    command = [sys.executable, "-c", INDEX, str(path), str(tiny_space_folder), str(pictures)]
    kept, codes = 0, []
    for written in moments:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            for line in process.stdout:
                if int(line) >= written - kept:
                    break
            time.sleep(0.02 * written / 32)
            process.send_signal(sig)
        codes.append(process.returncode)
        library = Library(path, tiny_space_folder)
        rows = library.store.table.to_arrow()
        ids = rows["id"].to_pylist()
        assert len(ids) == len(set(ids)) >= kept
        assert rows[f"z_{library.space.fingerprint}"].null_count == 0
        kept = len(ids)
        assert len(library.search("x", top=1000)) == kept
    assert any(codes), codes  # it was hit while it ran
    report = Library(path, tiny_space_folder).add([pictures])
    assert report.same >= kept and report.same + report.added == 160
    assert len(Library(path, tiny_space_folder).search("x", top=1000)) == 160


def test_files_of_a_folder_that_cannot_be_read_are_kept(library, album, monkeypatch):
    """An unreadable folder or a failing disk says nothing about what is gone."""
    library.add([album])
    real, scan_dir = os.lstat, os.scandir

    def denied(path, real):
        if "more" in os.fspath(path):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "lstat", lambda p: denied(p, real))
    monkeypatch.setattr(os, "scandir", lambda p: denied(p, scan_dir))
    report = library.add([album])
    assert report.removed == 0 and [Path(p).name for p, _ in report.skipped] == ["more"]
    assert names(library) == ALL


def test_huge_files_are_not_read(library, album):
    with open(album / "disk.raw", "wb") as file:
        file.truncate(5_000_000_000)  # sparse
    report = library.add([album])
    assert [(Path(p).name, r[:6]) for p, r in report.skipped] == [("disk.raw", "5.0 GB")]


def test_names_with_private_use_characters_are_kept(library, album):
    (album / "coffee.png").rename(album / "pua\uf7e9.png")
    assert library.add([album]).added == 4
    for _ in range(2):
        report = library.add([album])
        assert (report.same, report.processed, report.removed) == (4, 0, 0)
    assert "pua\uf7e9.png" in names(library)


@pytest.mark.parametrize("query", ["./nosuch.jpg", "2:/nowhere/a", "a cat + ~/nosuch", "ALBUM/more"])
def test_a_path_that_is_no_file_is_not_words(library, album, query):
    library.add([album])
    with pytest.raises(QueryError, match="check the path"):
        library.search(query.replace("ALBUM", str(album)))
    assert library.search(query, files=False)
    assert library.search("black/white photo of a cat.")
    assert library.search("nosuch.jpg")  # the name of a file may be a name that is indexed


def test_a_query_may_hold_invalid_text_and_is_limited(library, album):
    library.add([album])
    assert len(library.search("caf\udce9")) == 4
    with pytest.raises(QueryError, match="400 terms"):
        library.search(" + ".join(["a cat"] * 400))


def test_searching_by_an_image_whose_name_is_not_unicode(library, album):
    os.rename(os.fsencode(album / "coffee.png"), os.fsencode(album) + b"/caf\xe9.png")
    library.add([album])
    assert len(library.search(os.fsdecode(os.fsencode(album) + b"/caf\xe9.png"))) == 3
    assert len(library.search("x", filter=Filter(under=os.fsdecode(os.fsencode(album) + b"/no\xe9")))) == 0


def test_new_files_make_the_other_space_incomplete(library, album, other_space, photographs):
    """The default space is one that has a vector of every file."""
    library.add([album])
    other = Library(library.location.folder, other_space)
    other.add([album], additional=True)
    assert library.store.metadata.default_space() == other_space.handle
    shutil.copy(photographs / "page.png", album)
    library.add([album])
    assert library.store.metadata.default_space() == library.space.handle


@pytest.mark.parametrize("left", [[], [".DS_Store"], ["Thumbs.db", "lost+found"]])
def test_a_disk_that_is_not_mounted_takes_nothing_along(tmp_path, album, tiny_space, left):
    """immich#17290, #30817: a mount point that is not quite empty, and one below the folder that is indexed."""
    library = Library(tmp_path / "library", tiny_space)
    library.add([album])
    disk, away = album / "more", tmp_path / "away"
    disk.rename(away)
    disk.mkdir()
    for name in left:
        (disk / name).touch()
    report = library.add([album])
    assert report.removed == 0 and library.contains(disk / "astronaut.png")
    ((folder, reason),) = report.skipped
    assert folder == str(disk) and f"samespace forget {disk}" in reason
    shutil.rmtree(disk)
    away.rename(disk)
    report = library.add([album])
    assert (report.removed, report.same, report.skipped) == (0, 4, [])

    album.rename(away)
    album.mkdir()
    for name in left:
        (album / name).touch()
    with pytest.raises(LibraryError, match="is empty now, and 4 of its files are indexed; mount its disk"):
        library.add([album])
    assert library.contains(disk / "astronaut.png")


def test_what_was_moved_out_of_a_folder_that_stays_empty_is_moved(tmp_path, album, tiny_space):
    library = Library(tmp_path / "library", tiny_space)
    library.add([album])
    (album / "more" / "astronaut.png").rename(album / "astronaut.png")
    report = library.add([album])
    assert (report.moved, report.removed) == (1, 0)
    assert not library.contains(album / "more" / "astronaut.png") and library.contains(album / "astronaut.png")


def test_a_folder_that_is_deleted_or_has_other_files_is_no_mount_point(tmp_path, album, tiny_space):
    library = Library(tmp_path / "library", tiny_space)
    library.add([album])
    shutil.rmtree(album / "more")
    assert library.add([album]).removed == 1
    for name in ("chelsea.png", "coffee.png"):
        (album / name).unlink()
    assert library.add([album]).removed == 2
