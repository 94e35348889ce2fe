"""One patch inside a tower: what is told of it is what the tower computes."""

import numpy as np
import pytest
import torch
from PIL import Image

import samespace
from samespace.core.errors import RequestError
from samespace.explain.patch import look_inside, rollout
from samespace.preprocess.pixels import normalize_pixels, square
from samespace.spaces import checkpoint


def seen(space, file):
    """A photograph as the tower takes it."""
    return normalize_pixels(square(Image.open(file).convert("RGB"), space.config.prep)[None], space.config.prep)


@pytest.mark.parametrize("which", ["tiny", "starter"])
def test_a_patch_is_followed(which, tiny_space, photographs):
    space = tiny_space if which == "tiny" else samespace.load("starter")
    tower = checkpoint.load(space.folder).model.image
    pixels, c = seen(space, photographs / "chelsea.png"), space.config.image
    found = look_inside(tower, pixels, 9)
    assert found.vector.shape == found.position.shape == (c.width,)
    assert found.attention.shape == found.summary.shape == (c.layers, c.heads, found.grid, found.grid)
    assert found.near.shape == (found.grid, found.grid) and np.unravel_index(found.near.argmax(), found.near.shape) == (
        9 // found.grid,
        9 % found.grid,
    )
    sums = found.attention.sum(axis=(2, 3))
    assert ((sums > 0) & (sums < 1)).all()  # the rest goes to the class token
    assert found.rollout.shape == (2, found.grid, found.grid)
    assert found.rollout[0].argmax() == 9 and 0.5**c.layers < found.rollout[0, 9 // found.grid, 9 % found.grid] < 1
    if which == "tiny":  # its patches are plain: what changes in another changes nothing in this one's vector
        other = pixels.copy()
        other[:, :, :16, :16] = 0
        assert np.allclose(look_inside(tower, other, 9).vector, found.vector)
        assert not np.allclose(look_inside(tower, other, 0).vector, look_inside(tower, pixels, 0).vector)
        with torch.inference_mode():
            flat = torch.from_numpy(pixels[0, :, 32:48, 16:32]).flatten()
            assert np.allclose((tower.patch_embed(flat)).numpy(), found.vector, atol=1e-4)  # patch 9 of a 4 × 4 grid


def test_a_patch_that_is_not_there_is_one_sentence(tiny_space, photographs):
    tower = checkpoint.load(tiny_space.folder).model.image
    with pytest.raises(RequestError, match="no patch 99"):
        look_inside(tower, seen(tiny_space, photographs / "coffee.png"), 99)


def test_attention_rolls_through_the_layers():
    """By hand: the first layer hands token 1 to token 0, the second layer hands token 0 to token 1."""
    first, second = torch.tensor([[0.0, 1.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    weights = torch.stack([torch.stack([first, first]), torch.stack([second, second])])  # two heads that agree
    assert rollout(weights).tolist() == [[0.5, 0.5], [0.25, 0.75]]
