"""Other programs' vectors, taken over when they are of the same checkpoint."""

import os
import sqlite3

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from samespace.core.errors import LibraryError, WrongSpace
from samespace.library.importers import READERS, take_over
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
def test_vectors_are_taken_over(tmp_path, tiny_space, album, vectors, program, monkeypatch):
    made = as_rclip(tmp_path / "db.sqlite3", vectors) if program == "rclip" else as_clip_retrieval(tmp_path / "out", vectors)
    library, plain = Library(tmp_path / "library", tiny_space), Library(tmp_path / "plain", tiny_space)
    assert take_over(library, READERS[program](made)).added == 4
    plain.add([album])
    for a, b in zip(library.search("a cat", 9), plain.search("a cat", 9), strict=True):
        assert (a.path, a.width, a.taken_at) == (b.path, b.width, b.taken_at) and a.score == pytest.approx(b.score, abs=2e-3)
    assert Library(tmp_path / "library", tiny_space).add([album]).same == 4


def test_a_picture_changed_since_is_not_taken_over(tmp_path, tiny_space, album, vectors):
    made, changed = as_rclip(tmp_path / "db.sqlite3", vectors), next(iter(vectors))
    Image.new("RGB", (40, 30), "red").save(changed)
    assert {path for path, _ in READERS["rclip"](made)} == set(vectors) - {changed}


def test_paths_and_vectors_are_as_many(tmp_path, vectors):
    folder = as_clip_retrieval(tmp_path / "out", vectors)
    pq.write_table(pa.table({"image_path": list(vectors)[1:]}), folder / "metadata" / "metadata_0.parquet")
    with pytest.raises(LibraryError, match="4 vectors and 3 paths"):
        list(READERS["clip-retrieval"](folder))


def test_paths_may_be_relative(tmp_path, tiny_space, album, vectors, monkeypatch):
    monkeypatch.chdir(album.parent)
    library = Library(tmp_path / "library", tiny_space)
    relative = [(f"./{os.path.relpath(path)}", z) for path, z in vectors.items()]
    assert take_over(library, relative).added == 4
    Image.new("RGB", (50, 50), "red").save(album / "new.png")
    assert library.add([album]).added == 1  # which is embedded as ever


def test_a_vector_that_says_nothing_costs_one_picture(tmp_path, tiny_space, vectors):
    empty, broken, *_ = vectors
    spoilt = vectors | {empty: 0 * vectors[empty], broken: np.nan * vectors[broken]}
    report = take_over(Library(tmp_path / "library", tiny_space), spoilt.items())
    assert report.added == 2 and {path for path, _ in report.skipped} == {empty, broken}


def test_vectors_of_another_checkpoint_are_refused(tmp_path, tiny_space, vectors):
    library = Library(tmp_path / "library", tiny_space)
    with pytest.raises(WrongSpace, match="name their checkpoint"):
        take_over(library, [(p, np.ones(7, np.float32)) for p in vectors])
    with pytest.raises(WrongSpace, match="cosine"):
        take_over(library, [(p, v[::-1]) for p, v in vectors.items()])
    assert not library.store.exists


def test_what_is_not_there_is_told(tmp_path, tiny_space):
    for program, token_log_probs in (("rclip", "db.sqlite3"), ("clip-retrieval", "img_emb")):
        with pytest.raises(LibraryError, match=token_log_probs):
            list(READERS[program](tmp_path))
    (tmp_path / "other.db").write_bytes(b"not a database at all" * 100)
    with pytest.raises(LibraryError, match="cannot be read"):
        list(READERS["rclip"](tmp_path / "other.db"))
    with pytest.raises(LibraryError, match="samespace index"):
        take_over(Library(tmp_path / "library", tiny_space), [("/gone.png", np.ones(24, np.float32))])
