"""The relevance of a hit: present for words, absent for files, and what --min-relevance cuts by."""

import numpy as np
import pytest

import samespace
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
    assert all(hit.relevance is None for hit in library.search(str(photographs()[0])))


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
