"""Linear layers and embeddings with int8 weights, for decoding: a token costs reading every weight once, and these are a
quarter as many bytes. Weights have a scale per row, activations one per token, found as they come.
"""

import torch
from torch import Tensor, nn

BASE = 254
"""Scale of the low residual digit relative to the high one."""


MANY_ROWS = 16
"""Rows from which floating-point products are faster than integer ones on a CPU without int8 instructions."""
EXACT_INPUTS = 1040
"""Products of so many pairs of int8 numbers from −127 to 127 sum up to less than 2²⁴: float32 holds the sum exactly."""


def int8_product(x: Tensor, weight: Tensor) -> Tensor:
    """Return x Wᵀ exactly, for int8 x (N, in) and W (out, in), as numbers of any type (N, out).

    On a CPU without AVX-512 torch's integer product of many rows is several times slower than one in floating point.
    """
    if len(x) < MANY_ROWS or x.device.type != "cpu" or torch.backends.cpu.get_cpu_capability() != "AVX2":
        return torch._int_mm(x, weight.t())
    pieces = zip(x.split(EXACT_INPUTS, dim=1), weight.split(EXACT_INPUTS, dim=1))
    first, *rest = (a.float() @ b.float().t() for a, b in pieces)
    return sum((piece.double() for piece in rest), first.double()) if rest else first


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
        high, low = int8_product(digits, self.weight).float().chunk(2)
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
        is_table = isinstance(module, nn.Embedding)
        replace_layer(model, name, Int8Embedding(*pair) if is_table else Int8Linear(*pair, module.bias))


def replace_layer(model: nn.Module, name: str, layer: nn.Module) -> None:
    """Put another layer in the place of the one of this name."""
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, layer)
