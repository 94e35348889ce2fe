"""Rankings of several modalities as one list."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from samespace.library.search.ranking import (
    by_relevance,
    by_score,
    lexical_boost,
    noisy_or,
    overlapping,
    reciprocal_rank_fusion,
)
from samespace.library.store.records import TEXT, Candidate, Segment


def candidate(path: str, relevance: float | None, start: float | None = None, end: float | None = None, **where) -> Candidate:
    return Candidate(Segment(path, "image", start, end, **where), 0.2, np.ones(2, np.float32), relevance)


def test_a_place_in_image_and_audio_is_likelier_than_one_in_the_image_only():
    shots = [candidate("a.mp4", 0.5, 0, 10), candidate("a.mp4", 0.4, 10, 20), candidate("b.png", 0.3)]
    windows = [candidate("a.mp4", 0.4, 14, 18), candidate("c.wav", 0.35, 0, 4), candidate("a.mp4", 0.1, 4, 8)]
    merged = by_relevance([shots, windows, noisy_or([shots, windows])], group_by="place")
    assert [(c.segment.path, c.segment.start, c.relevance) for c in merged] == [
        ("a.mp4", 10, 0.64),  # the shot, and the audio within it
        ("a.mp4", 14, 0.64),
        ("a.mp4", 0, 0.55),
        ("a.mp4", 4, 0.55),
        ("c.wav", 0, 0.35),
        ("b.png", None, 0.3),
    ]


def test_of_a_modality_the_likeliest_counts_and_once():
    windows = [candidate("a.mp4", 0.4, 0, 4), candidate("a.mp4", 0.2, 4, 8)]
    (shot,) = [c for c in noisy_or([[candidate("a.mp4", 0.5, 0, 10)], windows]) if c.segment.end == 10]
    assert shot.relevance == pytest.approx(0.7)


def test_the_likeliest_modality_represents_a_place():
    image, text = candidate("a.pdf", 0.1, page=2), candidate("a.pdf", 0.9, page=2, modality=TEXT, ordinal=1)
    first = by_relevance([[image], [text], noisy_or([[image], [text]])], group_by="place")[0]
    assert (first.segment.modality, first.segment.ordinal) == (TEXT, 1) and first.relevance == pytest.approx(0.91)


def test_other_pages_and_touching_moments_do_not_agree():
    assert noisy_or([[candidate("a.pdf", 0.5, page=1)], [candidate("a.pdf", 0.5, page=2)]]) == []
    assert noisy_or([[candidate("a.mp4", 0.5, 0, 4)], [candidate("a.mp4", 0.5, 4, 8)]]) == []
    assert len(noisy_or([[candidate("a.pdf", 0.5, page=1)], [candidate("a.pdf", 0.5, page=1)]])) == 2


def test_all_that_share_a_moment_overlap_and_nothing_else():
    rng = np.random.default_rng(0)
    spans = [(start, start + length) for start, length in zip(rng.integers(0, 60, 50), rng.integers(0, 9, 50))]
    shared = {(i, j) for i, j in combinations(range(50), 2) if spans[i][0] < spans[j][1] and spans[j][0] < spans[i][1]}
    found = [tuple(sorted(pair)) for pair in overlapping([candidate("a.mp4", 0.5, *span) for span in spans])]
    assert set(found) == shared and len(found) == len(shared)


def test_numbers_count_among_the_words_of_a_query():
    pages = [candidate("a.pdf", 0.1, page=n, text=f"Record {n} of the archive") for n in (47, 48)]
    boosted = lexical_boost(pages, "record 47")
    assert boosted[0].relevance == 0.9 and boosted[1].relevance < 0.2


def test_only_texts_with_a_relevance_are_boosted():
    texts = [candidate("a.pdf", None, page=1, text="record 47"), candidate("a.pdf", 0.95, page=2, text="record 47")]
    assert [c.relevance for c in lexical_boost([*texts, candidate("b.png", 0.1)], "record 47")] == [None, 0.95, 0.1]
    assert lexical_boost(texts, "to be") == texts  # short words say nothing


def test_reciprocal_ranks_are_added_up_and_the_most_relevant_of_a_file_stays():
    shot, other = candidate("a.mp4", 0.2, 0, 4), candidate("b.mp4", 0.9, 0, 4)
    window = replace(shot, segment=Segment("a.mp4", "video", 8, 12), relevance=0.6)
    merged = reciprocal_rank_fusion([other, shot], [window])
    assert merged == [window, other]  # 1/62 + 1/61 against 1/61
    assert reciprocal_rank_fusion([other, shot], [window], group_by="place") == [other, window, shot]


def test_by_score_the_nearest_of_a_file_stays():
    near, far = replace(candidate("a.mp4", None, 0, 4), score=0.5), replace(candidate("a.mp4", None, 4, 8), score=0.1)
    middle = replace(candidate("b.png", None), score=0.3)
    assert by_score([[far], [middle, near]], group_by="file") == [near, middle]
    assert by_score([[far], [middle, near]], group_by="place") == [near, middle, far]
