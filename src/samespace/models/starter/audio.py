"""The starter's audio tower: a log-mel spectrogram is cut into chunks, and an ordinary transformer reads them.

The audio spectrogram transformer (Gong et al. 2021, "AST") with the strided convolutions of Whisper (Radford et al. 2022,
§2.2) in place of square patches: a chunk is a moment with all its bands.
"""

from typing import cast

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import normalize

from ...core.config import AudioTower
from ..layers import Block, Tap, record

DYNAMIC_RANGE = 80.0
"""Decibels below the loudest frame that are kept."""


class HopfieldLayer(nn.Module):
    """z + softmax(zKᵀ)V over R stored pairs, renormalised: (B, E) → (B, E).

    Attention with one head and without a scale: the keys' length is the scale. A layer of a modern Hopfield network (Ramsauer
    et al. 2020, "Hopfield Networks is All You Need", §3).
    """

    def __init__(self, pairs: int, dim: int):
        super().__init__()
        self.keys = nn.Linear(dim, pairs, bias=False)
        self.values = nn.Linear(pairs, dim, bias=False)

    def forward(self, z: Tensor) -> Tensor:
        return normalize(z + self.values(self.keys(z).softmax(dim=-1)), dim=-1)


class AudioTransformer(nn.Module):
    """Decibels (B, M, frames) → z (B, E), unit length."""

    def __init__(self, c: AudioTower):
        super().__init__()
        widths = [c.mels, *[c.width] * len(c.strides)]
        self.chunk = nn.ModuleList(
            nn.Sequential(nn.Conv1d(a, b, 5, stride, padding=2, bias=False), nn.BatchNorm1d(b), nn.GELU())
            for a, b, stride in zip(widths, widths[1:], c.strides)
        )
        count = c.frames
        for stride in c.strides:
            count = -(-count // stride)
        self.pos_embed = nn.Parameter(torch.randn(count, c.width) * 0.02)
        self.blocks = nn.ModuleList(Block(c.width, c.heads, c.mlp, c.act, c.eps) for _ in range(c.layers))
        self.norm = nn.LayerNorm(c.width, eps=c.eps)
        self.pool = nn.Linear(c.width, 1, bias=False)
        self.proj = nn.Linear(c.width, c.dim, bias=False)
        self.associate = HopfieldLayer(c.hopfield_pairs, c.dim) if c.hopfield_pairs else nn.Identity()

    def forward(self, mels: Tensor, tap: Tap | None = None) -> Tensor:
        return self.associate(normalize(self.proj(self.pooled(self.tokens(mels, tap))), dim=-1))

    def tokens(self, mels: Tensor, tap: Tap | None = None) -> Tensor:
        """Return the last block's tokens: (B, M, F), F at most `frames` → (B, N, D)."""
        x = record(tap, "chunks", self.chunks(mels))
        x = x + self.pos_embed[: x.shape[1]]  # (B, N, D)
        for i, block in enumerate(self.blocks):
            x = block(x, None, tap, f"blocks.{i}")
        return self.norm(x)

    def chunks(self, mels: Tensor) -> Tensor:
        """Cut a spectrogram into chunks of frames: (B, M, F) → (B, N, D)."""
        x = self.normalized(mels)
        for conv in self.chunk:
            x = conv(x)  # (B, D, F / stride)
        return rearrange(x, "b d n -> b n d")

    @staticmethod
    def normalized(mels: Tensor) -> Tensor:
        """Scale decibels (B, M, F) to −1…1 relative to the loudest, so that absolute loudness does not matter."""
        return (mels - mels.amax(dim=(1, 2), keepdim=True)).clamp(min=-DYNAMIC_RANGE) / (DYNAMIC_RANGE / 2) + 1

    def pooled(self, tokens: Tensor) -> Tensor:
        """Attention pooling over tokens: (B, N, D) → (B, D)."""
        return (self.pool(tokens).softmax(dim=1) * tokens).sum(dim=1)

    @torch.no_grad()
    def fold_norms(self) -> None:
        """Fold the batch norms into the convolutions before them; vectors stay the same.

        An exporter does so anyway, and would leave weights under their old names that no longer fit the module.
        """
        for layer in self.chunk:
            conv, norm, _ = cast(tuple[nn.Conv1d, nn.BatchNorm1d, nn.GELU], tuple(cast(nn.Sequential, layer)))
            assert norm.running_mean is not None and norm.running_var is not None
            gain = norm.weight / (norm.running_var + norm.eps).sqrt()
            conv.weight *= gain[:, None, None]
            norm.bias.sub_(norm.running_mean * gain)
            norm.weight.fill_(1), norm.running_mean.fill_(0), norm.running_var.fill_(1 - norm.eps)
