"""Vectors of other programs, imported where they are of the same checkpoint."""

import os
import sqlite3

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from samespace.core.errors import LibraryError, WrongSpace
from samespace.library.importers import READERS, import_vectors
from samespace.library.library import Library


@pytest.fixture
def vectors(album, tiny_space) -> dict[str, np.ndarray]:
    files = sorted(str(f) for f in album.rglob("*.*"))
    return dict(zip(files, 3.0 * tiny_space.image(files)))


def as_rclip(path, vectors):
    with sqlite3.connect(path) as out:
        out.execute(
            "CREATE TABLE images (id INTEGER PRIMARY KEY, deleted BOOLEAN, filepath TEXT, modified_at DATETIME, size INTEGER, vector BLOB)"
        )
        rows = [(p, os.path.getmtime(p), os.path.getsize(p), v.astype(np.float32).tobytes()) for p, v in vectors.items()]
        out.executemany("INSERT INTO images (filepath, modified_at, size, vector) VALUES (?, ?, ?, ?)", rows)
        out.execute("INSERT INTO images (deleted, filepath, vector) VALUES (1, '/gone.png', ?)", (rows[0][-1],))
    out.close()
    return path


def as_clip_retrieval(folder, vectors):
    (folder / "img_emb").mkdir(parents=True)
    (folder / "metadata").mkdir()
    np.save(folder / "img_emb" / "img_emb_0.npy", np.stack(list(vectors.values())).astype(np.float16))
    pq.write_table(pa.table({"image_path": list(vectors)}), folder / "metadata" / "metadata_0.parquet")
    return folder


@pytest.mark.parametrize("program", READERS)
def test_vectors_are_imported(tmp_path, tiny_space, album, vectors, program):
    made = as_rclip(tmp_path / "db.sqlite3", vectors) if program == "rclip" else as_clip_retrieval(tmp_path / "out", vectors)
    library, plain = Library(tmp_path / "library", tiny_space), Library(tmp_path / "plain", tiny_space)
    assert import_vectors(library, READERS[program](made)).added == 4
    plain.add([album])
    for a, b in zip(library.search("a cat", 9), plain.search("a cat", 9), strict=True):
        assert (a.path, a.width, a.taken_at) == (b.path, b.width, b.taken_at) and a.score == pytest.approx(b.score, abs=2e-3)
    assert Library(tmp_path / "library", tiny_space).add([album]).same == 4


def test_an_image_changed_since_is_not_imported(tmp_path, tiny_space, album, vectors):
    made, changed = as_rclip(tmp_path / "db.sqlite3", vectors), next(iter(vectors))
    Image.new("RGB", (40, 30), "red").save(changed)
    assert {path for path, _ in READERS["rclip"](made)} == set(vectors) - {changed}


def test_paths_and_vectors_must_be_as_many(tmp_path, vectors):
    folder = as_clip_retrieval(tmp_path / "out", vectors)
    pq.write_table(pa.table({"image_path": list(vectors)[1:]}), folder / "metadata" / "metadata_0.parquet")
    with pytest.raises(LibraryError, match="4 vectors and 3 paths"):
        list(READERS["clip-retrieval"](folder))


def test_paths_may_be_relative(tmp_path, tiny_space, album, vectors, monkeypatch):
    monkeypatch.chdir(album.parent)
    library = Library(tmp_path / "library", tiny_space)
    relative = [(f"./{os.path.relpath(path)}", z) for path, z in vectors.items()]
    assert import_vectors(library, relative).added == 4
    Image.new("RGB", (50, 50), "red").save(album / "new.png")
    assert library.add([album]).added == 1  # which is embedded as ever


def test_a_zero_or_broken_vector_costs_one_image(tmp_path, tiny_space, vectors):
    empty, broken, *_ = vectors
    spoilt = vectors | {empty: 0 * vectors[empty], broken: np.nan * vectors[broken]}
    report = import_vectors(Library(tmp_path / "library", tiny_space), spoilt.items())
    assert report.added == 2 and {path for path, _ in report.skipped} == {empty, broken}


def test_vectors_of_another_checkpoint_are_refused(tmp_path, tiny_space, vectors):
    library = Library(tmp_path / "library", tiny_space)
    with pytest.raises(WrongSpace, match="name their checkpoint"):
        import_vectors(library, [(p, np.ones(7, np.float32)) for p in vectors])
    with pytest.raises(WrongSpace, match="cosine"):
        import_vectors(library, [(p, v[::-1]) for p, v in vectors.items()])
    assert not library.store.exists


def test_what_is_missing_is_named(tmp_path, tiny_space):
    for program, message in (("rclip", "db.sqlite3"), ("clip-retrieval", "img_emb")):
        with pytest.raises(LibraryError, match=message):
            list(READERS[program](tmp_path))
    (tmp_path / "other.db").write_bytes(b"not a database at all" * 100)
    with pytest.raises(LibraryError, match="cannot be read"):
        list(READERS["rclip"](tmp_path / "other.db"))
    with pytest.raises(LibraryError, match="samespace index"):
        import_vectors(Library(tmp_path / "library", tiny_space), [("/gone.png", np.ones(24, np.float32))])
