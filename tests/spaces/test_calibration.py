"""Probabilities of relevance: by hand where there is a formula, else on random vectors with known pairs."""

import numpy as np
import pytest

from samespace.spaces.calibration import Calibration, features, fit, measure


def random_pairs(count: int, noise: float, seed: int, dim: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Return image and caption vectors around common points; the more noise, the more best hits are wrong."""
    rng = np.random.default_rng(seed)
    z_image = rng.normal(size=(count, dim))
    z_text = z_image + noise * rng.normal(size=(count, dim))
    return tuple((z / np.linalg.norm(z, axis=1, keepdims=True)).astype(np.float32) for z in (z_image, z_text))


def test_features_by_hand():
    x = features(np.array([0.5]), np.array([[0.1, 0.3]]), np.array([0.0, 0.2]), 100)
    assert x[0] == pytest.approx([0.5, 0.3 / 0.1, 0.4 / 0.1, np.log(100)], rel=0.02)


def test_a_fit_holds_on_new_pairs():
    z_image, z_text = random_pairs(300, 0.8, 0)
    calibration = fit(z_image, z_text, np.eye(300, dtype=bool), z_text[:100])
    other_image, other_text = random_pairs(400, 0.8, 1)
    found = measure(calibration, other_image, other_text, np.eye(400, dtype=bool))
    assert 0.2 < found["top_hit_right"] < 0.5 and found["auc"] > 0.85 and found["ece"] < 0.1


def test_constant_probabilities_have_the_auc_of_chance():
    z_image, z_text = random_pairs(200, 0.8, 2)
    found = measure(Calibration((0, 0, 0, 0, 0.0), z_text[:50]), z_image, z_text, np.eye(200, dtype=bool))
    assert found["auc"] == pytest.approx(0.5)
