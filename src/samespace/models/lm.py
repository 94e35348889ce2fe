"""A language model of Llama's kind: RMS norms, rotary positions, grouped-query attention, SwiGLU.

Touvron et al. 2023, "LLaMA"; rotary positions after Su et al. 2021, grouped queries after Ainslie et al. 2023. Its config tells
apart what followed: Qwen's biases and norms of q and k, Mistral's window, SmolLM 3's blocks without positions.
It takes embeddings rather than token ids, so that image tokens can be spliced between text tokens.
"""

from collections.abc import Sequence
from copy import copy
from typing import Self

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ..core.assistant_config import LanguageModel
from .layers import Tap, record, rotate, turns

SINKS = 4
"""First tokens that attention needs whatever they say. Xiao et al. 2023, §3.1."""
GROWTH = 256
"""Positions by which a cache grows."""


class RMSNorm(nn.Module):
    """x / rms(x) · weight, in fp32 whatever x is in. After Zhang & Sennrich 2019."""

    def __init__(self, width: int, eps: float):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        return (wide * (wide.square().mean(dim=-1, keepdim=True) + self.eps).rsqrt() * self.weight).to(x.dtype)


def rotary(positions: Tensor, c: LanguageModel, length: int = 0) -> Tensor:
    """Cosines and sines of each position's angles: int64 (N,), or (3, …, N) of time, row and column, → float32 (2, …, N, d).

    length: of the whole text, where that is known; a base that grows with it is then the same for all of its parts.
    Su et al. 2021, §3.4; of three numbers, whose frequencies alternate: Bai et al. 2025, "Qwen3-VL", §2.
    """
    base = c.rope_base
    if c.rope_growth:
        base *= ntk_growth(c, max(length, int(positions.max()) + 1)) ** (c.head_dim / (c.head_dim - 2))
    frequencies = base ** -(torch.arange(0, c.head_dim, 2, device=positions.device) / c.head_dim)  # (d/2,)
    if c.rope_divisors:
        frequencies = frequencies / frequencies.new_tensor(c.rope_divisors)
    angles = positions[..., None].float() * frequencies  # (N, d/2) or (3, …, N, d/2)
    if positions.ndim > 1:
        angles = (angles * _axes(c, positions.ndim).to(angles)).sum(dim=0)
    return c.rope_scale * turns(angles)


def ntk_growth(c: LanguageModel, length: int) -> float:
    """Return how much longer the waves of the rotary positions are for a text of this length: 1 up to the training's longest one.

    "Dynamic NTK", emozilla 2023, as in transformers' modeling_rope_utils.
    """
    return c.rope_growth * max(length, c.rope_trained) / c.rope_trained - (c.rope_growth - 1)


def _axes(c: LanguageModel, ndim: int) -> Tensor:
    """Return which of time, row and column each rotary frequency turns with: 1 there, else 0: (3, 1, …, d/2), for positions of `ndim` axes."""
    axis = torch.zeros(c.head_dim // 2, dtype=torch.int64)
    for i in (1, 2):
        axis[i : 3 * c.rope_sections[i] : 3] = i
    return F.one_hot(axis, 3).T.reshape(3, *[1] * (ndim - 1), -1)


class Cache:
    """Keys and values of the tokens so far, so that a new token costs one token: per layer (B, H_kv, N, d)."""

    def __init__(self, layers: int):
        self.keys: list[Tensor | None] = [None] * layers
        self.values: list[Tensor | None] = [None] * layers
        self.length = 0
        self.shift = 0
        """How far the next position is from `length`: an image has more tokens than it takes positions (Qwen3-VL)."""
        self.planned = 0
        """Positions of the whole prompt, of which a part may be read already."""

    def extend(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Append new keys and values of a layer and return all; the model advances `length` once per step."""
        return self._append(self.keys, layer, k), self._append(self.values, layer, v)

    def _append(self, stored: list[Tensor | None], layer: int, new: Tensor) -> Tensor:
        """Append to a buffer (B, H_kv, N, …), which grows as needed, and return what it holds."""
        end, buffer = self.length + new.shape[2], stored[layer]
        if buffer is None or buffer.shape[2] < end:
            grown = new.new_empty(*new.shape[:2], -(-end // GROWTH) * GROWTH, new.shape[3])
            if buffer is not None:
                grown[:, :, : self.length] = buffer[:, :, : self.length]
            stored[layer] = buffer = grown
        buffer[:, :, self.length : end] = new
        return buffer[:, :, :end]

    def first(self, length: int) -> Self:
        """Return a copy that holds the first `length` tokens."""
        twin = copy(self)
        for name, stored in self._buffers().items():
            setattr(twin, name, [None if x is None else x[:, :, :length].clone() for x in stored])
        twin.length = length
        return twin

    def holds(self, count: int) -> bool:
        """Whether it can go on after the first `count` tokens that it was given."""
        return count <= self.length

    def cut(self, count: int) -> None:
        """Go on after the first `count` tokens, which it `holds`."""
        self.length = count

    def _buffers(self) -> dict[str, list[Tensor | None]]:
        """Return what is stored for each layer, by the names of the fields."""
        return {name: stored for name, stored in vars(self).items() if isinstance(stored, list)}

    @property
    def bytes(self) -> int:
        """Memory of the tokens that it holds."""
        tensors = (x for stored in self._buffers().values() for x in stored if x is not None)
        return sum(x[:, :, : self.length].numel() * x.element_size() for x in tensors)


class Int8Cache(Cache):
    """A cache of int8 numbers with a scale for each head of each token: a quarter of the memory, for some time."""

    def __init__(self, layers: int):
        super().__init__(layers)
        self.key_scales: list[Tensor | None] = [None] * layers
        self.value_scales: list[Tensor | None] = [None] * layers

    def extend(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Append new keys and values of a layer, rounded, and return all."""
        return self._extend(self.keys, self.key_scales, layer, k), self._extend(self.values, self.value_scales, layer, v)

    def _extend(self, stored: list[Tensor | None], scales: list[Tensor | None], layer: int, new: Tensor) -> Tensor:
        scale = new.abs().amax(dim=-1, keepdim=True).clamp(min=1e-8) / 127
        rounded = self._append(stored, layer, (new / scale).round().to(torch.int8))
        return rounded.to(new.dtype) * self._append(scales, layer, scale)


class WindowCache(Cache):
    """The first few tokens and the latest ones: a text may go on without end, and what lies between is forgotten.

    Positions are those within the cache, so keys are stored before they are turned. Xiao et al. 2023, "Efficient Streaming Language
    Models with Attention Sinks", §3.2.
    """

    def __init__(self, layers: int, window: int, sinks: int = SINKS, slack: int = 0):
        """window: latest tokens that are seen; sinks: first tokens that are always seen; slack: tokens more that are kept, unseen, for
        to forget some means to move the others."""
        super().__init__(layers)
        self.window, self.sinks, self.slack = window, sinks, slack
        self.forgotten = 0
        """Tokens that are no longer seen."""

    def holds(self, count: int) -> bool:
        """Whether it can go on after the first `count` tokens that it was given: once some are forgotten, after all of them only."""
        read = self.length + self.forgotten
        return count == read if self.forgotten else count <= read

    def cut(self, count: int) -> None:
        """Go on after the first `count` tokens, which it `holds`."""
        self.length = count - self.forgotten

    def trim(self) -> None:
        """Forget the tokens between the first and the latest, where they are more than the slack."""
        surplus = self.length - self.sinks - self.window
        if surplus <= self.slack:
            return
        for stored in self._buffers().values():
            for layer, x in enumerate(stored):
                assert x is not None  # every layer has read the same tokens
                stored[layer] = torch.cat([x[:, :, : self.sinks], x[:, :, self.sinks + surplus : self.length]], dim=2)
        self.length -= surplus
        self.forgotten += surplus


class GroupedAttention(nn.Module):
    """Causal self-attention in which several heads of queries share one of keys and values."""

    def __init__(self, c: LanguageModel):
        super().__init__()
        self.heads, self.kv_heads, self.head_dim, self.window = c.heads, c.kv_heads, c.head_dim, c.window
        self.qkv = nn.Linear(c.width, (c.heads + 2 * c.kv_heads) * c.head_dim, bias=c.qkv_bias)
        self.out = nn.Linear(c.heads * c.head_dim, c.width, bias=c.out_bias)
        self.q_norm, self.k_norm = (RMSNorm(c.head_dim, c.eps) if c.qk_norm else nn.Identity() for _ in "qk")

    def forward(
        self,
        x: Tensor,
        angles: Tensor | None,
        cache: Cache | None,
        layer: int,
        tap: Tap | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        heads = rearrange(self.qkv(x), "b n (h d) -> b h n d", d=self.head_dim)  # (B, H + 2 H_kv, N, d)
        q, k, v = heads.split([self.heads, self.kv_heads, self.kv_heads], dim=1)
        q, k = self.q_norm(q), self.k_norm(k)
        new = x.shape[1]
        if isinstance(cache, WindowCache):
            k, v = cache.extend(layer, k, v)  # (B, H_kv, N_all, d), not turned yet
            if angles is not None:
                q, k = rotate(q, angles[:, -new:]), rotate(k, angles)
        else:
            if angles is not None:
                q, k = rotate(q, angles), rotate(k, angles)
            if cache is not None:
                k, v = cache.extend(layer, k, v)  # (B, H_kv, N_all, d)
        all_, window = k.shape[2], cache.window if isinstance(cache, WindowCache) else self.window
        windowed, sinks = 0 < window < all_, cache.sinks if isinstance(cache, WindowCache) else 0
        whole = new == all_ > 1 and not windowed and mask is None
        if mask is None and (windowed or 1 < new < all_):
            mask = visible(new, all_, window, x.device, sinks)
        if tap is not None:
            record(tap, f"blocks.{layer}.attn.weights", self.weights(q, k, mask))
        if (
            self.training and new == all_ > 1 and not windowed and q.device.type == "cpu"
        ):  # half the time of the fused one's gradient there
            groups = self.weights(q, k, mask).unflatten(1, (self.kv_heads, -1))  # (B, H_kv, H / H_kv, N, N)
            mixed = (groups @ v[:, :, None]).flatten(1, 2)
        else:
            mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=whole, enable_gqa=True)
        return self.out(rearrange(mixed, "b h n d -> b n (h d)"))

    def weights(self, q: Tensor, k: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the attention weights, of the tokens that `mask` lets through or of those before: (B, H, N, N_all)."""
        grouped = q.unflatten(1, (self.kv_heads, -1)) / self.head_dim**0.5
        scores = (grouped @ k[:, :, None].transpose(-2, -1)).flatten(1, 2)
        mask = visible(q.shape[2], k.shape[2], self.window, q.device) if mask is None else mask
        return scores.masked_fill(~mask, -torch.inf).softmax(dim=-1)


def visible(new: int, all_: int, window: int, device: torch.device, sinks: int = 0) -> Tensor:
    """Return which of all tokens each of the last `new` may attend to: itself and those before it, the latest `window` of these
    where that is not 0, and the first `sinks`: bool (N, N_all)."""
    before = torch.ones(new, all_, dtype=torch.bool, device=device).tril(all_ - new)
    if not window:
        return before
    latest = before.triu(all_ - new - window + 1)
    latest[:, :sinks] = before[:, :sinks]
    return latest


class SwiGLU(nn.Module):
    """down(silu(gate x) · up x), gate and up in one product. After Shazeer 2020."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.gate_up = nn.Linear(width, 2 * hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        return self.down(F.silu(gate) * up)


class LlamaBlock(nn.Module):
    """Attention, then SwiGLU, each behind an RMS norm and beside a shortcut."""

    def __init__(self, c: LanguageModel):
        super().__init__()
        self.norm1, self.norm2 = RMSNorm(c.width, c.eps), RMSNorm(c.width, c.eps)
        self.attn = GroupedAttention(c)
        self.mlp = SwiGLU(c.width, c.mlp)

    def forward(
        self,
        x: Tensor,
        angles: Tensor | None,
        cache: Cache | None,
        layer: int,
        tap: Tap | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        x = x + self.attn(self.norm1(x), angles, cache, layer, tap, mask)
        return record(tap, f"blocks.{layer}", x + self.mlp(self.norm2(x)))


class Llama(nn.Module):
    """Embeddings (B, N, D) → hidden states (B, N, D); `embed` and `logits` are its two ends."""

    def __init__(self, c: LanguageModel):
        super().__init__()
        self.c = c
        self.token_embed = nn.Embedding(c.vocab, c.width)
        self.blocks = nn.ModuleList(LlamaBlock(c) for _ in range(c.layers))
        self.norm = RMSNorm(c.width, c.eps)
        self.head = nn.Linear(c.width, c.vocab, bias=False)
        if c.tied:
            self.head.weight = self.token_embed.weight

    def forward(
        self,
        x: Tensor,
        cache: Cache | None = None,
        tap: Tap | None = None,
        positions: Tensor | None = None,
        deep: Sequence[Tensor] = (),
        mask: Tensor | None = None,
    ) -> Tensor:
        """Run N more tokens after those in the cache, and add theirs to it.

        positions: int64 (3, N), where they are not one after another; (3, B, 1, N), where each row has its own. deep: (B, N, D) each,
        added to the output of the first blocks. mask: bool (N, N_all) or (B, 1, N, N_all), which tokens each may attend to, where that
        is not all before it.
        """
        planned = 0 if cache is None else cache.planned
        if isinstance(cache, WindowCache):
            positions, planned = torch.arange(cache.length + x.shape[1], device=x.device), 0  # of all that it holds
        elif positions is None:
            start = cache.length + cache.shift if cache is not None else 0
            positions = torch.arange(start, start + x.shape[1], device=x.device)
        angles = rotary(positions, self.c, planned)
        for i, block in enumerate(self.blocks):
            x = block(x, None if i in self.c.unrotated else angles, cache, i, tap, mask)
            x = x + deep[i] if i < len(deep) else x
        if cache is not None:
            cache.length += x.shape[1]
            cache.shift = int(positions[..., -1].max()) + 1 - cache.length
            if isinstance(cache, WindowCache):
                cache.trim()
        return self.norm(x)

    def embed(self, ids: Tensor) -> Tensor:
        """int64 (B, N) → (B, N, D)."""
        return self.token_embed(ids)

    def logits(self, x: Tensor) -> Tensor:
        """Hidden states (…, D) → logits of the next token (…, V)."""
        return self.head(x)
