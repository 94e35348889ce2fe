"""Merge rankings of one library: by vectors of images, audio and text, and by the words of texts."""

import re
from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace
from math import prod

from ..store.records import Candidate, Grouping

Ranking = list[Candidate]
EXACT_TEXT = 0.9
"""Relevance of a text that has all words of a query."""
RANK_OFFSET = 60
"""k of reciprocal rank fusion."""


def reciprocal_rank_fusion(*rankings: Ranking, group_by: Grouping = "stack") -> Ranking:
    """Merge rankings: each adds 1 / (60 + rank). After Cormack et al. 2009.

    Of each file's candidates, or each place's, the most relevant is kept.
    """
    best: dict[Hashable, Candidate] = {}
    weight: dict[Hashable, float] = defaultdict(float)
    for candidate in (candidate for ranking in rankings for candidate in ranking):
        key = candidate.segment.key(group_by)
        if (candidate.relevance or 0) > (best.setdefault(key, candidate).relevance or 0):
            best[key] = candidate
    for ranking in rankings:
        for rank, key in enumerate(dict.fromkeys(candidate.segment.key(group_by) for candidate in ranking), 1):
            weight[key] += 1 / (RANK_OFFSET + rank)
    return sorted(best.values(), key=lambda candidate: -weight[candidate.segment.key(group_by)])


def by_relevance(rankings: Sequence[Ranking], group_by: Grouping) -> Ranking:
    """Merge rankings: of their first candidates the most relevant comes next. The order within each ranking is kept."""
    remaining, merged = [list(ranking) for ranking in rankings if ranking], dict[Hashable, Candidate]()
    while remaining:
        best = max(remaining, key=lambda ranking: ranking[0].relevance or 0)
        candidate = best.pop(0)
        merged.setdefault(candidate.segment.key(group_by), candidate)
        remaining = [ranking for ranking in remaining if ranking]
    return list(merged.values())


def by_score(rankings: Sequence[Ranking], group_by: Grouping) -> Ranking:
    """Merge rankings by cosine; of each file's candidates, or each place's, the nearest is kept."""
    merged: dict[Hashable, Candidate] = {}
    for candidate in sorted((candidate for ranking in rankings for candidate in ranking), key=lambda c: -c.score):
        merged.setdefault(candidate.segment.key(group_by), candidate)
    return list(merged.values())


def noisy_or(rankings: Sequence[Ranking]) -> Ranking:
    """Return the candidates at places that several rankings find, with relevance 1 − Π(1 − p), most relevant first.

    This assumes that rankings are independent. Pearl 1988, "Probabilistic Reasoning in Intelligent Systems", §4.3.
    """
    files: dict[str, list[tuple[int, Candidate]]] = defaultdict(list)
    for n, ranking in enumerate(rankings):
        for candidate in ranking:
            files[candidate.segment.path].append((n, candidate))
    found: list[tuple[float, Candidate]] = []
    for numbered in files.values():
        # For each candidate: ranking → the least 1 − p of what that ranking finds at the same place.
        doubts = [{n: 1 - (candidate.relevance or 0)} for n, candidate in numbered]
        for i, j in overlapping([candidate for _, candidate in numbered]):
            (n, one), (m, other) = numbered[i], numbered[j]
            if m != n:
                doubts[i][m] = min(doubts[i].get(m, 1.0), 1 - (other.relevance or 0))
                doubts[j][n] = min(doubts[j].get(n, 1.0), 1 - (one.relevance or 0))
        found += [
            (round(1 - prod(doubt.values()), 4), candidate)
            for doubt, (_, candidate) in zip(doubts, numbered)
            if len(doubt) > 1
        ]  # fmt: skip
    found.sort(key=lambda pair: (-pair[0], -(pair[1].relevance or 0)))  # at one place the likeliest comes first
    return [replace(candidate, relevance=combined) for combined, candidate in found]


def overlapping(candidates: Sequence[Candidate]) -> Iterator[tuple[int, int]]:
    """Yield the pairs of a file's candidates that are of the same page, or share a moment."""
    spans = [_span(candidate) for candidate in candidates]
    current: list[int] = []
    for i in sorted(range(len(candidates)), key=spans.__getitem__):
        current = [j for j in current if spans[j][1] > spans[i][0]]
        yield from ((j, i) for j in current if spans[j][0] < spans[i][1])
        current.append(i)


def _span(candidate: Candidate) -> tuple[float, float]:
    """Return where in its file a candidate begins and ends, in seconds or pages."""
    segment = candidate.segment
    page = segment.page or 0
    return (page, page + 1) if segment.start is None else (segment.start, segment.end or segment.start)


def lexical_boost(candidates: Ranking, words: str) -> Ranking:
    """Raise relevance by the share of query words found in the text."""
    wanted = {w for w in re.findall(r"\w+", words.lower()) if len(w) > 2 or w.isdigit()}

    def boosted(candidate: Candidate) -> Candidate:
        if not wanted or not candidate.segment.text or candidate.relevance is None:
            return candidate
        share = len(wanted & set(re.findall(r"\w+", candidate.segment.text.lower()))) / len(wanted)
        return replace(candidate, relevance=round(max(candidate.relevance, EXACT_TEXT * share**3), 4))

    return list(map(boosted, candidates))
