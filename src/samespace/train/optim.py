"""Optimizers with parameter groups, the learning-rate schedule, and the moving average of the weights."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from .config import RunConfig
from .distributed import multiplies_bf16
from .muon import Muon


def lr_at(step: int, config: RunConfig) -> float:
    """Return the learning rate of a step: linear warm-up, then cosine decay to zero."""
    if step < config.warmup:
        return config.lr * (step + 1) / config.warmup
    progress = (step - config.warmup) / max(1, config.steps - config.warmup)
    return config.lr * 0.5 * (1 + math.cos(math.pi * progress))


class ChainedOptimizer:
    """Several optimizers, each with its own parameters, that step as one."""

    def __init__(self, *optimizers: torch.optim.Optimizer):
        self.optimizers = optimizers

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The parameter groups of all."""
        return [group for optimizer in self.optimizers for group in optimizer.param_groups]

    def step(self) -> None:
        """Update all parameters."""
        for optimizer in self.optimizers:
            optimizer.step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear all gradients."""
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none)

    def state_dict(self) -> dict[str, Any]:
        """Return the states of all."""
        return {"optimizers": [optimizer.state_dict() for optimizer in self.optimizers]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load what `state_dict` returned. Raises KeyError or ValueError where it is of other optimizers."""
        for optimizer, its_state in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(its_state)


Optimizer = torch.optim.Optimizer | ChainedOptimizer


def build_optimizer(model: nn.Module, config: RunConfig) -> Optimizer:
    """Return AdamW over the trainable parameters, or Muon over the matrices of blocks and AdamW over the rest.

    Vectors and scalars (biases, norms, temperature) have no weight decay. Each parameter group holds `lr_multiplier`, its
    multiple of the learning rate.
    """
    trainable = {name: p for name, p in model.named_parameters() if p.requires_grad}
    matrices = {n: p for n, p in trainable.items() if config.optimizer == "muon" and p.ndim == 2 and ".blocks." in n}
    rest = {n: p for n, p in trainable.items() if n not in matrices}
    optimizers: list[torch.optim.Optimizer] = []
    if matrices:
        dtype = torch.bfloat16 if multiplies_bf16(next(iter(matrices.values())).device) else torch.float32
        optimizers.append(Muon(parameter_groups(matrices, config), config.lr, dtype))
    if rest:
        groups = parameter_groups(rest, config)
        optimizers.append(torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, config.beta2), eps=1e-6))
    return optimizers[0] if len(optimizers) == 1 else ChainedOptimizer(*optimizers)


def parameter_groups(parameters: dict[str, nn.Parameter], config: RunConfig) -> list[dict[str, Any]]:
    """Return named parameters in groups of one learning rate and one weight decay each."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, p in parameters.items():
        parts = [part for part in config.lr_multipliers if belongs_to(plain_name(name), part)]
        multiplier = config.lr_multipliers[max(parts, key=len)] if parts else 1.0
        groups.setdefault((multiplier, config.weight_decay if p.ndim >= 2 else 0.0), []).append(p)
    return [{"params": ps, "lr_multiplier": lr, "weight_decay": decay} for (lr, decay), ps in groups.items()]


def plain_name(name: str) -> str:
    """Return a parameter's name in the model, without the prefixes of DDP and of the training model."""
    return name.removeprefix("module.").removeprefix("model.")


def belongs_to(name: str, part: str) -> bool:
    """Return whether a parameter is of a part: image.blocks.1.attn.… is of image.blocks.1, image.blocks.10.… is not."""
    return name == part or name.startswith(f"{part}.")


def set_lr(optimizer: Optimizer, lr: float) -> None:
    """Set the learning rate of every group to its multiple of `lr`."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_multiplier"]


def build_ema(model: nn.Module, config: RunConfig) -> AveragedModel | None:
    """Return the exponential moving average of a model's weights, if the run has one. Polyak and Juditsky 1992.

    At first it is nearly the mean of all weights so far, as in TensorFlow's ExponentialMovingAverage: random ones weigh little after
    a few steps, however short the run is.
    """
    if not config.ema_decay:
        return None

    def update(averages: Sequence[Tensor], current: Sequence[Tensor], count: Tensor | int) -> None:
        decay = min(config.ema_decay, (1 + float(count)) / (10 + float(count)))
        torch._foreach_lerp_(list(averages), list(current), 1 - decay)

    return AveragedModel(model, multi_avg_fn=update)
