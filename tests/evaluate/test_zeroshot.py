"""Zero-shot classification against its definition."""

import numpy as np
import pytest

from samespace.core.errors import QueryError
from samespace.evaluate.zeroshot import label_vectors, probabilities


def test_a_labels_vector_is_the_mean_of_its_sentences(tiny_space):
    z = label_vectors(tiny_space, ["cat", "dog"], ["a {}", "the {} there"])
    by_hand = tiny_space.text(["a dog", "the dog there"]).mean(axis=0)
    assert z.shape == (2, 24)
    assert np.allclose(z[1], by_hand / np.linalg.norm(by_hand), atol=1e-6)


def test_probabilities_use_the_learned_temperature(tiny_space):
    z_image = tiny_space.text(["one", "two"])
    z_labels = tiny_space.text(["three", "four", "five"])
    logits = tiny_space.config.logit_scale * z_image @ z_labels.T
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert np.allclose(probabilities(tiny_space, z_image, z_labels), expected, atol=1e-6)


def test_siglip_labels_get_independent_probabilities(tiny_space):
    from dataclasses import replace

    tiny_space.config = replace(tiny_space.config, logit_bias=-1.0, logit_scale=2.0)
    z = np.eye(2, 24, dtype=np.float32)
    p = probabilities(tiny_space, z, z)
    assert p[0, 0] == pytest.approx(1 / (1 + np.exp(-1)), abs=1e-6)
    assert p[0, 1] == pytest.approx(1 / (1 + np.exp(1)), abs=1e-6)


@pytest.mark.parametrize(("labels", "templates"), [([], ["{}"]), ([" "], ["{}"]), (["cat"], ["a photo"])])
def test_bad_labels_are_refused(tiny_space, labels, templates):
    with pytest.raises(QueryError):
        label_vectors(tiny_space, labels, templates)
