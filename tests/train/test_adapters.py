"""What learns and what stays: locks, LoRA, a connector, a model trained further."""

from dataclasses import replace

import pytest
import torch

from samespace.core.config import ImageTower, TextTower
from samespace.core.errors import ConfigError
from samespace.models.clip import DualEncoder
from samespace.spaces.towers import dual_encoder
from samespace.train.adapters import Adapters, choose_parts, copied, with_connector
from samespace.train.optim import optimizer_of, within
from samespace.train.run import Run
from samespace.train.tasks import backward

TINY = dict(width=16, layers=1, heads=2, mlp=32, dim=8)
IMAGE, TEXT = ImageTower(image_size=16, patch=8, **TINY), TextTower(vocab=50, context=8, end=49, **TINY)


def outputs(model: DualEncoder) -> tuple[torch.Tensor, torch.Tensor]:
    with torch.no_grad():
        generator = torch.Generator().manual_seed(3)
        return model(torch.randn(3, 3, 16, 16, generator=generator), torch.randint(1, 50, (3, 8), generator=generator))


def test_a_locked_tower_does_not_move_and_the_other_does(card):
    run = Run(replace(card, lock=("image",)))
    before = {n: p.clone() for n, p in run.model.named_parameters()}
    optimizer = torch.optim.SGD([p for p in run.model.parameters() if p.requires_grad], lr=0.1)
    backward(run.trainee, next(iter(run.loader)), run.objective)
    optimizer.step()
    moved = {n.split(".")[0] for n, p in run.model.named_parameters() if not torch.equal(p, before[n])}
    assert moved == {"text", "logit_scale"}


def test_parts_have_their_own_rates_and_names_are_not_cut(card):
    """`image` has its rate under every wrapping; `image.blocks.0` is not `image.blocks.01…`; the longest name wins."""
    run = Run(replace(card, rates={"image": 0.1, "image.blocks.0": 0.5}))
    rate_of = {id(p): g["rate"] for g in optimizer_of(run.trainee, run.card).param_groups for p in g["params"]}
    for name, p in run.model.named_parameters():
        assert rate_of[id(p)] == (0.5 if name.startswith("image.blocks.0.") else 0.1 if name.startswith("image.") else 1.0), name
    assert within("image.blocks.1.attn", "image.blocks.1") and not within("image.blocks.10.attn", "image.blocks.1")


def test_muon_turns_the_matrices_of_blocks_only(card):
    """Its step is nearly orthogonal (all singular values alike), as long as AdamW's; what is no such matrix moves as AdamW has it."""
    moved = {}
    for name in ("adamw", "muon"):
        torch.manual_seed(0)
        run = Run(replace(card, optimizer=name, weight_decay=0.0))
        before = {n: p.detach().clone() for n, p in run.model.named_parameters()}
        optimizer = optimizer_of(run.trainee, run.card)
        for p in run.model.parameters():
            p.grad = torch.randn_like(p)
        optimizer.step()
        moved[name] = {n: (p - before[n]).detach() for n, p in run.model.named_parameters()}
    for name, step in moved["muon"].items():
        if ".blocks." in name and step.ndim == 2:
            values = torch.linalg.svdvals(step)
            assert values.min() > 0.4 * values.max(), name
            assert step.square().mean().sqrt() == pytest.approx(0.2 * run.card.lr, rel=0.4), name
        else:
            assert torch.equal(step, moved["adamw"][name]), name


def test_a_connector_at_first_changes_nothing_and_only_it_learns(card):
    torch.manual_seed(0)
    model = dual_encoder(IMAGE, TEXT)
    image, text, connected = with_connector(model, IMAGE, TEXT, 12)
    for a, b in zip(outputs(model), outputs(connected)):
        assert torch.allclose(a, b, atol=1e-6)
    choose_parts(connected, replace(card, connector=12))
    assert {n.split(".")[1] for n, p in connected.named_parameters() if p.requires_grad and "." in n} == {"connector"}
    assert (image.adapter, text.adapter) == (12, 12)


def test_lora_learns_in_attention_too_and_merges_into_plain_layers(card):
    torch.manual_seed(0)
    model = dual_encoder(IMAGE, TEXT)
    before = outputs(model)
    adapters = Adapters(model, replace(card, lora=2))
    learning = [n for n, p in model.named_parameters() if p.requires_grad]
    assert {n.split(".")[-4] for n in learning if "lora" in n} >= {"qkv", "out", "fc1", "fc2"}
    assert all("lora" in n or n == "logit_scale" for n in learning)
    for a, b in zip(before, outputs(model)):
        assert torch.allclose(a, b, atol=1e-6)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "lora_B" in name:
                p.normal_(std=0.1)
    tuned = outputs(model)
    assert not torch.allclose(tuned[0], before[0], atol=1e-2)
    plain = copied(adapters.merged(), IMAGE, TEXT)
    for a, b in zip(tuned, outputs(plain)):
        assert torch.allclose(a, b, atol=1e-5)


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"lock": ("picture",)}, "no part of the model"),
        ({"lock": ("image", "text", "logit_scale")}, "nothing is left"),
        ({"rates": {"trunk": 0.1}}, "no part of the model"),
        ({"lora": 2, "lora_on": "conv9", "start": "starter"}, "fits no linear layer"),
    ],
)
def test_parts_that_do_not_exist_are_named(card, settings, words):
    with pytest.raises(ConfigError, match=words):
        Run(replace(card, **settings))
