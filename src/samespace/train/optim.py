"""How weights move: groups of parameters with their own rates, warm-up and cosine, a running average."""

import math

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from .card import Card


def lr_at(step: int, card: Card) -> float:
    """Linear warm-up, then half a cosine to zero."""
    if step < card.warmup:
        return card.lr * (step + 1) / card.warmup
    return card.lr * 0.5 * (1 + math.cos(math.pi * (step - card.warmup) / max(1, card.steps - card.warmup)))


def optimizer_of(model: nn.Module, card: Card) -> torch.optim.AdamW:
    """AdamW over what is trainable; vectors and scalars (biases, norms, temperature) are not decayed.

    Each group carries `rate`, the multiple of the learning rate that the card gives its part.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, p in model.named_parameters():
        if p.requires_grad:
            fitting = [part for part in card.rates if within(plain_name(name), part)]
            rate = card.rates[max(fitting, key=len)] if fitting else 1.0
            groups.setdefault((rate, card.weight_decay if p.ndim >= 2 else 0.0), []).append(p)
    made = [{"params": ps, "rate": rate, "weight_decay": decay} for (rate, decay), ps in groups.items()]
    return torch.optim.AdamW(made, lr=card.lr, betas=(0.9, card.beta2), eps=1e-6)


def plain_name(name: str) -> str:
    """A parameter's name in the model, without what DDP and the trainee put before it."""
    return name.removeprefix("module.").removeprefix("model.")


def within(name: str, part: str) -> bool:
    """Whether a parameter belongs to a part: image.blocks.1 has image.blocks.1.attn.…, not image.blocks.10."""
    return name == part or name.startswith(f"{part}.")


def set_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = lr * group["rate"]


def average_of(model: nn.Module, card: Card) -> AveragedModel | None:
    """The running average of the weights, where the card asks for one. Polyak & Juditsky 1992."""
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(card.average)) if card.average else None
