"""The contrastive loss, by hand."""

import math

import pytest
import torch

from samespace.model.losses import clip_loss

SCALE = torch.tensor(2.0)


def test_three_by_three_by_hand():
    """Orthogonal captions, pictures on their captions: every row is softmax([2, 0, 0])."""
    z = torch.eye(3)
    expected = -math.log(math.exp(2) / (math.exp(2) + 2))
    assert clip_loss(z, z, SCALE).item() == pytest.approx(expected, abs=1e-6)


def test_a_wrong_order_costs_more():
    z = torch.eye(3)
    wrong = -math.log(1 / (math.exp(2) + 2))
    assert clip_loss(z, z[[1, 2, 0]], SCALE).item() == pytest.approx(wrong, abs=1e-6)


def test_equal_captions_share_the_target():
    """Rows 0 and 1 have the same caption: the target of each is half of one, half of the other."""
    z_image, z_text = torch.eye(3), torch.tensor([[1.0, 0, 0], [1.0, 0, 0], [0, 0, 1.0]])
    same = torch.tensor([[1, 1, 0], [1, 1, 0], [0, 0, 1]], dtype=torch.bool)
    rows = [math.log(2 * math.exp(2) + 1) - 2, math.log(3), math.log(2 + math.exp(2)) - 2]
    columns = [math.log(math.exp(2) + 2) - 1] * 2 + [math.log(math.exp(2) + 2) - 2]
    expected = (sum(rows) / 3 + sum(columns) / 3) / 2
    assert clip_loss(z_image, z_text, SCALE, same).item() == pytest.approx(expected, abs=1e-6)


def test_the_diagonal_as_a_mask_is_the_plain_loss():
    z_image, z_text = (torch.nn.functional.normalize(torch.randn(7, 5), dim=-1) for _ in range(2))
    same = torch.eye(7, dtype=torch.bool)
    assert clip_loss(z_image, z_text, SCALE, same).item() == pytest.approx(clip_loss(z_image, z_text, SCALE).item(), abs=1e-6)


def test_the_order_of_pairs_and_of_modalities_does_not_matter():
    z_image, z_text = (torch.nn.functional.normalize(torch.randn(9, 5), dim=-1) for _ in range(2))
    loss = clip_loss(z_image, z_text, SCALE).item()
    order = torch.randperm(9)
    assert clip_loss(z_image[order], z_text[order], SCALE).item() == pytest.approx(loss, abs=1e-6)
    assert clip_loss(z_text, z_image, SCALE).item() == pytest.approx(loss, abs=1e-6)
