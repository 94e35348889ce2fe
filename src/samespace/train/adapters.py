"""Which weights are trained: frozen parts, LoRA, residual adapters; and the initialisation of new towers."""

from dataclasses import replace
from functools import partial
from importlib.util import find_spec

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from ..core.config import ImageTower, TextTower
from ..core.errors import ConfigError, MissingExtra, cause_of, error_summary
from ..models.clip import DualEncoder
from ..models.layers import Block
from ..models.lm import LlamaBlock
from ..spaces.checkpoints.towers import dual_encoder
from .config import RunConfig
from .optim import belongs_to

LORA_TARGETS = {"space": r".*\.(qkv|out|fc1|fc2)", "assistant": r"lm\.blocks\..*\.(qkv|out|gate_up|down)"}
"""Task → the linear layers that LoRA is added to by default: those of all blocks, of an assistant its language model's."""
ADAPTER_WEIGHTS = ".connector."
"""In the names of the weights of residual adapters."""
TRAINED_WITH_LORA = ("logit_", "projector.", "place")
"""Beginnings of the names of weights that are trained in full beside LoRA matrices."""


def initialize(model: DualEncoder) -> None:
    """Initialise new towers in place, by the widths of their layers. Radford et al. 2021, §2.5, after GPT-2."""
    for tower in (model.image, model.text):
        blocks = [m for m in tower.modules() if isinstance(m, Block)]
        for block in blocks:
            width = int(block.norm1.normalized_shape[0])
            residual_std = width**-0.5 * (2 * len(blocks)) ** -0.5  # the more residual sums, the smaller each
            for layer, std in (
                (block.attn.qkv, width**-0.5), (block.attn.out, residual_std),
                (block.mlp.fc1, (2 * width) ** -0.5), (block.mlp.fc2, residual_std),
            ):  # fmt: skip
                nn.init.normal_(layer.weight, std=std)
                nn.init.zeros_(layer.bias)
        if isinstance(tower.proj, nn.Linear):
            nn.init.normal_(tower.proj.weight, std=tower.proj.in_features**-0.5)
    token_embed = model.text.token_embed
    assert isinstance(token_embed, nn.Embedding)
    nn.init.normal_(token_embed.weight, std=0.02)


def with_adapters(
    model: DualEncoder, image: ImageTower, text: TextTower, hidden: int
) -> tuple[ImageTower, TextTower, DualEncoder]:
    """Return the same towers, and their configs, with a residual adapter after each; at first it is the identity."""
    image, text = replace(image, adapter=hidden), replace(text, adapter=hidden)
    adapted = dual_encoder(image, text, model.logit_bias is not None)
    new = {name: weight for name, weight in adapted.state_dict().items() if ADAPTER_WEIGHTS in name}
    adapted.load_state_dict(model.state_dict() | new)
    return image, text, adapted


def choose_trainable(model: nn.Module, config: RunConfig) -> None:
    """Freeze in place what the run does not train.

    Raises ConfigError where a name in `lock` or `lr_multipliers` is not of the model, or nothing is left to train.
    """
    names = [name for name, _ in model.named_parameters()]
    for setting, parts in (("lock", config.lock), ("lr_multipliers", config.lr_multipliers)):
        for part in parts:
            if not any(belongs_to(name, part) for name in names):
                begins = ", ".join(dict.fromkeys(name.partition(".")[0] for name in names))
                raise ConfigError(f"{setting} names {part!r}, which is no part of the model; parts begin with {begins}")
    for name, p in model.named_parameters():
        if config.adapter:
            p.requires_grad_(ADAPTER_WEIGHTS in name or name.startswith("logit_"))
        if any(belongs_to(name, part) for part in config.lock):
            p.requires_grad_(False)
    if not any(p.requires_grad for p in model.parameters()):
        raise ConfigError("every part is locked and nothing is left to train; lock less")


def checkpoint_blocks(model: nn.Module) -> None:
    """Make the transformer blocks recompute their activations in the backward pass. Chen et al. 2016."""
    for module in model.modules():
        if isinstance(module, Block | LlamaBlock):
            module.forward = partial(checkpoint, module.forward, use_reentrant=False)  # type: ignore[method-assign]


class Lora:
    """LoRA matrices beside linear layers, added and merged by peft. Hu et al. 2021."""

    def __init__(self, model: nn.Module, config: RunConfig):
        """Add the matrices to the model in place, and freeze its other weights. Raises ConfigError, MissingExtra."""
        if not find_spec("peft"):
            raise MissingExtra("LoRA (peft)", "train")
        try:
            import peft
        except (ImportError, RuntimeError) as error:  # it is installed, and one of its own imports fails
            reason = error_summary(cause_of(error))
            raise ConfigError(f"LoRA's package peft cannot be loaded ({reason}); repair that package") from None
        targets = config.lora_targets or LORA_TARGETS[config.task]
        settings = peft.LoraConfig(r=config.lora, lora_alpha=2 * config.lora, target_modules=targets, lora_dropout=0.0)
        try:
            self.tuner = peft.tuners.lora.LoraModel(model, {"default": settings}, "default")
        except ValueError as error:
            message = f"lora_targets = {targets!r} fits no linear layer ({error}); see --dry-run for their names"
            raise ConfigError(message) from None
        for name, p in model.named_parameters():
            if name.startswith(TRAINED_WITH_LORA):
                p.requires_grad_(True)

    def merge(self) -> nn.Module:
        """Multiply the matrices into the model's weights and return it, with plain linear layers again."""
        merged: nn.Module = self.tuner.merge_and_unload()
        return merged


@torch.no_grad()
def copy_of(model: DualEncoder, image: ImageTower, text: TextTower) -> DualEncoder:
    """Return a new model with the same weights, in evaluation mode."""
    twin = dual_encoder(image, text, model.logit_bias is not None)
    twin.load_state_dict(model.state_dict())
    return twin.eval()


def parameter_counts(model: nn.Module) -> dict[str, tuple[int, int]]:
    """Return for each part (image.blocks, text.proj, …) its number of parameters, and how many of them are trained."""
    counts: dict[str, tuple[int, int]] = {}
    for name, p in model.named_parameters():
        part = ".".join(name.split(".")[:2])
        total, trained = counts.get(part, (0, 0))
        counts[part] = total + p.numel(), trained + p.numel() * p.requires_grad
    return counts
