"""Recall by hand."""

import numpy as np

from samespace.evaluate.retrieval import answers, recall_at_k

EYE = np.eye(3, dtype=bool)


def test_by_hand():
    scores = np.array([[0.9, 0.5, 0.1], [0.8, 0.7, 0.1], [0.3, 0.2, 0.1]])  # ranks of the right answer: 1, 2, 3
    assert [recall_at_k(scores, EYE, k) for k in (1, 2, 3)] == [1 / 3, 2 / 3, 1]


def test_ties_are_not_credited():
    assert recall_at_k(np.ones((3, 3)), EYE, 1) == 0
    assert recall_at_k(np.ones((3, 3)), EYE, 3) == 1


def test_any_of_several_right_answers_counts():
    right = np.array([[True, True, False], [False, False, True]])
    scores = np.array([[0.1, 0.9, 0.5], [0.9, 0.5, 0.4]])
    assert recall_at_k(scores, right, 1) == 0.5


def test_queries_without_an_answer_do_not_count():
    right = np.array([[True, False], [False, False]])
    assert recall_at_k(np.array([[1.0, 0.0], [1.0, 0.0]]), right, 1) == 1


def test_capitals_make_no_other_caption():
    queries, right = answers([("Cat",), ("cat", "a pet"), ("dog",)])
    assert queries == ["Cat", "a pet", "dog"] and right.tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 1]]
