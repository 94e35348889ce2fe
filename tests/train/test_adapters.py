"""Which weights are trained: frozen parts, LoRA, residual adapters, learning rates of parts."""

from dataclasses import replace

import pytest
import torch

from samespace.core.config import ImageTower, TextTower
from samespace.core.errors import ConfigError
from samespace.models.clip import DualEncoder
from samespace.spaces.checkpoints.towers import dual_encoder
from samespace.train.adapters import Lora, choose_trainable, copy_of, with_adapters
from samespace.train.contrastive import backward
from samespace.train.muon import Muon
from samespace.train.optim import belongs_to, build_optimizer, set_lr
from samespace.train.space_run import SpaceRun

TINY = dict(width=16, layers=1, heads=2, mlp=32, dim=8)
IMAGE, TEXT = ImageTower(image_size=16, patch=8, **TINY), TextTower(vocab=50, context=8, end=49, **TINY)


def outputs(model: DualEncoder) -> tuple[torch.Tensor, torch.Tensor]:
    with torch.no_grad():
        generator = torch.Generator().manual_seed(3)
        return model(torch.randn(3, 3, 16, 16, generator=generator), torch.randint(1, 50, (3, 8), generator=generator))


def test_a_frozen_tower_does_not_change_and_the_other_does(config):
    run = SpaceRun(replace(config, lock=("image",)))
    before = {n: p.clone() for n, p in run.model.named_parameters()}
    optimizer = torch.optim.SGD([p for p in run.model.parameters() if p.requires_grad], lr=0.1)
    backward(run.training_model, next(iter(run.loader)), run.objective)
    optimizer.step()
    changed = {n.split(".")[0] for n, p in run.model.named_parameters() if not torch.equal(p, before[n])}
    assert changed == {"text", "logit_scale"}


def test_parts_have_their_own_learning_rates(config):
    """Names match whole components, below DDP's prefix too, and the longest name wins."""
    run = SpaceRun(replace(config, lr_multipliers={"image": 0.1, "image.blocks.0": 0.5}))
    multiplier = {
        id(p): g["lr_multiplier"] for g in build_optimizer(run.training_model, run.config).param_groups for p in g["params"]
    }
    for name, p in run.model.named_parameters():
        expected = 0.5 if name.startswith("image.blocks.0.") else 0.1 if name.startswith("image.") else 1.0
        assert multiplier[id(p)] == expected, name
    assert belongs_to("image.blocks.1.attn", "image.blocks.1") and not belongs_to("image.blocks.10.attn", "image.blocks.1")


def test_muon_updates_the_matrices_of_blocks_only(config):
    """Its step is nearly orthogonal (all singular values alike) and as long as AdamW's; other parameters get AdamW's step."""
    steps = {}
    for name in ("adamw", "muon"):
        torch.manual_seed(0)
        run = SpaceRun(replace(config, optimizer=name, weight_decay=0.0))
        before = {n: p.detach().clone() for n, p in run.model.named_parameters()}
        optimizer = build_optimizer(run.training_model, run.config)
        for p in run.model.parameters():
            p.grad = torch.randn_like(p)
        optimizer.step()
        steps[name] = {n: (p - before[n]).detach() for n, p in run.model.named_parameters()}
    for name, step in steps["muon"].items():
        if ".blocks." in name and step.ndim == 2:
            values = torch.linalg.svdvals(step)
            assert values.min() > 0.4 * values.max(), name
            assert step.square().mean().sqrt() == pytest.approx(0.2 * run.config.lr, rel=0.4), name
        else:
            assert torch.equal(step, steps["adamw"][name]), name


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_muon_steps_as_pytorchs(dtype):
    """Over several steps and shapes, as far apart as bf16 rounds: PyTorch's always computes in it."""
    shapes, ours, theirs = [(16, 16), (16, 16), (8, 32), (32, 8)], [], []
    torch.manual_seed(0)
    for shape in shapes:
        weights = torch.randn(shape)
        ours.append(torch.nn.Parameter(weights.clone()))
        theirs.append(torch.nn.Parameter(weights.clone()))
    optimizers = (
        Muon(ours, 0.1, dtype, weight_decay=0.1),
        torch.optim.Muon(theirs, 0.1, adjust_lr_fn="match_rms_adamw", weight_decay=0.1),
    )
    for _ in range(4):
        for mine, other in zip(ours, theirs):
            mine.grad = torch.randn_like(mine)
            other.grad = mine.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    assert optimizers[0].state_dict()["state"].keys() == optimizers[1].state_dict()["state"].keys()
    for mine, other in zip(ours, theirs):
        torch.testing.assert_close(mine, other, atol=8e-3, rtol=0.0)


def test_a_new_adapter_is_the_identity_and_is_all_that_is_trained(config):
    torch.manual_seed(0)
    model = dual_encoder(IMAGE, TEXT)
    image, text, adapted = with_adapters(model, IMAGE, TEXT, 12)
    for a, b in zip(outputs(model), outputs(adapted)):
        assert torch.allclose(a, b, atol=1e-6)
    choose_trainable(adapted, replace(config, adapter=12))
    assert {n.split(".")[1] for n, p in adapted.named_parameters() if p.requires_grad and "." in n} == {"connector"}
    assert (image.adapter, text.adapter) == (12, 12)


def test_lora_starts_as_the_identity_and_merges_into_plain_layers(config):
    torch.manual_seed(0)
    model = dual_encoder(IMAGE, TEXT)
    before = outputs(model)
    lora = Lora(model, replace(config, lora=2))
    trained = [n for n, p in model.named_parameters() if p.requires_grad]
    assert {n.split(".")[-4] for n in trained if "lora" in n} >= {"qkv", "out", "fc1", "fc2"}
    assert all("lora" in n or n == "logit_scale" for n in trained)
    for a, b in zip(before, outputs(model)):
        assert torch.allclose(a, b, atol=1e-6)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "lora_B" in name:
                p.normal_(std=0.1)
    tuned = outputs(model)
    assert not torch.allclose(tuned[0], before[0], atol=1e-2)
    plain = copy_of(lora.merge(), IMAGE, TEXT)
    for a, b in zip(tuned, outputs(plain)):
        assert torch.allclose(a, b, atol=1e-5)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"lock": ("picture",)}, "no part of the model"),
        ({"lock": ("image", "text", "logit_scale")}, "nothing is left"),
        ({"lr_multipliers": {"backbone": 0.1}}, "no part of the model"),
        ({"lora": 2, "lora_targets": "conv9", "start": "starter"}, "fits no linear layer"),
    ],
)
def test_parts_that_do_not_exist_are_reported(config, settings, message):
    with pytest.raises(ConfigError, match=message):
        SpaceRun(replace(config, **settings))


def test_rates_and_decay_are_those_of_each_group(config):
    run = SpaceRun(replace(config, lr_multipliers={"image": 0.1}, weight_decay=0.2))
    optimizer = build_optimizer(run.training_model, run.config)
    set_lr(optimizer, 2.0)
    for group in optimizer.param_groups:
        assert group["lr"] == 2.0 * group["lr_multiplier"]
        assert group["weight_decay"] == (0.2 if all(p.ndim > 1 for p in group["params"]) else 0)
    assert {group["lr_multiplier"] for group in optimizer.param_groups} == {0.1, 1.0}
