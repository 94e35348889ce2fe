"""The contrastive loss, by hand."""

import math

import pytest
import torch

from samespace.models.losses import clip_loss, distil_loss, siglip_loss

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


def test_siglip_three_by_three_by_hand():
    """Orthogonal captions: the diagonal costs -log σ(t + b), each of the six others -log σ(-b)."""
    z, scale, bias = torch.eye(3), torch.tensor(2.0), torch.tensor(-1.0)
    expected = math.log(1 + math.exp(-1)) + 2 * math.log(1 + math.exp(-1))
    assert siglip_loss(z, z, scale, bias).item() == pytest.approx(expected, abs=1e-6)


def test_siglip_counts_equal_captions_as_right():
    z_image, z_text = torch.eye(2), torch.tensor([[1.0, 0], [1.0, 0]])
    same = torch.ones(2, 2, dtype=torch.bool)
    expected = math.log(1 + math.exp(-2)) + math.log(2)  # logits 2 and 0, twice each, all right
    assert siglip_loss(z_image, z_text, SCALE, torch.tensor(0.0), same).item() == pytest.approx(expected, abs=1e-6)


def test_a_teacher_that_agrees_costs_nothing_and_another_does():
    z_image, z_text = units(6, 4), units(6, 4)
    assert distil_loss(z_image, z_text, z_image, z_text, SCALE, 2.0).item() == pytest.approx(0, abs=1e-6)
    assert distil_loss(z_image, z_text, units(6, 9), units(6, 9), SCALE, 2.0).item() > 0.01


def test_distillation_by_hand():
    """Student rows softmax([2, 0]), teacher rows softmax([0, 2]): KL of (q, p) against (p, q)."""
    z, p = torch.eye(2), math.exp(2) / (math.exp(2) + 1)
    expected = (2 * p - 1) * math.log(p / (1 - p))
    assert distil_loss(z, z, z, z.flip(0), SCALE, 2.0).item() == pytest.approx(expected, abs=1e-6)


def naive_clip(z_image, z_text, scale, same):
    """The sum over pairs, one at a time."""
    B, total = len(z_image), 0.0
    for i in range(B):
        right = [j for j in range(B) if same[i, j]]
        for a, b in ((z_image, z_text), (z_text, z_image)):
            logits = torch.stack([scale * (a[i] * b[j]).sum() for j in range(B)])
            total = total - sum(logits[j] - logits.exp().sum().log() for j in right) / len(right)
    return total / (2 * B)


def naive_siglip(z_image, z_text, scale, bias, same):
    total = 0.0
    for i in range(len(z_image)):
        for j in range(len(z_text)):
            sign = 1.0 if same[i, j] else -1.0
            total = total + torch.log(1 + torch.exp(-sign * (scale * (z_image[i] * z_text[j]).sum() + bias)))
    return total / len(z_image)


@pytest.mark.parametrize("loss, naive, scalars", [(clip_loss, naive_clip, 1), (siglip_loss, naive_siglip, 2)])
def test_gradients_are_those_of_the_sum_written_out(loss, naive, scalars):
    group = torch.tensor([0, 1, 0, 2, 3, 2])
    same = group[:, None] == group
    inputs = [units(6, 5), units(6, 5), *(torch.tensor(v) for v in (3.0, -2.0)[:scalars])]
    got, want = ([x.clone().requires_grad_() for x in inputs] for _ in range(2))
    loss(*got, same=same).backward()
    naive(*want, same).backward()
    for a, b in zip(got, want):
        assert torch.allclose(a.grad, b.grad, atol=1e-6)


@pytest.mark.parametrize("loss, scalars", [(clip_loss, (3.0,)), (siglip_loss, (3.0, -2.0))])
def test_the_parts_of_many_machines_make_up_the_whole(loss, scalars):
    z_image, z_text, scalars = units(8, 5), units(8, 5), [torch.tensor(v) for v in scalars]
    whole = loss(z_image, z_text, *scalars).item()
    parts = [loss(z_image, z_text, *scalars, rows=slice(i, i + 4)).item() for i in (0, 4)]
    assert sum(parts) / 2 == pytest.approx(whole, abs=1e-6)
    order = torch.randperm(8)
    assert loss(z_image[order], z_text[order], *scalars).item() == pytest.approx(whole, abs=1e-6)


def units(count: int, dim: int) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(count, dim), dim=-1)
