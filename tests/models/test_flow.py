"""The generator's transformer and its loss."""

import numpy as np
import pytest
import torch

from samespace.core.generator_config import GeneratorConfig
from samespace.models.generate.flow import FlowTransformer
from samespace.models.losses import NEAREST_TIME, flow_loss

TINY = GeneratorConfig(size=16, patch=8, width=32, layers=2, heads=2, mlp=64, dim=8, z_tokens=2, word_width=12)


@pytest.fixture
def model() -> FlowTransformer:
    torch.manual_seed(0)
    made = FlowTransformer(TINY).eval()
    with torch.no_grad():
        for p in made.parameters():
            p.add_(torch.randn_like(p) * 0.1)
    return made


def inputs(count: int = 3, words: int = 4) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {
        "x": torch.randn(count, 4, 16, 16), "t": torch.rand(count), "z": torch.randn(count, 8),
        "words": torch.randn(count, words, 12), "present": torch.ones(count, words),
    }  # fmt: skip


def test_a_new_generator_predicts_grey():
    assert torch.equal(FlowTransformer(TINY)(**inputs()), torch.zeros(3, 4, 16, 16))


@torch.no_grad()
def test_padding_changes_nothing_and_every_input_counts(model):
    given = inputs()
    out = model(**given)
    padded = given | {
        "words": torch.cat([given["words"], torch.randn(3, 2, 12)], 1),
        "present": torch.cat([given["present"], torch.zeros(3, 2)], 1),
    }
    assert torch.allclose(model(**padded), out, atol=1e-5)
    for name in ("x", "t", "z", "words"):
        assert (model(**given | {name: given[name] + 0.5}) - out).abs().mean() > 1e-3, name
    assert (model(**given | {"present": torch.zeros(3, 4)}) - out).abs().mean() > 1e-3


@torch.no_grad()
def test_attention_can_be_looked_at(model):
    tap = {}
    assert torch.allclose(model(**inputs(), tap=tap), model(**inputs()), atol=1e-5)
    weights = tap["blocks.1.cross.weights"]
    assert weights.shape == (3, 2, 4, 2 + 4) and torch.allclose(weights.sum(-1), torch.ones(3, 2, 4), atol=1e-5)


def test_the_loss_is_that_of_the_velocity():
    picture, noise, predicted = (torch.randn(2, 4, 8, 8) for _ in range(3))
    t = torch.tensor([0.3, 0.8])
    noisy = (1 - t)[:, None, None, None] * noise + t[:, None, None, None] * picture
    velocity = (predicted - noisy) / (1 - t)[:, None, None, None]
    assert flow_loss(predicted, picture, t).item() == pytest.approx(((velocity - (picture - noise)) ** 2).mean().item(), rel=1e-4)
    late = flow_loss(predicted, picture, torch.tensor([1.0, NEAREST_TIME])).item()
    assert np.isfinite(late) and late == pytest.approx(
        ((predicted - picture) ** 2).mean().item() / (1 - NEAREST_TIME) ** 2, rel=1e-3
    )
