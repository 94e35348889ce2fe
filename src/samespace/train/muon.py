"""Muon: momentum whose matrices are made nearly orthogonal before each step.

Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks"; step length as AdamW's, Liu et al. 2025, "Muon is Scalable
for LLM Training", §2.2. As torch.optim.Muon, which always multiplies in bf16 (on a processor that has no such instructions, fifty
times slower) and one matrix after the other.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the polynomial that moves all singular values towards 1."""
ITERATIONS = 5
STEP = 0.2
"""Root mean square of AdamW's step, as a share of the learning rate."""
TINY = 1e-7


def orthogonalised(matrices: Tensor, dtype: torch.dtype) -> Tensor:
    """Return matrices of about the same singular vectors whose singular values are near 1: (N, out, in), computed in `dtype`."""
    a, b, c = COEFFICIENTS
    tall = matrices.shape[1] > matrices.shape[2]
    x = (matrices.mT if tall else matrices).to(dtype)
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=TINY)
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    near: Tensor = (x.mT if tall else x).to(matrices.dtype)
    return near


class Muon(torch.optim.Optimizer):
    """Muon over matrices; those of one shape are computed together."""

    def __init__(self, params: Iterable[Any], lr: float, dtype: torch.dtype, momentum: float = 0.95, weight_decay: float = 0.0):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        self.dtype = dtype

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]  # none is ever given
        """Update all matrices."""
        for group in self.param_groups:
            shapes = defaultdict[torch.Size, list[Tensor]](list)
            for p in group["params"]:
                if p.grad is not None:
                    shapes[p.shape].append(p)
            for shape, matrices in shapes.items():
                steps = orthogonalised(torch.stack([self._momentum(p, group["momentum"]) for p in matrices]), self.dtype)
                torch._foreach_mul_(matrices, 1 - group["lr"] * group["weight_decay"])
                torch._foreach_add_(matrices, list(steps.unbind()), alpha=-group["lr"] * STEP * max(shape) ** 0.5)

    def _momentum(self, p: Tensor, momentum: float) -> Tensor:
        """Add a gradient to the mean of those before, and return Nesterov's: between both."""
        assert p.grad is not None
        state = self.state[p]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(p)
        state["momentum_buffer"].lerp_(p.grad, 1 - momentum)
        return p.grad.lerp(state["momentum_buffer"], momentum)
