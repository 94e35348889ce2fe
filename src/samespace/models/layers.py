"""The parts every tower is made of: attention, MLP, block.

Shape letters used in all of `models/`:
B batch · N tokens · D width · E shared space · H heads · T text tokens · V vocabulary · C channels · K classes ·
F frames · M mels
"""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

Tap = dict[str, Tensor]
"""Activations by name, captured by a forward pass that is given one: `blocks.3.attn.weights`, `patches`, …"""


def record(tap: Tap | None, name: str, x: Tensor) -> Tensor:
    """Record `x` under `name` if activations are captured; return `x`."""
    if tap is not None:
        tap[name] = x.detach()
    return x


class QuickGELU(nn.Module):
    """x · σ(1.702 x), the GELU approximation of the first CLIP."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "gelu": nn.GELU,
    "quick_gelu": QuickGELU,
    "gelu_tanh": partial(nn.GELU, approximate="tanh"),
    "relu": nn.ReLU,
    "silu": nn.SiLU,
}


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, tap: Tap | None, name: str) -> Tensor:
    """softmax(q kᵀ / √d + mask) v for q, k, v of shape (B, H, N, d). After Vaswani et al. 2017, eq. 1."""
    if tap is None:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
    weights = (scores if mask is None else scores + mask).softmax(dim=-1)
    return record(tap, f"{name}.weights", weights) @ v


def turns(angles: Tensor) -> Tensor:
    """Cosines and sines for `rotate`: (…, N, d/2) → (2, …, N, d)."""
    twice = torch.cat([angles, angles], dim=-1)
    return torch.stack([twice.cos(), twice.sin()])


def rotate(x: Tensor, by: Tensor) -> Tensor:
    """Turn the pairs (x_i, x_{i + d/2}) of (B, H, N, d) by angles, as `turns` has them. Su et al. 2021, §3.4."""
    left, right = x.chunk(2, dim=-1)
    return (x * by[0] + torch.cat([-right, left], dim=-1) * by[1]).to(x.dtype)


class Attention(nn.Module):
    """Multi-head self-attention with one packed projection for q, k and v; of rotary positions where it is given `by`."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(
        self, x: Tensor, mask: Tensor | None = None, tap: Tap | None = None, name: str = "attn", by: Tensor | None = None
    ) -> Tensor:
        q, k, v = rearrange(self.qkv(x), "b n (three h d) -> three b h n d", three=3, h=self.heads)
        if by is not None:
            q, k = rotate(q, by), rotate(k, by)
        return self.out(rearrange(attend(q, k, v, mask, tap, name), "b h n d -> b n (h d)"))


class CrossAttention(nn.Module):
    """Multi-head attention of tokens to a context of the same width."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(width, width)
        self.kv = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(
        self, x: Tensor, context: Tensor, mask: Tensor | None = None, tap: Tap | None = None, name: str = "cross"
    ) -> Tensor:
        q = rearrange(self.q(x), "b n (h d) -> b h n d", h=self.heads)
        k, v = rearrange(self.kv(context), "b n (two h d) -> two b h n d", two=2, h=self.heads)
        return self.out(rearrange(attend(q, k, v, mask, tap, name), "b h n d -> b n (h d)"))


class Mlp(nn.Module):
    """Two linear layers with a non-linearity between: (…, width) → (…, out), `out` being the width unless given."""

    def __init__(self, width: int, hidden: int, act: str, out: int = 0):
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.act = ACTIVATIONS[act]()
        self.fc2 = nn.Linear(hidden, out or width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.act(self.fc1(x)))


class ResidualAdapter(nn.Module):
    """A unit vector plus a small MLP's correction, which starts at zero: (B, E) → (B, E)."""

    def __init__(self, dim: int, hidden: int, act: str):
        super().__init__()
        self.mlp = Mlp(dim, hidden, act)
        nn.init.zeros_(self.mlp.fc2.weight)
        nn.init.zeros_(self.mlp.fc2.bias)

    def forward(self, z: Tensor) -> Tensor:
        z = F.normalize(z, dim=-1)
        return z + self.mlp(z)


class Block(nn.Module):
    """A transformer block: pre-norm as in ViT and CLIP, or post-norm as in BERT."""

    def __init__(self, width: int, heads: int, mlp: int, act: str, eps: float, post_norm: bool = False):
        super().__init__()
        self.post_norm = post_norm
        self.norm1 = nn.LayerNorm(width, eps=eps)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=eps)
        self.mlp = Mlp(width, mlp, act)

    def forward(
        self, x: Tensor, mask: Tensor | None = None, tap: Tap | None = None, name: str = "block", by: Tensor | None = None
    ) -> Tensor:
        if self.post_norm:
            x = self.norm1(x + self.attn(x, mask, tap, f"{name}.attn"))
            return record(tap, name, self.norm2(x + self.mlp(x)))
        x = x + self.attn(self.norm1(x), mask, tap, f"{name}.attn", by)
        return record(tap, name, x + self.mlp(self.norm2(x)))


class AttentionPool(nn.Module):
    """Attention pooling over tokens (SigLIP's head): one learned probe attends, then a residual MLP. (B, N, D) → (B, D).

    After Zhai et al. 2022, "Scaling Vision Transformers", §2.3 (multi-head attention pooling).
    """

    def __init__(self, width: int, heads: int, mlp: int, act: str, eps: float):
        super().__init__()
        self.heads = heads
        self.probe = nn.Parameter(torch.randn(width) * 0.02)
        self.q = nn.Linear(width, width)
        self.kv = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width, eps=eps)
        self.mlp = Mlp(width, mlp, act)

    def forward(self, x: Tensor, tap: Tap | None = None, mask: Tensor | None = None) -> Tensor:
        probe = self.q(self.probe).expand(x.shape[0], 1, -1)  # (B, 1, D)
        q = rearrange(probe, "b n (h d) -> b h n d", h=self.heads)
        k, v = rearrange(self.kv(x), "b n (two h d) -> two b h n d", two=2, h=self.heads)
        pooled = self.out(rearrange(attend(q, k, v, mask, tap, "pool"), "b h 1 d -> b (h d)"))  # (B, D)
        return pooled + self.mlp(self.norm(pooled))
