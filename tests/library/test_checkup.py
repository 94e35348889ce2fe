"""A library whose files were damaged: `doctor` finds it whole or mends it, and indexing again makes it what it was."""

import json
import shutil
from collections import defaultdict

import numpy as np
import pytest
from lancedb.index import BTree
from PIL import Image
from typer.testing import CliRunner

from samespace.cli.main import app
from samespace.core.errors import LibraryBusy, LibraryError
from samespace.library.checkup import check_up
from samespace.library.library import Library
from samespace.library.store.lance import Store
from samespace.library.store.location import Location
from samespace.library.store.marks import Change
from samespace.library.store.storage import Folder

COUNT = 24


@pytest.fixture(scope="module")
def made(tmp_path_factory, tiny_space_folder):
    """A folder with pictures, and a library of them that was written in two parts, with marks, a concept and texts."""
    folder = tmp_path_factory.mktemp("made")
    rng = np.random.default_rng(0)
    (folder / "pictures").mkdir()
    library = Library(folder / "library", tiny_space_folder)
    for part in range(2):
        for i in range(part * COUNT // 2, (part + 1) * COUNT // 2):
            Image.fromarray(rng.integers(0, 255, (24, 32, 3), np.uint8)).save(folder / "pictures" / f"{i}.png")
        library.add([folder / "pictures"])
    library.mark([folder / "pictures" / "3.png"], Change(tags=("blue",)))
    library.learn("noise", yes=[folder / "pictures" / "5.png"])
    library.write_captions({str(folder / "pictures" / "7.png"): "grey noise"})
    return folder


@pytest.fixture
def damaged(made, tmp_path, monkeypatch):
    """A copy of the library, to be damaged. Pictures are the same files."""
    shutil.copytree(made / "library", tmp_path / "library")
    return tmp_path / "library"


def contents(path, space) -> dict[str, tuple[str, bytes]]:
    """Return id → path and vector, of what the table holds and a search returns."""
    library = Library(path, space)
    ids, z = library.store.vectors(library.space.fingerprint)
    assert len(ids) == len(set(ids)) == len(library.search("x", top=1000, group_by="file"))
    return dict(zip(ids, (row.tobytes() for row in z)))


def files_of(folder, newest: bool = False) -> list[str]:
    """Return the names of a library's files: of those of one folder and ending, the oldest and the newest, or the newest only; and marks.json."""
    kinds = defaultdict(list)
    for path in folder.rglob("*"):
        if path.is_file() and path.stat().st_size:
            kinds[path.parent, path.suffix].append(path)
    ordered = (sorted(paths, key=lambda path: path.stat().st_mtime_ns) for paths in kinds.values())
    chosen = {path for paths in ordered for path in ((paths[-1],) if newest else (paths[0], paths[-1]))} | {folder / "marks.json"}
    return sorted(str(path.relative_to(folder)) for path in chosen)


def test_a_whole_library_is_said_to_be_whole(made, damaged, tiny_space_folder):
    before = contents(damaged, tiny_space_folder)
    said = CliRunner().invoke(app, ["doctor", "--library", str(damaged)])
    assert said.exit_code == 0 and said.output.strip() == f"{damaged} is whole"
    assert contents(damaged, tiny_space_folder) == before and len(before) == COUNT


DAMAGES = {
    "emptied": lambda data: b"",
    "cut": lambda data: data[: len(data) // 2],
    "zeroed": lambda data: bytes(len(data)),
    "zeroed at the end": lambda data: data[: len(data) // 2] + bytes(len(data) - len(data) // 2),
    "removed": lambda data: None,
}
"""What a power cut, or a failing disk, makes of a file."""
EVERYWHERE = ("removed", "zeroed at the end")
"""Damages of the oldest files, too; the others are the likes of these, and are done to the newest."""


@pytest.mark.parametrize("how", DAMAGES)
def test_damage_to_any_file_is_mended(made, tmp_path, tiny_space_folder, how):
    """Each of a library's files in turn: afterwards the library is what it was, but for marks and concepts, which are put aside."""
    expected = contents(made / "library", tiny_space_folder)
    names, said = files_of(made / "library", newest=how not in EVERYWHERE), dict[str, list[str]]()
    for name in names:
        shutil.rmtree(tmp_path / "library", ignore_errors=True)
        shutil.copytree(made / "library", tmp_path / "library")
        file = tmp_path / "library" / name
        if (data := DAMAGES[how](file.read_bytes())) is None:
            file.unlink()
        else:
            file.write_bytes(data)
        said[name] = [str(finding) for finding in list(check_up(Location(tmp_path / "library")))]
        library = Library(tmp_path / "library", tiny_space_folder)
        library.add([made / "pictures"])
        assert contents(tmp_path / "library", tiny_space_folder) == expected, (name, said[name])
        if name == "marks.json" and how != "removed":
            assert said[name] and (tmp_path / "library" / "marks.json.damaged").exists()
        elif name != "marks.json":
            assert [mark.tags for mark in library.marks.read().files.values()] == [("blue",)], name
        if (
            "_versions" in name
        ):  # nothing but the list of files is damaged: the caption, which indexing does not make again, stays
            assert any(hit.text == "grey noise" for hit in library.search("x", top=100)), (name, said[name])
        assert list(check_up(Location(tmp_path / "library"))) == [], name
    assert any("marks.json" in name for name in names) and any("data/" in name for name in names)


def test_segments_that_are_there_twice_or_wrong_are_mended(made, damaged, tiny_space_folder):
    before, library = contents(damaged, tiny_space_folder), Library(damaged, tiny_space_folder)
    table = library.store.table
    rows = table.search().to_arrow()
    table.add(rows.slice(0, 3))
    moved, nameless = rows["id"].to_pylist()[-2:]
    table.update(where=f"id = '{moved}'", values={"path": "/elsewhere.png"})
    table.update(where=f"id = '{nameless}'", values={"hash": ""})
    said = [str(finding) for finding in list(check_up(Location(damaged)))]
    assert [one.split(":")[0] for one in said] == [
        "2 segments are not as they were written", "3 segments were there more than once",
    ]  # fmt: skip
    assert set(contents(damaged, tiny_space_folder)) == set(before) - {moved, nameless}
    Library(damaged, tiny_space_folder).add([made / "pictures"])
    assert contents(damaged, tiny_space_folder) == before


def test_other_troubles_are_not_taken_for_damage(damaged, monkeypatch):
    """For want of memory, or of a newer database, nothing is put aside."""

    def fails(store, version, rows):
        raise LibraryError("cannot be used") from RuntimeError("LanceError(IO): unsupported feature flag 4096")

    monkeypatch.setattr(Store, "can_be_read", fails)
    before = sorted(str(path) for path in damaged.rglob("*"))
    with pytest.raises(LibraryError, match="cannot be used"):
        list(check_up(Location(damaged)))
    assert sorted(str(path) for path in damaged.rglob("*")) == before


def test_marks_that_may_not_be_read_are_not_taken_for_damaged(damaged, monkeypatch):
    real = Folder.read

    def denied(folder, name):
        if name == "marks.json":
            raise PermissionError(13, "Permission denied")
        return real(folder, name)

    monkeypatch.setattr(Folder, "read", denied)
    with pytest.raises(LibraryError, match="cannot be read"):
        list(check_up(Location(damaged)))
    assert (damaged / "marks.json").exists() and not (damaged / "marks.json.damaged").exists()


def test_what_was_put_aside_is_never_overwritten(damaged):
    contents = ["{first", "{second", "{third"]
    for text in contents:
        (damaged / "marks.json").write_text(text)
        assert [str(one).split(":")[0] for one in check_up(Location(damaged))] == ["marks.json is damaged"]
    assert sorted(path.read_text() for path in damaged.glob("marks.json.damaged*")) == sorted(contents)


def test_an_index_that_finds_nothing_is_dropped(damaged, tiny_space_folder):
    store = Library(damaged, tiny_space_folder).store
    store.table.create_index("id", config=BTree())
    (pages,) = (damaged / "segments.lance" / "_indices").rglob("page_data.lance")
    pages.write_bytes(bytes(pages.stat().st_size))
    assert "the index of id is damaged: it was built again" in map(str, check_up(Location(damaged)))
    assert list(check_up(Location(damaged))) == []


def test_a_space_that_only_some_pictures_have(made, damaged, tiny_space_folder):
    """A column with and without vectors, joined in one file, is whole."""
    other = Library(damaged, "starter")
    other.add([made / "pictures" / f"{i}.png" for i in range(5)], additional=True)
    assert list(check_up(Location(damaged))) == []


def test_what_may_not_be_read_is_not_taken_for_damaged(damaged):
    file = next((damaged / "segments.lance" / "data").iterdir())
    file.rename(damaged / "elsewhere")
    file.mkdir()
    (file / "x").symlink_to(damaged / "nowhere")
    before = sorted(path.name for path in damaged.rglob("*"))
    with pytest.raises(LibraryError, match="cannot be read .*; check its permissions and its disk"):
        list(check_up(Location(damaged)))
    assert sorted(path.name for path in damaged.rglob("*") if path.name != ".lock") == [n for n in before if n != ".lock"]


def test_what_is_no_library_or_in_use_is_one_sentence(damaged, tmp_path, tiny_space_folder):
    with pytest.raises(LibraryError, match="there is no library at"):
        list(check_up(Location(tmp_path / "nowhere")))
    with Library(damaged, tiny_space_folder).store.writing(), pytest.raises(LibraryBusy):
        list(check_up(Location(damaged)))
    values = json.loads((damaged / "library.json").read_text())
    (damaged / "library.json").write_text(json.dumps(values | {"format": 99}))
    with pytest.raises(LibraryError, match="format 99"):
        list(check_up(Location(damaged)))
