"""The relevance of a hit: present for words, absent for files, and what --min-relevance cuts by."""

from pathlib import Path

import numpy as np
import pytest

import samespace
from samespace.core.errors import QueryError
from samespace.library.demo import photographs
from samespace.library.store.lance import Store


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> samespace.Library:
    made = samespace.Library(tmp_path_factory.mktemp("relevance") / "library", "starter")
    made.add(photographs())
    return made


def test_words_get_a_relevance_and_files_do_not(library):
    """The first of two likely hits may be less so than the second (docs/media.md); a cat beside none is not."""
    hits = library.search("a cat")
    assert all(0 <= hit.relevance <= 1 for hit in hits)
    assert hits[0].relevance > 0.5 > max(hit.relevance for hit in hits[1:])
    hits = library.search(str(photographs()[0]))
    assert hits and all(hit.relevance is None for hit in hits)


def test_what_is_present_is_more_relevant_than_what_is_absent(library):
    present = [library.search(q, top=1)[0].relevance for q in ("a cat", "a cup of coffee", "galaxies in space")]
    absent = [library.search(q, top=1)[0].relevance for q in ("the flag of bolivia", "a church organ", "a bowl of rice")]
    assert min(present) > max(absent)


def test_min_relevance_cuts(library):
    hits = library.search("a cat")
    third = sorted((hit.relevance for hit in hits), reverse=True)[2]
    kept = library.search("a cat", min_relevance=third)
    assert [h.path for h in kept] == [h.path for h in hits if h.relevance >= third] and len(kept) == 3


def test_the_calibration_sample_of_a_large_library_is_a_sample_of_it(library, monkeypatch):
    """Without an exact index the database gives the sample; here it is small enough to be everything."""
    z = library.space.text(["a cat"])[0]
    exact, rows = library.store.calibration_sample(z, library.space.fingerprint)
    monkeypatch.setattr(Store, "exact_index", lambda self, fingerprint: None)
    other = samespace.Library(library.location.folder, "starter")
    sampled, count = other.store.calibration_sample(z, library.space.fingerprint)
    assert rows == count == len(photographs())
    assert np.allclose(np.sort(exact), np.sort(sampled), atol=2e-3)  # stored as fp16


@pytest.mark.parametrize("query", ["咖啡", "🎂", "🎂 🎈"])
def test_words_that_the_space_does_not_know_find_no_picture(tmp_path, album, query):
    """To the text tower they are all one word: any two of them were 80 % alike."""
    library = samespace.Library(tmp_path / "library", "starter")
    library.add([album])
    assert library.search(query) == []
    assert library.unknown_words(f"a cat {query}") == query.split()
    (album / "chelsea.png").rename(album / f"{query}.png")
    library.add([album])
    assert [Path(hit.path).stem for hit in library.search(query)] == [query]
    with pytest.raises(QueryError, match="does not know"):
        library.search(f"a cat + {query}")
    assert library.search(f"a cat {query}")


@pytest.mark.parametrize(
    ("query", "offered"),
    [
        ("no cats", [("no cats", "- cats")]),
        ("a room without people", [("without people", "- people")]),
        ("a beach without any people and a dog", [("without any people", "- people")]),
        ("Kaffee ohne Milch", [("ohne Milch", "- Milch")]),
        ("une rue sans voitures, la nuit", [("sans voitures", "- voitures")]),
        ("not a dog", [("not a dog", "- dog")]),
        ("a knot", []), ("nothing", []), ("no", []), ("no. 5", []), ("casino", []), ("a cat - dog", []),
    ],
)  # fmt: skip
def test_what_is_not_wanted_is_offered_as_a_sum(query, offered):
    from samespace.library.search.negation import negations

    assert [(one.text, one.condition) for one in negations(query)] == offered


@pytest.mark.parametrize("query", ["no cats", "a picture without cats", "not a cat"])
def test_no_certainty_is_given_where_the_text_tower_reads_past_no(library, query):
    """Chinese-CLIP#51: "no cats" found a cat at 82 to 96 %."""
    hits = library.search(query)
    assert hits and all(hit.relevance is None for hit in hits)


@pytest.mark.parametrize("query", ["- cat", "an animal - cat", "- cat - dog"])
def test_what_is_subtracted_makes_less_likely(library, query):
    hits = library.search(query)
    cat = next(hit.relevance for hit in hits if Path(hit.path).name == "chelsea.png")
    assert cat < 0.2 and all(0 <= hit.relevance <= 1 for hit in hits)
    if not query.startswith("an"):
        assert min(hit.relevance for hit in hits if Path(hit.path).name != "chelsea.png") > 0.8
        assert Path(hits[-1].path).name == "chelsea.png"
