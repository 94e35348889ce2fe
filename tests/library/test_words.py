"""The words of segments, folded and scanned: the scan finds what Python's `in` finds."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from samespace.library.library import Library
from samespace.library.store import words
from samespace.library.store.records import Segment
from samespace.library.store.words import WordIndex, folded, match, terms_of, words_of

TEXTS = [
    "bakery rossi", None, "", "umzug in köln", "the rossini hall, rossini", "咖啡店在左边", "a cat on a mat", "ひらがなの看板", "x" * 5000 + "needle", "Ünïcode ﬁre",
]  # fmt: skip


def column(texts, chunks: int) -> pa.ChunkedArray:
    rows = [text if text is None else folded(text) for text in texts]
    return pa.chunked_array([rows[i::chunks] for i in range(chunks)], pa.string())


@pytest.mark.parametrize("chunks", [1, 3])
@pytest.mark.parametrize("phrase", ["ross", "Rossini", "KOLN", "咖啡", "needle", "unicode fire", "cat mat", "absent", "看板"])
def test_the_scan_finds_what_python_finds(chunks, phrase):
    words, terms = column(TEXTS, chunks), terms_of(phrase)
    rows, scores = WordIndex(words).search(terms)
    want = [i for i, text in enumerate(words.to_pylist()) if text and any(term in text for term in terms)]
    assert rows.tolist() == want and (scores > 0).all()


def test_a_slice_of_a_column_is_scanned_alone():
    words = pa.chunked_array([pa.array(["cat", "dog", "cat dog", "cow"]).slice(1, 2)])
    assert WordIndex(words).search(("cat",))[0].tolist() == [1]
    assert WordIndex(words).search(("cow",))[0].tolist() == []
    assert WordIndex(pa.chunked_array([], pa.string())).search(("cat",))[0].tolist() == []


def test_a_term_does_not_reach_from_one_row_into_the_next():
    assert WordIndex(pa.chunked_array([["a rome", "img_1", "rome"]])).search(("romeimg",))[0].tolist() == []
    assert WordIndex(pa.chunked_array([["rome", "rome"]])).search(("rome",))[0].tolist() == [0, 1]


def test_rare_words_count_more():
    rows, scores = WordIndex(pa.chunked_array([["common"] * 9 + ["common rare", "rare"]])).search(("common", "rare"))
    assert scores[rows.tolist().index(9)] > scores[rows.tolist().index(10)] > scores[0]


@pytest.mark.parametrize(
    ("phrase", "terms"),
    [
        ("The Rossi bakery!", ("the", "rossi", "bakery")),
        ("DSC_0001.jpg", ("dsc_0001.jpg",)),
        ("a b 7", ("7",)),
        ("我想喝咖啡", ("我想", "想喝", "喝咖", "咖啡")),
        ("咖啡", ("咖啡",)),
        ("Straße ÉCOLE", ("strasse", "ecole")),
        ("...", ()),
    ],
)
def test_a_phrase_is_folded_into_terms(phrase, terms):
    assert terms_of(phrase) == terms


FILE = Segment(
    "/home/anna/Pictures/Iceland 2019/DSC_0001.jpg", "image", root="/home/anna/Pictures", caption="Uncle Ferdinand with his trombone",
    keywords="Wolverhampton\nboats", people="Zoë", place="Vík, Southern Region, Iceland", camera="FUJIFILM X100V",
    written='[["BAKERY ROSSI", 0.1, 0.2, 0.3, 0.4], ["since 1925", 0, 0, 1, 1]]', text="a man on a ship",
)  # fmt: skip


def test_all_that_is_known_of_a_file_is_among_its_words():
    for phrase in (
        "ferdinand",
        "wolverhampton",
        "zoe",
        "vik",
        "x100v",
        "rossi",
        "1925",
        "ship",
        "dsc_0001",
        "iceland 2019",
        "pictures",
    ):
        assert folded(phrase) in words_of(FILE), phrase
    assert "anna" not in words_of(FILE)  # what lies above the indexed folder is the same for all


def test_relevance_falls_with_weaker_sources_and_missing_words():
    def relevance(phrase):
        return round(match(FILE, terms_of(phrase)), 6)

    assert relevance("uncle ferdinand") == relevance("rossi") == 0.9 > relevance("ross") > 0.5  # so it is still likely
    assert (
        0 < match(replace(FILE, caption="an appli-cation for locations"), ("cat",)) < 0.25 and match(FILE, ("ferdinan",)) > 0.65
    )
    assert relevance("Wolverhampton") > relevance("DSC_0001") > relevance("pictures") >= 0.65
    assert relevance("ferdinand skiing") == pytest.approx(0.9 / 8)
    assert relevance("skiing") == 0.0


def test_random_bytes_never_raise():
    rng = np.random.default_rng(0)
    for _ in range(50):
        text = (
            bytes(rng.integers(0, 256, 40, dtype=np.uint8)).decode("utf-8", "surrogateescape").encode("utf-8", "replace").decode()
        )
        assert isinstance(match(FILE, terms_of(text)), float)


@pytest.mark.parametrize(
    "stored, typed",
    [
        ("Łódź", "lodz"), ("Tromsø", "tromso"), ("cœur", "coeur"), ("Ærø", "aero"), ("İstanbul ışık", "istanbul isik"), ("שָׁלוֹם", "שלום"), ("مُحَمَّد", "محمد"),
        ("Anna’s birthday", "anna's birthday"), ("well‑known – place", "well-known - place"), ("Donau\u00addampf\u00adschiff", "donaudampfschiff"),
        ("zero\u200bwidth", "zerowidth"), ("Straße", "strasse"),
    ],
)  # fmt: skip
def test_words_are_found_as_people_type_them(stored, typed):
    assert folded(stored) == folded(typed) == folded(folded(stored))


def test_a_library_whose_words_were_folded_otherwise_is_written_anew(tmp_path, album, tiny_space, monkeypatch):
    (album / "Łódź’s.jpg").write_bytes(next(album.glob("*.jpg")).read_bytes() + b" ")
    with monkeypatch.context() as old:
        old.setattr(words, "folded", str.lower)
        Library(tmp_path / "l", tiny_space).add([album])
    library = Library(tmp_path / "l", tiny_space)
    library.store.metadata.update(words=1)
    before = library.store.table.search().select(["words"]).to_arrow()["words"].to_pylist()
    (album / "new.jpg").write_bytes(next(album.glob("*.jpg")).read_bytes() + b"  ")
    library.add([album])
    after = library.store.table.search().select(["words"]).to_arrow()["words"].to_pylist()
    assert any("łódź’s" in text for text in before) and not any("łódź’s" in text for text in after)
    assert any("lodz's" in text for text in after) and library.store.metadata.read().words == words.VERSION
