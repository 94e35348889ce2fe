"""Several rankings of the same library as one: what is seen, heard, read, and found by its words."""

import re
from collections import defaultdict
from collections.abc import Iterator
from math import prod
from typing import Any

from ..store.records import place_of

LITERAL = 0.9
"""Probability that a text is meant that has all words of a query."""


def fused(*rankings: list[dict[str, Any]], each: bool = False) -> list[dict[str, Any]]:
    """Rankings of files as one: each counts 1 / (60 + rank). After Cormack et al. 2009, reciprocal rank fusion.

    Of a file's rows the likeliest stays.
    """
    rows: dict[tuple, dict[str, Any]] = {}
    weight: dict[tuple, float] = defaultdict(float)
    for row in (row for ranking in rankings for row in ranking):
        held = rows.setdefault(key_of(row, each), row)
        if row.get("relevance", 0) > held.get("relevance", 0):
            rows[key_of(row, each)] = row
    for ranking in rankings:
        for rank, key in enumerate(dict.fromkeys(key_of(row, each) for row in ranking), 1):
            weight[key] += 1 / (60 + rank)
    return sorted(rows.values(), key=lambda row: -weight[key_of(row, each)])


def by_relevance(rankings: list[list[dict[str, Any]]], each: bool) -> list[dict[str, Any]]:
    """Rankings as one, the likeliest head next: the order within each of them is kept."""
    left, rows = [list(ranking) for ranking in rankings if ranking], {}
    while left:
        best = max(left, key=lambda ranking: ranking[0]["relevance"])
        row = best.pop(0)
        rows.setdefault(key_of(row, each), row)
        left = [ranking for ranking in left if ranking]
    return list(rows.values())


def agreed(rankings: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Places that several rankings find, the likeliest first: what is both seen and heard is likelier than either says alone.

    As if each were independent of the others: 1 − Π(1 − p). Pearl 1988, "Probabilistic Reasoning in Intelligent Systems", §4.3
    ("noisy or").
    """
    files: dict[str, list[tuple[int, dict[str, Any]]]] = defaultdict(list)
    for n, ranking in enumerate(rankings):
        for row in ranking:
            files[row["path"]].append((n, row))
    found = []
    for rows in files.values():
        doubts = [{n: 1 - row["relevance"]} for n, row in rows]  # of each row's place, and of each ranking the least
        for i, j in meeting([row for _, row in rows]):
            (n, one), (m, other) = rows[i], rows[j]
            if m != n:
                doubts[i][m] = min(doubts[i].get(m, 1.0), 1 - other["relevance"])
                doubts[j][n] = min(doubts[j].get(n, 1.0), 1 - one["relevance"])
        found += [(round(1 - prod(some.values()), 4), row) for some, (_, row) in zip(doubts, rows) if len(some) > 1]
    found.sort(key=lambda pair: (-pair[0], -pair[1]["relevance"]))  # of a place's rows the likeliest shows it
    return [row | {"relevance": together} for together, row in found]


def meeting(rows: list[dict[str, Any]]) -> Iterator[tuple[int, int]]:
    """Which two of a file's rows are of the same page, or share a moment."""
    spans, near = [span(row) for row in rows], []
    for i in sorted(range(len(rows)), key=spans.__getitem__):
        near = [j for j in near if spans[j][1] > spans[i][0]]
        yield from ((j, i) for j in near if spans[j][0] < spans[i][1])
        near.append(i)


def span(row: dict[str, Any]) -> tuple[float, float]:
    """Where in its file a row begins and ends, in seconds or pages."""
    page = row["page"] or 0
    return (page, page + 1) if row["start"] is None else (row["start"], row["end"])


def by_score(rankings: list[list[dict[str, Any]]], each: bool) -> list[dict[str, Any]]:
    """Rankings as one, the nearest first; of a file's rows the nearest stays."""
    rows: dict[tuple, dict[str, Any]] = {}
    for row in sorted((row for ranking in rankings for row in ranking), key=lambda row: -row["score"]):
        rows.setdefault(key_of(row, each), row)
    return list(rows.values())


def credit(rows: list[dict[str, Any]], words: str) -> None:
    """A text that has most of a query's words is likely meant, whatever its vector says."""
    wanted = {w for w in re.findall(r"\w+", words.lower()) if len(w) > 2 or w.isdigit()}
    for row in rows:
        if wanted and row.get("text") and "relevance" in row:
            share = len(wanted & set(re.findall(r"\w+", row["text"].lower()))) / len(wanted)
            row["relevance"] = round(max(row["relevance"], LITERAL * share**3), 4)


def key_of(row: dict[str, Any], each: bool) -> tuple:
    return place_of(row) if each else (row["path"],)
