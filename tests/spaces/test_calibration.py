"""Probabilities of relevance: by hand where there is a formula, and on made-up spaces where there is a truth."""

import numpy as np
import pytest

from samespace.spaces.calibration import Calibration, auc, expected_calibration_error, features, fit, measure


def made_up(count: int, noise: float, seed: int, dim: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Pictures and captions around common points; the noisier, the more best hits are wrong."""
    rng = np.random.default_rng(seed)
    z_image = rng.normal(size=(count, dim))
    z_text = z_image + noise * rng.normal(size=(count, dim))
    return tuple((z / np.linalg.norm(z, axis=1, keepdims=True)).astype(np.float32) for z in (z_image, z_text))


def test_auc_by_hand():
    assert auc([0.9, 0.8, 0.3, 0.2], [True, True, False, False]) == 1.0
    assert auc([0.9, 0.2, 0.8, 0.3], [True, True, False, False]) == 0.5
    assert auc([0.5, 0.5], [True, False]) == 0.5


def test_expected_calibration_error_by_hand():
    assert expected_calibration_error([0.05, 0.05, 0.95, 0.95], [False, False, True, True]) == pytest.approx(0.05)
    assert expected_calibration_error([0.85] * 4, [True, False, False, False]) == pytest.approx(0.6)


def test_features_by_hand():
    x = features(np.array([0.5]), np.array([[0.1, 0.3]]), np.array([0.0, 0.2]), 100)
    assert x[0] == pytest.approx([0.5, 0.3 / 0.1, 0.4 / 0.1, np.log(100)], rel=0.02)


def test_what_is_fitted_holds_on_pairs_it_has_not_seen():
    z_image, z_text = made_up(300, 0.8, 0)
    calibration = fit(z_image, z_text, np.eye(300, dtype=bool), z_text[:100])
    other_image, other_text = made_up(400, 0.8, 1)
    found = measure(calibration, other_image, other_text, np.eye(400, dtype=bool))
    assert 0.2 < found["top_hit_right"] < 0.5 and found["auc"] > 0.85 and found["ece"] < 0.1


def test_a_calibration_that_says_nothing_measures_as_chance():
    z_image, z_text = made_up(200, 0.8, 2)
    found = measure(Calibration((0, 0, 0, 0, 0.0), z_text[:50]), z_image, z_text, np.eye(200, dtype=bool))
    assert found["auc"] == pytest.approx(0.5)
