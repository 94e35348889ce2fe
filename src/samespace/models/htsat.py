"""CLAP's audio tower: a spectrogram folded into a square, and a Swin transformer that reads it in windows.

Chen et al. 2022, "HTS-AT"; Liu et al. 2021, "Swin Transformer"; Wu et al. 2023, "LAION-CLAP". M bands, F frames, S side of
the square, W patches along a window, n windows.
"""

from dataclasses import replace
from typing import cast

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ..core.config import HtsatTower, TextTower
from .layers import Attention, Mlp, Tap, attend, record
from .text import TextTransformer
from .vit import patchify

SHIFT_MASK = -100.0
"""Added to attention scores between patches that only the cyclic shift has brought together."""


class WindowAttention(Attention):
    """Attention among the patches of each window, with a learned bias for each offset between two of them."""

    offset: Tensor
    mask: Tensor

    def __init__(self, width: int, heads: int, window: int, grid: int, shift: int):
        super().__init__(width, heads)
        self.window, self.grid, self.shift = window, grid, shift
        self.bias = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        row, column = (axis.flatten() for axis in torch.meshgrid(*[torch.arange(window)] * 2, indexing="ij"))
        down, across = (axis[:, None] - axis + window - 1 for axis in (row, column))
        self.register_buffer("offset", down * (2 * window - 1) + across, persistent=False)  # (W², W²)
        self.register_buffer("mask", shift_mask(grid, window, shift), persistent=False)

    def forward(
        self, x: Tensor, mask: Tensor | None = None, tap: Tap | None = None, name: str = "attn", by: Tensor | None = None
    ) -> Tensor:
        """(B, N, D) → (B, N, D), patches of a square grid row by row."""
        shift, W = self.shift, self.window
        x = rearrange(x, "b (h w) d -> b h w d", h=self.grid).roll((-shift, -shift), (1, 2))
        x = rearrange(x, "b (r p) (c q) d -> b (r c) (p q) d", p=W, q=W)  # (B, n, W², D)
        q, k, v = rearrange(self.qkv(x), "b n w (three h d) -> three b (n h) w d", three=3, h=self.heads)
        bias = rearrange(self.bias[self.offset], "i j h -> h i j") + self.mask[:, None]  # (n, H, W², W²)
        x = attend(q, k, v, bias.flatten(0, 1), tap, name)
        x = self.out(rearrange(x, "b (n h) w d -> b n w (h d)", h=self.heads))
        x = rearrange(x, "b (r c) (p q) d -> b (r p) (c q) d", r=self.grid // W, p=W)
        return rearrange(x.roll((shift, shift), (1, 2)), "b h w d -> b (h w) d")


def shift_mask(grid: int, window: int, shift: int) -> Tensor:
    """Return what is added to scores: 0, or SHIFT_MASK for patches of a window that come from opposite ends: (n, W², W²)."""
    at = torch.arange(grid)
    region = (at >= grid - window).long() + (at >= grid - shift).long() if shift else torch.zeros(grid, dtype=torch.long)
    square = 3 * region[:, None] + region  # (grid, grid)
    windows = rearrange(square, "(r p) (c q) -> (r c) (p q)", p=window, q=window)
    return SHIFT_MASK * (windows[:, :, None] != windows[:, None, :]).float()


class SwinBlock(nn.Module):
    """A pre-norm block that attends in windows."""

    def __init__(self, c: HtsatTower, stage: int, number: int):
        super().__init__()
        grid, width = c.side // c.patch // 2**stage, c.width * 2**stage
        window = min(c.window, grid)
        shift = c.window // 2 if number % 2 and grid > c.window else 0
        self.norm1 = nn.LayerNorm(width, eps=c.eps)
        self.attn = WindowAttention(width, c.heads * 2**stage, window, grid, shift)
        self.norm2 = nn.LayerNorm(width, eps=c.eps)
        self.mlp = Mlp(width, c.mlp * 2**stage, c.act)

    def forward(self, x: Tensor, tap: Tap | None = None, name: str = "block") -> Tensor:
        x = x + self.attn(self.norm1(x), None, tap, f"{name}.attn")
        return record(tap, name, x + self.mlp(self.norm2(x)))


class PatchMerging(nn.Module):
    """Four neighbours become one token of twice the width: (B, N, D) → (B, N / 4, 2 D)."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.LayerNorm(4 * width)
        self.reduce = nn.Linear(4 * width, 2 * width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        side = round(x.shape[1] ** 0.5)
        return self.reduce(self.norm(rearrange(x, "b (h p w q) d -> b (h w) (q p d)", p=2, q=2, h=side // 2)))


class Htsat(nn.Module):
    """Decibels (B, M, frames) → z (B, E), unit length: CLAP's own, or aligned to another space."""

    stretch: Tensor

    def __init__(self, c: HtsatTower):
        super().__init__()
        self.fold, last = c.side // c.mels, c.width * 2 ** (len(c.stages) - 1)
        self.patch = c.patch
        self.register_buffer("stretch", interpolation_matrix(c.frames, c.side * self.fold), persistent=False)
        self.gain, self.shift = nn.Parameter(torch.ones(c.mels)), nn.Parameter(torch.zeros(c.mels))  # a batch norm, folded
        self.patch_embed = nn.Linear(c.patch**2, c.width)
        self.norm_pre = nn.LayerNorm(c.width)
        self.stages = nn.ModuleList(nn.ModuleList(SwinBlock(c, i, j) for j in range(n)) for i, n in enumerate(c.stages))
        self.merges = nn.ModuleList(PatchMerging(c.width * 2**i) for i in range(len(c.stages) - 1))
        self.norm_post = nn.LayerNorm(last)
        self.proj = Mlp(last, c.clap_dim or c.dim, "relu", out=c.clap_dim or c.dim)
        self.alignment = Alignment(c.clap_dim, c.alignment, c.dim) if c.alignment else nn.Identity()

    def forward(self, mels: Tensor, tap: Tap | None = None) -> Tensor:
        return F.normalize(self.alignment(F.normalize(self.proj(self.encode(mels, tap)), dim=-1)), dim=-1)

    def encode(self, mels: Tensor, tap: Tap | None = None) -> Tensor:
        """Decibels (B, M, frames) → the mean of the last stage's tokens: (B, D)."""
        x = (mels * self.gain[:, None] + self.shift[:, None]) @ self.stretch.T  # (B, M, fold · S)
        x = rearrange(x, "b m (fold t) -> b 1 (fold m) t", fold=self.fold)  # a square: the parts one below the other
        x = record(tap, "patches", self.norm_pre(self.patch_embed(patchify(x, self.patch))))
        for i, stage in enumerate(self.stages):
            for j, block in enumerate(cast(nn.ModuleList, stage)):
                x = block(x, tap, f"stages.{i}.{j}")
            if i < len(self.merges):
                x = self.merges[i](x)
        return self.norm_post(x).mean(dim=1)


def interpolation_matrix(frames: int, length: int) -> Tensor:
    """Return bicubic interpolation of `frames` values to `length` as a matrix: (length, frames)."""
    if frames >= length:
        return torch.eye(length, frames)
    rows = F.interpolate(torch.eye(frames)[:, None, :, None], (length, 1), mode="bicubic", align_corners=True)
    return rows[:, 0, :, 0].T.contiguous()


class Alignment(nn.Module):
    """Map unit vectors of one space into another: a linear map plus a small MLP."""

    def __init__(self, inner: int, hidden: int, dim: int):
        super().__init__()
        self.straight = nn.Linear(inner, dim)
        self.mlp = Mlp(inner, hidden, "gelu", out=dim)

    def forward(self, z: Tensor) -> Tensor:
        return self.straight(z) + self.mlp(z)


class ClapText(nn.Module):
    """CLAP's text tower, RoBERTa and a projection: int64 (B, T) → z of its own space (B, inner), unit length."""

    def __init__(self, c: TextTower):
        super().__init__()
        self.backbone = TextTransformer(replace(c, dim=c.width))
        self.backbone.proj = nn.Identity()
        self.pooler = nn.Linear(c.width, c.width)
        self.proj = Mlp(c.width, c.dim, "relu", out=c.dim)

    def forward(self, ids: Tensor) -> Tensor:
        return F.normalize(self.proj(self.pooler(self.backbone.encode(ids)[0]).tanh()), dim=-1)
