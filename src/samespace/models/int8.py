"""Linear layers and embeddings with int8 weights, for decoding: a token costs reading every weight once, and these are a
quarter as many bytes. Weights have a scale per row, activations one per token, found as they come.
"""

import torch
from torch import Tensor, nn

BASE = 254
"""Scale of the low residual digit relative to the high one."""


class Int8Linear(nn.Module):
    """x Wᵀ + b with W as int8 (out, in) and a scale per row (out, 1).

    Each activation is quantized to two 8-bit digits, because one digit alone would cost as much accuracy as rounding W does.
    Both digits go through one product over the same weights.
    """

    weight: Tensor
    scale: Tensor
    bias: Tensor | None

    def __init__(self, weight: Tensor, scale: Tensor, bias: Tensor | None = None):
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("scale", scale.flatten())
        self.register_buffer("bias", bias)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.reshape(-1, x.shape[-1])
        scale = tokens.abs().amax(dim=1, keepdim=True).clamp_(min=1e-12).div_(127)
        first = (tokens := tokens / scale).round()
        digits = torch.cat([first, tokens.sub_(first).mul_(BASE).round_()]).to(torch.int8)
        high, low = torch._int_mm(digits, self.weight.t()).float().chunk(2)
        y = high.add_(low, alpha=1 / BASE).mul_(scale).mul_(self.scale).reshape(*x.shape[:-1], -1)
        return y if self.bias is None else y + self.bias


class Int8Embedding(nn.Module):
    """An int8 table (V, D) whose rows become float32 when they are looked up."""

    weight: Tensor
    scale: Tensor

    def __init__(self, weight: Tensor, scale: Tensor):
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("scale", scale)

    def forward(self, ids: Tensor) -> Tensor:
        return self.weight[ids].float() * self.scale[ids]


def quantize(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Quantize symmetrically: (rows, in) → int8 of the same shape and a float32 scale per row (rows, 1)."""
    scale = weight.abs().amax(dim=1, keepdim=True).clamp(min=1e-12) / 127
    return (weight / scale).round().to(torch.int8), scale


def use_int8_layers(model: nn.Module, stored: dict[str, Tensor]) -> None:
    """Replace the layers whose weights are in `stored` as `X_quantized` and `X_scale` by int8 layers."""
    for name, module in list(model.named_modules()):
        if f"{name}.weight_quantized" not in stored:
            continue
        pair = stored[f"{name}.weight_quantized"], stored[f"{name}.weight_scale"]
        parent, _, child = name.rpartition(".")
        if isinstance(module, nn.Embedding):
            setattr(model.get_submodule(parent), child, Int8Embedding(*pair))
        else:
            setattr(model.get_submodule(parent), child, Int8Linear(*pair, module.bias))
