"""The training loop: AdamW, warm-up and cosine decay, checkpoints that a killed run goes on from."""

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Settings:
    """How long and how fast."""

    steps: int = 1000
    """Optimiser steps."""
    lr: float = 1e-3
    """Peak learning rate."""
    warmup: int = 100
    """Steps of linear warm-up."""
    weight_decay: float = 0.1
    """AdamW's decay, for matrices only."""
    clip: float = 1.0
    """Largest gradient norm."""
    save_every: int = 100
    """Steps between checkpoints."""
    seed: int = 0
    """Of the generator that draws every batch."""


def lr_at(step: int, s: Settings) -> float:
    """Linear warm-up, then half a cosine to zero."""
    if step < s.warmup:
        return s.lr * (step + 1) / s.warmup
    return s.lr * 0.5 * (1 + math.cos(math.pi * (step - s.warmup) / max(1, s.steps - s.warmup)))


def optimizer_of(model: nn.Module, s: Settings) -> torch.optim.AdamW:
    """AdamW over what is trainable; vectors and scalars (biases, norms, temperature) are not decayed."""
    trainable = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trainable if p.ndim >= 2], "weight_decay": s.weight_decay},
        {"params": [p for p in trainable if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=s.lr, betas=(0.9, 0.98), eps=1e-6)


def train(
    model: nn.Module,
    loss_of: Callable[[torch.Generator], Tensor],
    settings: Settings,
    checkpoint: Path,
    report: Callable[[int, float, float], None],
) -> None:
    """Run `settings.steps` steps of `loss_of(generator)`, going on from `checkpoint` where there is one.

    `report(step, loss, seconds)` is called at every save. Raises FloatingPointError on a loss that is not a number.
    """
    optimizer, generator, first = optimizer_of(model, settings), torch.Generator().manual_seed(settings.seed), 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        generator.set_state(state["generator"])
        first = state["step"]
    started, recent = time.monotonic(), []
    for step in range(first, settings.steps):
        for group in optimizer.param_groups:
            group["lr"] = lr_at(step, settings)
        loss = loss_of(generator)
        if not loss.isfinite():
            raise FloatingPointError(f"the loss is {loss.item()} at step {step}; lower the learning rate")
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], settings.clip)
        optimizer.step()
        with torch.no_grad():
            model.logit_scale.clamp_(max=math.log(100))
        recent.append(loss.item())
        if (step + 1) % settings.save_every == 0 or step + 1 == settings.steps:
            save(checkpoint, model, optimizer, generator, step + 1)
            report(step + 1, sum(recent) / len(recent), time.monotonic() - started)
            recent.clear()


def save(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, generator: torch.Generator, step: int) -> None:
    """Write a checkpoint so that a kill leaves the old one or the new one, never half of either."""
    scratch = path.with_suffix(".part")
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "generator": generator.get_state()}
    with open(scratch, "wb") as file:
        torch.save(state | {"step": step}, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(scratch, path)
