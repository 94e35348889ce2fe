"""int4 weights: what they hold, what a product with them is, and that weights of llama.cpp's grid are the same again."""

import pytest
import torch

from samespace.models import int4


def on_the_grid(rows=48, width=96):
    """Weights of 16 steps in every group of 32, as Q4_1 has them; each group uses the first and the last."""
    torch.manual_seed(0)
    q = torch.randint(0, 16, (rows, width // 32, 32))
    q[..., 0], q[..., 1] = 0, 15
    scale = (torch.rand(rows, width // 32, 1) * 0.01 + 0.001).bfloat16().float()
    centre = ((torch.rand(rows, width // 32, 1) - 0.5) * 0.01).bfloat16().float()
    return ((q - 8) * scale + centre).flatten(1)


def test_weights_on_the_grid_are_the_same_again():
    weight = on_the_grid()
    packed, scale, centre = int4.quantize(weight)
    assert packed.dtype == torch.uint8 and packed.shape == (48, 48) and scale.shape == centre.shape == (48, 3)
    torch.testing.assert_close(int4.dequantize(packed, scale, centre), weight, rtol=5e-3, atol=2e-4)


def test_other_weights_lose_less_than_by_rounding_to_their_range():
    torch.manual_seed(1)
    weight = torch.randn(64, 256)
    groups = weight.unflatten(1, (-1, 32))
    low, high = groups.amin(dim=-1, keepdim=True), groups.amax(dim=-1, keepdim=True)
    step = (high - low) / 15
    rounded = ((groups - low) / step).round() * step + low
    error = (int4.dequantize(*int4.quantize(weight)) - weight).square().mean()
    assert error < 0.9 * (rounded - groups).square().mean()


def test_a_row_of_equal_weights_stays_so():
    weight = torch.full((16, 32), 0.25)
    torch.testing.assert_close(int4.dequantize(*int4.quantize(weight)), weight, rtol=1e-2, atol=1e-4)


@pytest.mark.parametrize("rows", [1, int4.FEW_ROWS, int4.FEW_ROWS + 1, 70])
def test_products_are_those_of_the_weights_that_are_stored(rows):
    weight = torch.randn(48, 96) * 0.1
    stored = int4.quantize(weight)
    layer = int4.Int4Linear(*stored, bias=torch.randn(48))
    x = torch.randn(2, rows, 96)[:1]
    want = x @ int4.dequantize(*stored).t() + layer.bias
    torch.testing.assert_close(layer(x), want, rtol=2e-2, atol=2e-2)


def test_without_fast_products_it_is_the_same(monkeypatch):
    layer, x = int4.Int4Linear(*int4.quantize(torch.randn(48, 96) * 0.1)), torch.randn(1, 3, 96)
    few = layer(x)
    monkeypatch.setattr(int4, "is_fast", lambda: False)
    monkeypatch.setattr(int4, "BF16", False)
    torch.testing.assert_close(layer(x), few, rtol=2e-2, atol=2e-2)


def test_which_shapes_fit():
    assert int4.fits(torch.empty(48, 96)) and not int4.fits(torch.empty(40, 96)) and not int4.fits(torch.empty(48, 80))
