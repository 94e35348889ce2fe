"""How weights move: groups of parameters with their own rates, warm-up and cosine, a running average."""

import math
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from .config import Card


def lr_at(step: int, card: Card) -> float:
    """Linear warm-up, then half a cosine to zero."""
    if step < card.warmup:
        return card.lr * (step + 1) / card.warmup
    return card.lr * 0.5 * (1 + math.cos(math.pi * (step - card.warmup) / max(1, card.steps - card.warmup)))


class Together:
    """Several optimizers, each with weights of its own, that step as one."""

    def __init__(self, *parts: torch.optim.Optimizer):
        self.parts = parts

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        return [group for part in self.parts for group in part.param_groups]

    def step(self) -> None:
        for part in self.parts:
            part.step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        for part in self.parts:
            part.zero_grad(set_to_none)

    def state_dict(self) -> dict[str, Any]:
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, kept: dict[str, Any]) -> None:
        for part, its in zip(self.parts, kept["parts"], strict=True):
            part.load_state_dict(its)


Optimizer = torch.optim.Optimizer | Together


def optimizer_of(model: nn.Module, card: Card) -> Optimizer:
    """AdamW over what is trainable; vectors and scalars (biases, norms, temperature) are not decayed.

    Or Muon (Jordan et al. 2024) over the matrices of blocks, scaled to move as far as AdamW's (Liu et al. 2025, "Muon is Scalable
    for LLM Training", §2.2), and AdamW over the rest. Each group carries `rate`, the multiple of the learning rate that the card
    gives its part.
    """
    trainable = {name: p for name, p in model.named_parameters() if p.requires_grad}
    turned = {n: p for n, p in trainable.items() if card.optimizer == "muon" and p.ndim == 2 and ".blocks." in n}
    rest = {n: p for n, p in trainable.items() if n not in turned}
    parts: list[torch.optim.Optimizer] = []
    if turned:
        parts.append(torch.optim.Muon(groups_of(turned, card), lr=card.lr, adjust_lr_fn="match_rms_adamw"))
    if rest:
        parts.append(torch.optim.AdamW(groups_of(rest, card), lr=card.lr, betas=(0.9, card.beta2), eps=1e-6))
    return parts[0] if len(parts) == 1 else Together(*parts)


def groups_of(parameters: dict[str, nn.Parameter], card: Card) -> list[dict[str, Any]]:
    """Parameters by name → groups with one rate and one decay."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, p in parameters.items():
        fitting = [part for part in card.rates if within(plain_name(name), part)]
        rate = card.rates[max(fitting, key=len)] if fitting else 1.0
        groups.setdefault((rate, card.weight_decay if p.ndim >= 2 else 0.0), []).append(p)
    return [{"params": ps, "rate": rate, "weight_decay": decay} for (rate, decay), ps in groups.items()]


def plain_name(name: str) -> str:
    """A parameter's name in the model, without what DDP and the trainee put before it."""
    return name.removeprefix("module.").removeprefix("model.")


def within(name: str, part: str) -> bool:
    """Whether a parameter belongs to a part: image.blocks.1 has image.blocks.1.attn.…, not image.blocks.10."""
    return name == part or name.startswith(f"{part}.")


def set_rate(optimizer: Optimizer, lr: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = lr * group["rate"]


def average_of(model: nn.Module, card: Card) -> AveragedModel | None:
    """The running average of the weights, where the card asks for one. Polyak & Juditsky 1992."""
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(card.average)) if card.average else None
