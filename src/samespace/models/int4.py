"""Linear layers with int4 weights, for decoding: half the bytes of int8 ones.

Every 32 weights of a row share a scale and a centre, as in llama.cpp's Q4_1: weights that came from there are the same again.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .int8 import replace_layer

GROUP, HALF = 32, 16
"""Weights that share a scale and a centre; how many of them are in the low half-bytes, the others being in the high ones."""
FEW_ROWS = 40
"""Rows up to which torch's product with packed weights is fastest; for more, the weights are unpacked."""
SHRINKS = (1.0, 0.95, 0.9, 0.85)
"""Shares of a group's range that are tried for its scale: what is cut off may cost less than coarser steps."""
BF16 = bool(getattr(torch.cpu, "_is_avx512_bf16_supported", bool)())
"""Whether this processor multiplies bf16 numbers itself."""


def fits(weight: Tensor) -> bool:
    """Whether a matrix (out, in) has the shape that int4 layers need."""
    return weight.shape[0] % HALF == 0 and weight.shape[1] % GROUP == 0


def is_fast() -> bool:
    """Whether torch has a product for int4 weights on this processor."""
    return torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")


def quantize(weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Quantize (out, in) → uint8 (out, in / 2) of two weights each, bf16 scales and centres (out, in / 32): w ≈ (q − 8) · s + c.

    The scale and centre of a group are those with the least squared error among a few ranges, each fitted once.
    """
    x = weight.float().unflatten(1, (-1, GROUP))  # (out, G, 32)
    low, high = x.amin(dim=-1, keepdim=True), x.amax(dim=-1, keepdim=True)
    best: tuple[Tensor, ...] = ()
    for share in SHRINKS:
        scale, centre = _fitted(x, share * (high - low) / 15, (high + low) / 2 + share * (high - low) / 30)
        q = _steps(x, scale, centre)
        error = (((q - 8) * scale + centre - x) ** 2).sum(dim=-1, keepdim=True)
        found = error, q, scale, centre
        best = tuple(torch.where(error < best[0], a, b) for a, b in zip(found, best)) if best else found
    _, q, scale, centre = best
    q = q.to(torch.uint8)
    packed = (q[..., :HALF] | q[..., HALF:] << 4).flatten(1)
    return packed, scale.squeeze(-1).bfloat16(), centre.squeeze(-1).bfloat16()


def _steps(x: Tensor, scale: Tensor, centre: Tensor) -> Tensor:
    return ((x - centre) / scale + 8).round().clamp(0, 15)


def _fitted(x: Tensor, scale: Tensor, centre: Tensor) -> tuple[Tensor, Tensor]:
    """Return the scale and centre of least squared error for the steps that these give, as bf16 has them."""
    q = _steps(x, scale := scale.clamp(min=1e-8), centre)
    spread = q - q.mean(dim=-1, keepdim=True)
    fitted = (spread * x).sum(dim=-1, keepdim=True) / spread.square().sum(dim=-1, keepdim=True).clamp(min=1e-8)
    scale = torch.where(fitted > 0, fitted, scale).bfloat16().float()
    centre = (x - (q - 8) * scale).mean(dim=-1, keepdim=True)
    return scale, centre.bfloat16().float()


def dequantize(weight: Tensor, scale: Tensor, centre: Tensor) -> Tensor:
    """Return what `quantize` gave as float32 (out, in)."""
    bytes_ = weight.unflatten(1, (-1, HALF))  # (out, G, 16)
    scale, centre = scale.float()[..., None], centre.float()[..., None]
    out = torch.empty(*bytes_.shape[:2], GROUP)
    torch.mul(bytes_ & 15, scale, out=out[..., :HALF])
    torch.mul(bytes_ >> 4, scale, out=out[..., HALF:])
    return out.add_(centre - 8 * scale).flatten(1)


class Int4Linear(nn.Module):
    """x Wᵀ + b with W as int4 in groups of 32; a few rows at a time in bf16, which loses less than the weights did."""

    weight: Tensor
    scale: Tensor
    centre: Tensor
    packed: Tensor
    scales: Tensor
    bias: Tensor | None

    def __init__(self, weight: Tensor, scale: Tensor, centre: Tensor, bias: Tensor | None = None):
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("scale", scale)
        self.register_buffer("centre", centre)
        self.register_buffer("bias", bias)
        bytes_ = weight.unflatten(1, (-1, HALF))
        q = torch.cat([bytes_ & 15, bytes_ >> 4], dim=-1).flatten(1).int()
        self.register_buffer("packed", torch.ops.aten._convert_weight_to_int4pack_for_cpu(q, 1), persistent=False)
        self.register_buffer("scales", torch.stack([scale, centre], dim=-1).transpose(0, 1).contiguous(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])
        if len(rows) <= FEW_ROWS and is_fast():
            y = torch.ops.aten._weight_int4pack_mm_for_cpu(rows.bfloat16(), self.packed, GROUP, self.scales).float()
        elif BF16:
            y = (rows.bfloat16() @ dequantize(self.weight, self.scale, self.centre).bfloat16().t()).float()
        else:
            y = F.linear(rows, dequantize(self.weight, self.scale, self.centre))
        y = y.reshape(*x.shape[:-1], -1)
        return y if self.bias is None else y + self.bias


def use_int4_layers(model: nn.Module, stored: dict[str, Tensor]) -> None:
    """Replace the layers whose weights are in `stored` as `X_int4`, `X_scale` and `X_centre` by int4 layers."""
    for name, module in list(model.named_modules()):
        if f"{name}.weight_int4" in stored:
            weight, scale, centre = (stored[f"{name}.weight_{part}"] for part in ("int4", "scale", "centre"))
            replace_layer(model, name, Int4Linear(weight, scale, centre, module.bias))
