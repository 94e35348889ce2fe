"""A small generator with random weights, in the starter's space, and its training pictures."""

from pathlib import Path

import numpy as np
import pytest
import torch

import samespace
from samespace.core.generator_config import GeneratorConfig
from samespace.generate.export import export
from samespace.generate.nearest import write_atlas
from samespace.models.generate.flow import FlowTransformer


@pytest.fixture(scope="session")
def tiny_generator(tmp_path_factory, traced_once) -> Path:
    """The folder of a generator that draws noise of 16 × 16 pixels."""
    torch.manual_seed(0)
    config = GeneratorConfig(
        name="tiny", size=16, patch=8, width=32, layers=2, heads=2, mlp=64, space=samespace.load("starter").fingerprint
    )
    model = FlowTransformer(config).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn_like(p) * 0.05)
    folder = tmp_path_factory.mktemp("generators") / "tiny"
    export(model, config, folder)
    rng = np.random.default_rng(0)
    pictures = [
        np.dstack([np.full((32, 32, 3), rng.integers(0, 256, 3)), np.full((32, 32), 255)]).astype(np.uint8) for _ in range(5)
    ]
    write_atlas(pictures, [f"colour {i}" for i in range(5)], folder)
    return folder
