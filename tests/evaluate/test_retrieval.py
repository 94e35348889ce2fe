"""Captions become queries."""

from samespace.evaluate.retrieval import queries_of


def test_case_makes_no_distinct_caption():
    queries, relevant = queries_of([("Cat",), ("cat", "a pet"), ("dog",)])
    assert queries == ["Cat", "a pet", "dog"] and relevant.tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 1]]
