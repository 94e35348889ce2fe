"""The store: segments in, the nearest out, exactly and through the index."""

import json
import os
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from samespace.core.errors import LibraryBusy, LibraryError
from samespace.core.paths import to_path, to_text
from samespace.library.library import Library
from samespace.library.search.hits import Hit
from samespace.library.store import exact_index, lance
from samespace.library.store.filter import Filter
from samespace.library.store.lance import Store
from samespace.library.store.metadata import FILE, SpaceRecord
from samespace.library.store.records import TEXT, UPPER, Candidate, Segment, SegmentWrite

FP, DIM = "abc123", 8


def writes(count: int, seed: int = 0, folder: str = "/p") -> list[SegmentWrite]:
    z = np.random.default_rng(seed).normal(size=(count, DIM)).astype(np.float32)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    return [
        SegmentWrite(
            Segment(f"{folder}/{i:04}.jpg", "image", root=folder, hash=f"{seed}-{i}", size=i, mtime=i, time=i * 1_000_000),
            {FP: z[i]},
        )
        for i in range(count)
    ]


@pytest.fixture
def filled(tmp_path) -> Store:
    made = Store(tmp_path / "library")
    with made.writing():
        made.add_space(FP, SpaceRecord("tiny", DIM))
        made.upsert(writes(300))
        made.finish(FP)
    return made


def assert_best(found: list[Candidate], k: int, keep=lambda segment: True) -> None:
    """Candidates are the k best of `writes(300)` by NumPy, in order, to the precision of stored halves."""
    exact = {w.segment.path: float(w.vectors[FP] @ QUERY) for w in writes(300) if keep(w.segment)}
    best = sorted(exact.values(), reverse=True)[:k]
    assert len({c.segment.path for c in found}) == len(found) == len(best)
    assert [exact[c.segment.path] for c in found] == pytest.approx(best, abs=2e-3)
    assert [c.score for c in found] == pytest.approx(best, abs=2e-3)
    assert [c.score for c in found] == sorted((c.score for c in found), reverse=True)


QUERY = np.eye(DIM, dtype=np.float32)[0]
FILTERS = {
    "all": (Filter(), lambda s: True),
    "kind": (Filter(kinds=("image",)), lambda s: True),
    "no such kind": (Filter(kinds=("audio",)), lambda s: False),
    "under": (Filter(under="/p"), lambda s: True),
    "under another": (Filter(under="/p/0"), lambda s: False),
    "since": (Filter(since=datetime.fromtimestamp(200, UTC)), lambda s: s.time >= 200e6),
    "until": (Filter(until=datetime.fromtimestamp(20, UTC)), lambda s: s.time < 20e6),
    "within": (Filter(within="/p/it's.jpg"), lambda s: s.path == "/p/it's.jpg"),
    "within one": (Filter(within="/p/0007.jpg"), lambda s: s.path == "/p/0007.jpg"),
    "modality": (Filter(modality="image"), lambda s: True),
    "another modality": (Filter(modality="text"), lambda s: False),
    "several": (Filter(("image",), "/p", until=datetime.fromtimestamp(20, UTC)), lambda s: s.time < 20e6),
    "without": (Filter(without=("/p/0007.jpg", "/p/it's.jpg")), lambda s: s.path != "/p/0007.jpg"),
}


@pytest.mark.parametrize("case", FILTERS)
@pytest.mark.parametrize("way", ["exact", "lance"])
def test_both_ways_of_searching_agree_with_numpy(filled, monkeypatch, case, way):
    filter, keep = FILTERS[case]
    if way == "lance":
        monkeypatch.setattr(Store, "exact_index", lambda self, fingerprint: None)
    assert_best(filled.search(QUERY, 12, FP, filter), 12, keep)


def test_the_best_segment_represents_its_file(tmp_path):
    made = Store(tmp_path / "library")
    segments = [
        replace(w, segment=replace(w.segment, path=f"/p/{i % 3}.mp4", kind="video", start=float(i)))
        for i, w in enumerate(writes(30))
    ]
    with made.writing():
        made.add_space(FP, SpaceRecord("tiny", DIM))
        made.upsert(segments)
        made.finish(FP)
    found = made.search(QUERY, 5, FP, Filter())
    assert len(found) == 3 == len({c.segment.path for c in found})
    for candidate in found:
        own = [w for w in segments if w.segment.path == candidate.segment.path]
        assert candidate.segment.start == max(own, key=lambda w: float(w.vectors[FP] @ QUERY)).segment.start


def test_writing_again_replaces(filled):
    with filled.writing():
        filled.upsert(writes(300, seed=1))
        filled.finish(FP)
    assert filled.count() == 300
    assert filled.indexed(FP)["/p/0003.jpg"].hash == "1-3"


def test_removed_files_are_not_found(filled):
    best = filled.search(QUERY, 1, FP, Filter())[0].segment.path
    with filled.writing():
        filled.remove([best])
        filled.finish(FP)
    assert best not in [c.segment.path for c in filled.search(QUERY, 300, FP, Filter())]
    assert filled.count() == 299


def test_an_outdated_exact_index_is_not_used(filled):
    with filled.writing():
        filled.upsert(writes(5, seed=9, folder="/q"))
        assert filled.exact_index(FP) is None
        assert len(filled.search(QUERY, 400, FP, Filter())) == 305
        filled.finish(FP)
    assert len(filled.exact_index(FP).table) == 305


def test_a_damaged_exact_index_is_not_used(filled):
    path = filled.location.folder / f"exact-{FP}.arrow"
    path.write_bytes(path.read_bytes()[:1000])
    again = Store(filled.location.folder)
    assert again.exact_index(FP) is None
    assert_best(again.search(QUERY, 3, FP, Filter()), 3)


def test_a_second_space_leaves_the_first_as_it_is(filled):
    other = [replace(w, vectors={"other": np.ones(4, np.float32) / 2}) for w in writes(300)]
    with filled.writing():
        filled.add_space("other", SpaceRecord("wide", 4))
        assert not filled.metadata.spaces["other"].complete
        assert filled.metadata.default_space() == "tiny"
        filled.upsert(other[:100])
        filled.finish("other")
        assert filled.metadata.default_space() == "tiny"
        filled.upsert(other[100:])
        filled.finish("other")
    assert filled.metadata.default_space() == "wide"
    assert_best(filled.search(QUERY, 12, FP, Filter()), 12)


def test_only_one_process_writes(filled):
    second = Store(filled.location.folder)
    with filled.writing(), pytest.raises(LibraryBusy, match="another process"), second.writing():
        pass


def test_an_approximate_index_is_built_for_large_libraries(tmp_path, monkeypatch):
    monkeypatch.setattr(lance, "INDEX_ROWS", 1000)
    many = writes(3000)
    made = Store(tmp_path / "library")
    with made.writing():
        made.add_space(FP, SpaceRecord("tiny", DIM))
        made.upsert(many)
        made.finish(FP)
    assert any(i.columns == [f"z_{FP}"] for i in made.table.list_indices())
    assert made.exact_index(FP) is None
    z = np.stack([w.vectors[FP] for w in many]).astype(np.float16).astype(np.float32)
    exact = {many[i].segment.path for i in np.argsort(-(z @ QUERY))[:10]}
    found = made.search(QUERY, 10, FP, Filter())
    assert len(exact & {c.segment.path for c in found}) >= 9
    assert made.metadata_cache()
    (made.location.folder / lance.METADATA_CACHE).unlink()
    plain = Store(made.location.folder)
    assert plain.metadata_cache() is None
    for one, same in zip(found, plain.search(QUERY, 10, FP, Filter()), strict=True):
        assert np.array_equal(one.z, same.z)
        assert (one.segment, one.score, one.relevance) == (same.segment, same.score, same.relevance)


def test_the_metadata_cache_of_a_large_library_follows_its_changes(tmp_path, monkeypatch):
    monkeypatch.setattr(lance, "INDEX_ROWS", 1000)
    made = Store(tmp_path / "library")
    with made.writing():
        made.add_space(FP, SpaceRecord("tiny", DIM))
        made.upsert(writes(3000))
        made.finish(FP)
        first = made.search(QUERY, 1, FP, Filter())[0].segment.path
        made.remove([first])
        assert made.metadata_cache() is None
        assert first not in {c.segment.path for c in made.search(QUERY, 10, FP, Filter())}
        made.upsert(writes(5, seed=9, folder="/q"))
        made.finish(FP)
    assert len(made.metadata_cache().table) == 3004
    assert "/q/0003.jpg" in {c.segment.path for c in made.search(QUERY, 3004, FP, Filter())}
    few = made.search(QUERY, 5, FP, Filter(under="/q"))
    assert {c.segment.path for c in few} == {f"/q/{i:04}.jpg" for i in range(5)}


@pytest.mark.parametrize("metadata", [b"{", b"\xff\xfe{", b"[]", b"{}"])
def test_a_broken_library_is_one_sentence(filled, metadata):
    (filled.location.folder / FILE).write_bytes(metadata)
    with pytest.raises(LibraryError, match="cannot be read"):
        _ = Store(filled.location.folder).metadata.spaces


def test_a_library_of_format_1_is_refused_with_one_sentence(filled, tiny_space):
    """As versions before this one wrote it."""
    spaces = {FP: {"name": "tiny", "dim": DIM, "complete": True, "audio": ""}}
    old = {"format": 1, "captioned": False, "senses": ["sight"], "spaces": spaces}
    (filled.location.folder / FILE).write_text(json.dumps(old), "utf-8")
    for act in (lambda library: library.search("a cat"), lambda library: library.add([filled.location.folder])):
        with pytest.raises(LibraryError) as refused:
            act(Library(filled.location.folder, tiny_space))
        (sentence,) = str(refused.value).splitlines()
        assert sentence.startswith(f"{filled.location} has format 1, this version") and "index into a new --library" in sentence
    with pytest.raises(LibraryError, match="has format 1"):
        Library(filled.location.folder)


def test_broken_tables_are_one_sentence(filled):
    (filled.location.folder / f"exact-{FP}.arrow").unlink()
    for manifest in (filled.location.folder / "segments.lance" / "_versions").iterdir():
        manifest.write_bytes(b"nonsense")
    with pytest.raises(LibraryError, match="cannot be used"):
        Store(filled.location.folder).search(QUERY, 3, FP, Filter())


@pytest.mark.parametrize("name", [b"plain", "émoji 🐈".encode(), b"latin\xe9\xff", b"new\nline"])
def test_any_file_name_survives_the_store(name):
    path = os.fsdecode(b"/p/" + name)
    pa.array([to_text(path)]).validate(full=True)
    assert to_path(to_text(path)) == path


FULL = Segment(
    "/p/it's.pdf", "document", 1.0 / 3, 2.0 / 3, 7, "image", UPPER, 640, 480, datetime(2024, 2, 3, 4, 5, 6, 789, UTC), 47.5, -8.25, 99,
    1_700_000_000_000_000, "/p", "0" * 32, 1_700_000_000_000_000_001, "what it says", '[["BAKERY ROSSI", 0.0, 0.0, 1.0, 1.0]]', "a title\nand more", "dog\nbeach", "Zoë", "X100V", 4,
    "Rome, Italy", 1_700_000_000_000_000_002,
)  # fmt: skip
PLACES = [
    FULL, Segment("/p/cat.jpg", "image"), Segment("/p/a.wav", "audio", 2.005, 6.005, modality="audio"),
    Segment("/p/a.pdf", "document", page=2, modality=TEXT, ordinal=3), Segment(os.fsdecode(b"/p/latin\xe9 \xef\x9f\xa9.jpg"), "image"),
]  # fmt: skip


def test_a_segment_is_the_same_after_it_was_stored(tmp_path):
    """Its id, too, which is made from a start that is stored with fewer digits; searches know it by the same id."""
    made, z = Store(tmp_path / "library"), np.float32(np.eye(DIM)[0])
    with made.writing():
        made.add_space(FP, SpaceRecord("tiny", DIM))
        made.upsert(SegmentWrite(segment, {FP: z}) for segment in PLACES)
        made.finish(FP)
    for segment in PLACES:
        stored, vector = made.segment(segment.id, FP)
        rounded = replace(stored, start=segment.start, end=segment.end)
        assert (rounded, stored.id) == (segment, segment.id) and np.array_equal(vector, z)
        assert (stored.start or 0.0, stored.end or 0.0) == pytest.approx((segment.start or 0.0, segment.end or 0.0))
    found = made.search(z, 10, FP, Filter(), group_by="place")
    assert {Hit.of(c, 1).id for c in found} == {segment.id for segment in PLACES} and len(PLACES) == made.count()


def test_a_segment_has_an_id_of_its_own_for_each_modality_and_ordinal():
    segments = [
        Segment("/p/a.pdf", "document", page=1, modality=m, ordinal=n) for m in ("image", "audio", TEXT) for n in range(3)
    ]
    assert len({s.id for s in segments}) == len(segments) and len({s.position for s in segments}) == 1


def test_a_hit_is_its_candidate_with_a_rank():
    candidate = Candidate(FULL, 0.25, np.ones(DIM, np.float32), 0.75)
    hit = Hit.of(candidate, 3)
    assert (hit.rank, hit.score, hit.relevance, hit.id, hit.stacked) == (3, 0.25, 0.75, FULL.id, 1)
    assert (hit.keywords, hit.people, hit.text) == (("dog", "beach"), ("Zoë",), "what it says\nBAKERY ROSSI")
    rest = set(vars(hit)) - {"rank", "score", "relevance", "keywords", "people", "text", "stacked"}
    assert all(getattr(hit, name) == getattr(FULL, name) for name in rest) and {"path", "page", "modality", "taken_at"} <= rest


def test_vectors_that_are_not_written_are_kept_and_none_forgets_them(filled):
    other, first = np.ones(4, np.float32) / 2, writes(1)[0]
    captioned = replace(first, segment=replace(first.segment, text="a caption"))
    with filled.writing():
        filled.add_space("other", SpaceRecord("wide", 4))
        filled.upsert([captioned, SegmentWrite(first.segment, {"other": other}, keeps_text=True)])
        assert filled.segment(first.segment.id, FP)[0].text == "a caption"
        assert np.allclose(filled.segment(first.segment.id, FP)[1], first.vectors[FP], atol=2e-3)
        filled.upsert([SegmentWrite(first.segment, {FP: None})])
    assert filled.segment(first.segment.id, FP) is None
    stored, vector = filled.segment(first.segment.id, "other")
    assert stored.text is None and np.allclose(vector, other)


def test_what_a_killed_process_left_of_a_copy_is_removed(filled):
    left = filled.location.folder / f"exact-{FP}.arrow.123-abcd.part"
    left.write_bytes(b"half a copy")
    with filled.writing():
        filled.upsert(writes(5, seed=9, folder="/q"))
        filled.finish(FP)
    assert not left.exists() and len(filled.exact_index(FP).table) == 305


def test_few_rows_are_read_as_many_are(filled, monkeypatch):
    many = filled.search(QUERY, 12, FP, Filter())
    monkeypatch.setattr(exact_index, "FEW_ROWS", 0)
    assert [(c.segment, c.score) for c in filled.search(QUERY, 12, FP, Filter())] == [(c.segment, c.score) for c in many]
