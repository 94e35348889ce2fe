"""Metrics agree with hand-made matrices."""

import numpy as np
import pytest

from samespace.core.errors import QueryError
from samespace.core.metrics import auc, expected_calibration_error, recall_at_k

EYE = np.eye(3, dtype=bool)


def test_recall_by_hand():
    scores = np.array([[0.9, 0.5, 0.1], [0.8, 0.7, 0.1], [0.3, 0.2, 0.1]])  # ranks of the relevant item: 1, 2, 3
    assert [recall_at_k(scores, EYE, k) for k in (1, 2, 3)] == [1 / 3, 2 / 3, 1]


def test_ties_raise_no_recall():
    assert recall_at_k(np.ones((3, 3)), EYE, 1) == 0
    assert recall_at_k(np.ones((3, 3)), EYE, 3) == 1


def test_nan_is_ranked_above_the_relevant_item():
    scores = np.array([[1.0, np.nan, 0.0]])
    assert [recall_at_k(scores, EYE[:1], k) for k in (1, 2)] == [0, 1]


def test_any_of_several_relevant_items_counts():
    relevant = np.array([[True, True, False], [False, False, True]])
    scores = np.array([[0.1, 0.9, 0.5], [0.9, 0.5, 0.4]])
    assert recall_at_k(scores, relevant, 1) == 0.5


def test_queries_without_a_relevant_item_do_not_count():
    relevant = np.array([[True, False], [False, False]])
    assert recall_at_k(np.array([[1.0, 0.0], [1.0, 0.0]]), relevant, 1) == 1


def test_auc_by_hand():
    assert auc([0.9, 0.8, 0.3, 0.2], [True, True, False, False]) == 1.0
    assert auc([0.9, 0.2, 0.8, 0.3], [True, True, False, False]) == 0.5
    assert auc([0.5, 0.5], [True, False]) == 0.5


@pytest.mark.parametrize("relevant", [[True, True], [False, False]])
def test_auc_needs_both_classes(relevant):
    with pytest.raises(QueryError, match="harder or easier"):
        auc([0.5, 0.4], relevant)


def test_expected_calibration_error_by_hand():
    assert expected_calibration_error([0.05, 0.05, 0.95, 0.95], [False, False, True, True]) == pytest.approx(0.05)
    assert expected_calibration_error([0.85] * 4, [True, False, False, False]) == pytest.approx(0.6)
