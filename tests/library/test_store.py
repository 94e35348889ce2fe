"""The store: rows in, the nearest out, exactly and through the index."""

import os
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from samespace.core.errors import LibraryBusy, LibraryError
from samespace.core.paths import to_path, to_text
from samespace.library.store import exact_index as flat
from samespace.library.store import lance as store
from samespace.library.store.filter import Filter
from samespace.library.store.lance import Store
from samespace.library.store.metadata import Held

FP, DIM = "abc123", 8


def rows(count: int, seed: int = 0, folder: str = "/p") -> list[dict]:
    z = np.random.default_rng(seed).normal(size=(count, DIM)).astype(np.float32)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    return [
        {"path": f"{folder}/{i:04}.jpg", "root": folder, "kind": "image", "hash": f"{seed}-{i}", "size": i, "mtime": i,
         "moment": i * 1_000_000, f"z_{FP}": z[i]}
        for i in range(count)
    ]  # fmt: skip


@pytest.fixture
def filled(tmp_path) -> Store:
    made = Store(tmp_path / "library")
    with made.writing():
        made.add_space(FP, Held("tiny", DIM))
        made.upsert(rows(300))
        made.finish(FP)
    return made


def assert_best(hits: list[dict], k: int, keep=lambda row: True) -> None:
    """The hits are the k best of `rows(300)` by NumPy, in order, to the precision of stored halves."""
    exact = {r["path"]: float(r[f"z_{FP}"] @ QUERY) for r in rows(300) if keep(r)}
    best = sorted(exact.values(), reverse=True)[:k]
    assert len({h["path"] for h in hits}) == len(hits) == len(best)
    assert [exact[h["path"]] for h in hits] == pytest.approx(best, abs=2e-3)
    assert [h["score"] for h in hits] == pytest.approx(best, abs=2e-3)
    assert [h["score"] for h in hits] == sorted((h["score"] for h in hits), reverse=True)


QUERY = np.eye(DIM, dtype=np.float32)[0]
FILTERS = {
    "all": (Filter(), lambda r: True),
    "kind": (Filter(kinds=("image",)), lambda r: True),
    "no such kind": (Filter(kinds=("audio",)), lambda r: False),
    "under": (Filter(under="/p"), lambda r: True),
    "under another": (Filter(under="/p/0"), lambda r: False),
    "since": (Filter(since=datetime.fromtimestamp(200, UTC)), lambda r: r["moment"] >= 200e6),
    "until": (Filter(until=datetime.fromtimestamp(20, UTC)), lambda r: r["moment"] < 20e6),
    "within": (Filter(within="/p/it's.jpg"), lambda r: r["path"] == "/p/it's.jpg"),
    "without": (Filter(without=("/p/0007.jpg", "/p/it's.jpg")), lambda r: r["path"] != "/p/0007.jpg"),
}


@pytest.mark.parametrize("case", FILTERS)
@pytest.mark.parametrize("way", ["flat", "lance"])
def test_both_ways_of_searching_agree_with_numpy(filled, monkeypatch, case, way):
    filter, keep = FILTERS[case]
    if way == "lance":
        monkeypatch.setattr(Store, "flat", lambda self, fingerprint: None)
    assert_best(filled.search(QUERY, 12, FP, filter), 12, keep)


def test_the_best_segment_stands_for_its_file(tmp_path):
    made = Store(tmp_path / "library")
    segments = [r | {"path": f"/p/{i % 3}.mp4", "start": float(i)} for i, r in enumerate(rows(30))]
    with made.writing():
        made.add_space(FP, Held("tiny", DIM))
        made.upsert(segments)
        made.finish(FP)
    hits = made.search(QUERY, 5, FP, Filter())
    assert len(hits) == 3 == len({h["path"] for h in hits})
    for hit in hits:
        own = [s for s in segments if s["path"] == hit["path"]]
        assert hit["start"] == max(own, key=lambda s: float(s[f"z_{FP}"] @ QUERY))["start"]


def test_writing_again_replaces(filled):
    with filled.writing():
        filled.upsert(rows(300, seed=1))
        filled.finish(FP)
    assert filled.count() == 300
    assert filled.known(FP)["/p/0003.jpg"].hash == "1-3"


def test_removed_files_are_not_found(filled):
    best = filled.search(QUERY, 1, FP, Filter())[0]["path"]
    with filled.writing():
        filled.remove([best])
        filled.finish(FP)
    assert best not in [h["path"] for h in filled.search(QUERY, 300, FP, Filter())]
    assert filled.count() == 299


def test_an_outdated_flat_copy_is_not_used(filled):
    with filled.writing():
        filled.upsert(rows(5, seed=9, folder="/q"))
        assert filled.flat(FP) is None
        assert len(filled.search(QUERY, 400, FP, Filter())) == 305
        filled.finish(FP)
    assert len(filled.flat(FP).segments) == 305


def test_a_damaged_flat_copy_is_not_used(filled):
    path = filled.home.folder / f"flat-{FP}.arrow"
    path.write_bytes(path.read_bytes()[:1000])
    again = Store(filled.home.folder)
    assert again.flat(FP) is None
    assert_best(again.search(QUERY, 3, FP, Filter()), 3)


def test_a_second_space_stands_beside_the_first(filled):
    other = [r | {"z_other": np.ones(4, np.float32) / 2} for r in rows(300)]
    for row in other:
        del row[f"z_{FP}"]
    with filled.writing():
        filled.add_space("other", Held("wide", 4))
        assert not filled.spaces["other"].complete
        assert filled.usual_space() == "tiny"
        filled.upsert(other[:100])
        filled.finish("other")
        assert filled.usual_space() == "tiny"
        filled.upsert(other[100:])
        filled.finish("other")
    assert filled.usual_space() == "wide"
    assert_best(filled.search(QUERY, 12, FP, Filter()), 12)


def test_only_one_process_writes(filled):
    second = Store(filled.home.folder)
    with filled.writing(), pytest.raises(LibraryBusy, match="another process"), second.writing():
        pass


def test_an_approximate_index_is_built_for_large_libraries(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "INDEX_ROWS", 1000)
    many = rows(3000)
    made = Store(tmp_path / "library")
    with made.writing():
        made.add_space(FP, Held("tiny", DIM))
        made.upsert(many)
        made.finish(FP)
    assert any(i.columns == [f"z_{FP}"] for i in made.table.list_indices())
    assert made.flat(FP) is None
    z = np.stack([r[f"z_{FP}"] for r in many]).astype(np.float16).astype(np.float32)
    exact = {many[i]["path"] for i in np.argsort(-(z @ QUERY))[:10]}
    hits = made.search(QUERY, 10, FP, Filter())
    assert len(exact & {h["path"] for h in hits}) >= 9
    assert made.shown()
    (made.home.folder / "shown.arrow").unlink()
    plain = Store(made.home.folder)
    assert plain.shown() is None
    for hit, same in zip(hits, plain.search(QUERY, 10, FP, Filter()), strict=True):
        assert np.array_equal(hit.pop("z"), same.pop("z"))
        assert hit == same


def test_what_hits_show_in_a_large_library_follow_its_changes(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "INDEX_ROWS", 1000)
    made = Store(tmp_path / "library")
    with made.writing():
        made.add_space(FP, Held("tiny", DIM))
        made.upsert(rows(3000))
        made.finish(FP)
        first = made.search(QUERY, 1, FP, Filter())[0]["path"]
        made.remove([first])
        assert made.shown() is None
        assert first not in {h["path"] for h in made.search(QUERY, 10, FP, Filter())}
        made.upsert(rows(5, seed=9, folder="/q"))
        made.finish(FP)
    assert len(made.shown().segments) == 3004
    assert "/q/0003.jpg" in {h["path"] for h in made.search(QUERY, 3004, FP, Filter())}
    few = made.search(QUERY, 5, FP, Filter(under="/q"))
    assert {h["path"] for h in few} == {f"/q/{i:04}.jpg" for i in range(5)}


@pytest.mark.parametrize("note", [b"{", b"\xff\xfe{"])
def test_a_broken_library_is_one_sentence(filled, note):
    (filled.home.folder / "library.json").write_bytes(note)
    with pytest.raises(LibraryError, match="cannot be read"):
        _ = Store(filled.home.folder).spaces


def test_broken_tables_are_one_sentence(filled):
    (filled.home.folder / f"flat-{FP}.arrow").unlink()
    for manifest in (filled.home.folder / "segments.lance" / "_versions").iterdir():
        manifest.write_bytes(b"nonsense")
    with pytest.raises(LibraryError, match="cannot be used"):
        Store(filled.home.folder).search(QUERY, 3, FP, Filter())


@pytest.mark.parametrize("name", [b"plain", "émoji 🐈".encode(), b"latin\xe9\xff", b"new\nline"])
def test_any_file_name_survives_the_store(name):
    path = os.fsdecode(b"/p/" + name)
    pa.array([to_text(path)]).validate(full=True)
    assert to_path(to_text(path)) == path


def test_the_flat_copy_is_made_for_small_libraries_only():
    assert flat.MAX_ROWS == store.INDEX_ROWS
