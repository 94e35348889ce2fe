"""Activations of one patch are those that the tower computes."""

import numpy as np
import pytest
import torch
from PIL import Image

import samespace
from samespace.core.errors import RequestError
from samespace.explain.patch import attention_rollout, inspect_patch
from samespace.preprocess.pixels import normalize_pixels, square
from samespace.spaces.checkpoints import checkpoint


def pixels_of(space, file):
    """Return a photograph as the tower's input."""
    return normalize_pixels(square(Image.open(file).convert("RGB"), space.config.prep)[None], space.config.prep)


@pytest.mark.parametrize("which", ["tiny", "starter"])
def test_activations_of_a_patch(which, tiny_space, photographs):
    space = tiny_space if which == "tiny" else samespace.load("starter")
    tower = checkpoint.load(space.folder).model.image
    pixels, c = pixels_of(space, photographs / "chelsea.png"), space.config.image
    found = inspect_patch(tower, pixels, 9)
    assert found.embedding.shape == found.pos_embed.shape == (c.width,)
    assert found.attention.shape == found.class_attention.shape == (c.layers, c.heads, found.grid, found.grid)
    assert found.position_similarity.shape == (found.grid, found.grid) and found.position_similarity.argmax() == 9
    sums = found.attention.sum(axis=(2, 3))
    assert ((sums > 0) & (sums < 1)).all()  # the rest goes to the class token
    assert found.rollout.shape == (2, found.grid, found.grid)
    assert found.rollout[0].argmax() == 9 and 0.5**c.layers < found.rollout[0, 9 // found.grid, 9 % found.grid] < 1
    if which == "tiny":  # its patches are plain: what changes in another changes nothing in this one's vector
        other = pixels.copy()
        other[:, :, :16, :16] = 0
        assert np.allclose(inspect_patch(tower, other, 9).embedding, found.embedding)
        assert not np.allclose(inspect_patch(tower, other, 0).embedding, inspect_patch(tower, pixels, 0).embedding)
        with torch.inference_mode():
            flat = torch.from_numpy(pixels[0, :, 32:48, 16:32]).flatten()
            assert np.allclose((tower.patch_embed(flat)).numpy(), found.embedding, atol=1e-4)  # patch 9 of a 4 × 4 grid


def test_a_missing_patch_raises_one_sentence(tiny_space, photographs):
    tower = checkpoint.load(tiny_space.folder).model.image
    with pytest.raises(RequestError, match="no patch 99"):
        inspect_patch(tower, pixels_of(tiny_space, photographs / "coffee.png"), 99)


def test_attention_rollout_by_hand():
    """The first layer moves token 1 to token 0, the second layer moves token 0 to token 1."""
    first, second = torch.tensor([[0.0, 1.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    weights = torch.stack([torch.stack([first, first]), torch.stack([second, second])])  # two heads that agree
    assert attention_rollout(weights).tolist() == [[0.5, 0.5], [0.25, 0.75]]
