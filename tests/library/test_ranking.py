"""Rankings of several senses as one list."""

from itertools import combinations

import numpy as np
import pytest

from samespace.library.search.ranking import agreed, by_relevance, credit, meeting


def row(path: str, relevance: float, start: float | None = None, end: float | None = None, page: int | None = None) -> dict:
    return {"path": path, "relevance": relevance, "start": start, "end": end, "page": page}


def test_what_is_seen_and_heard_is_likelier_than_what_is_only_seen():
    seen = [row("a.mp4", 0.5, 0, 10), row("a.mp4", 0.4, 10, 20), row("b.png", 0.3)]
    heard = [row("a.mp4", 0.4, 14, 18), row("c.wav", 0.35, 0, 4), row("a.mp4", 0.1, 4, 8)]
    places = [(hit["path"], hit["start"], hit["relevance"]) for hit in by_relevance([seen, heard, agreed([seen, heard])], True)]
    assert places == [
        ("a.mp4", 10, 0.64),  # the shot, and the sound within it
        ("a.mp4", 14, 0.64),
        ("a.mp4", 0, 0.55),
        ("a.mp4", 4, 0.55),
        ("c.wav", 0, 0.35),
        ("b.png", None, 0.3),
    ]


def test_of_a_sense_the_likeliest_counts_and_once():
    heard = [row("a.mp4", 0.4, 0, 4), row("a.mp4", 0.2, 4, 8)]
    (shot,) = [hit for hit in agreed([[row("a.mp4", 0.5, 0, 10)], heard]) if hit["end"] == 10]
    assert shot["relevance"] == pytest.approx(0.7)


def test_the_likeliest_sense_shows_a_place():
    pictured, written = row("a.pdf", 0.1, page=2), row("a.pdf", 0.9, page=2) | {"part": "text 1"}
    first = by_relevance([[pictured], [written], agreed([[pictured], [written]])], True)[0]
    assert first["part"] == "text 1" and first["relevance"] == pytest.approx(0.91)


def test_other_pages_and_touching_moments_do_not_agree():
    assert agreed([[row("a.pdf", 0.5, page=1)], [row("a.pdf", 0.5, page=2)]]) == []
    assert agreed([[row("a.mp4", 0.5, 0, 4)], [row("a.mp4", 0.5, 4, 8)]]) == []
    assert len(agreed([[row("a.pdf", 0.5, page=1)], [row("a.pdf", 0.5, page=1)]])) == 2


def test_all_that_share_a_moment_meet_and_nothing_else():
    rng = np.random.default_rng(0)
    rows = [row("a.mp4", 0.5, start, start + length) for start, length in zip(rng.integers(0, 60, 50), rng.integers(0, 9, 50))]
    shared = {
        (i, j) for i, j in combinations(range(50), 2) if rows[i]["start"] < rows[j]["end"] and rows[j]["start"] < rows[i]["end"]
    }
    met = [tuple(sorted(pair)) for pair in meeting(rows)]
    assert set(met) == shared and len(met) == len(shared)


def test_numbers_count_among_the_very_words():
    pages = [row("a.pdf", 0.1, page=n) | {"text": f"Record {n} of the archive"} for n in (47, 48)]
    credit(pages, "record 47")
    assert pages[0]["relevance"] == 0.9 and pages[1]["relevance"] < 0.2
