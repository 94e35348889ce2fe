"""A transformer that draws: rectified flow on large patches of pixels, which predicts the clean picture.

Li and He 2025, "Back to Basics: Let Denoising Generative Models Denoise" (JiT), with the conditioning of Chen et al. 2023,
"PixArt-α", §2.3: time and z scale every block (adaLN-single), and words are read by cross-attention.
"""

import math

import torch
from einops import rearrange
from torch import Tensor, nn

from ...core.generator_config import GeneratorConfig
from ..layers import Attention, CrossAttention, Mlp, Tap, record
from ..text import MASKED
from ..vit import patchify

CHANNELS = 4
"""Red, green and blue, multiplied by opacity, and opacity; each from −1 to 1."""
MODULATIONS = 9
"""Vectors that scale, shift and gate a block: three for each of its three parts."""
SEAM_WIDTH = 32
"""Channels between the two convolutions that see across the borders of patches."""
SEAM_STEP = 2
"""They see squares of so many pixels a side as one, and so five times as far."""


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Return (1 + scale) · x + shift, for x (B, N, D) and vectors (B, 1, D). Peebles and Xie 2023, "DiT", §3.2."""
    return x * (1 + scale) + shift


class TimeEmbedding(nn.Module):
    """Times from 0 (noise) to 1 (picture), as waves and then an MLP: (B,) → (B, D)."""

    def __init__(self, width: int, waves: int = 128):
        super().__init__()
        self.waves = waves
        self.mlp = Mlp(2 * waves, width, "silu", width)

    def forward(self, t: Tensor) -> Tensor:
        frequencies = torch.exp(-math.log(10_000) / self.waves * torch.arange(self.waves, device=t.device))
        angles = 1000 * t[:, None] * frequencies  # (B, waves)
        return self.mlp(torch.cat([angles.cos(), angles.sin()], dim=-1))


class GuidedBlock(nn.Module):
    """A pre-norm block that is scaled by a condition and reads a context between its attention and its MLP."""

    def __init__(self, c: GeneratorConfig):
        super().__init__()
        self.norm = nn.LayerNorm(c.width, elementwise_affine=False)
        self.attn = Attention(c.width, c.heads)
        self.cross = CrossAttention(c.width, c.heads)
        self.mlp = Mlp(c.width, c.mlp, "silu")
        self.modulation = nn.Parameter(torch.zeros(MODULATIONS, c.width))

    def forward(
        self, x: Tensor, condition: Tensor, context: Tensor, mask: Tensor, tap: Tap | None = None, name: str = "block"
    ) -> Tensor:
        """x: (B, N, D), condition: (B, MODULATIONS, D), context: (B, T, D), mask: (B, 1, 1, T) added to scores → (B, N, D)."""
        parts = (condition + self.modulation).unsqueeze(2).unbind(dim=1)  # MODULATIONS × (B, 1, D)
        (shift1, scale1, gate1), (shift2, scale2, gate2), (shift3, scale3, gate3) = parts[:3], parts[3:6], parts[6:]
        x = x + gate1 * self.attn(modulate(self.norm(x), shift1, scale1), None, tap, f"{name}.attn")
        x = x + gate2 * self.cross(modulate(self.norm(x), shift2, scale2), context, mask, tap, f"{name}.cross")
        return record(tap, name, x + gate3 * self.mlp(modulate(self.norm(x), shift3, scale3)))


class FlowTransformer(nn.Module):
    """A noisy picture, its time, z and words → the clean picture.

    What the transformer draws, patch by patch, is mended by two small convolutions. They see across the borders of patches, and the
    noisy pixels, of which a token keeps too little where a patch has more numbers than the model is wide.
    """

    def __init__(self, c: GeneratorConfig):
        super().__init__()
        self.c, self.grid = c, c.size // c.patch
        self.patch_embed = nn.Linear(CHANNELS * c.patch**2, c.width)
        self.pos_embed = nn.Parameter(torch.randn(self.grid**2, c.width) * 0.02)
        self.time_embed = TimeEmbedding(c.width)
        self.z_embed = Mlp(c.dim, c.width, "silu", c.width)
        self.z_tokens = nn.Linear(c.dim, c.z_tokens * c.width)
        self.word_embed = nn.Linear(c.word_width, c.width)
        self.context_norm = nn.LayerNorm(c.width)
        self.condition = nn.Linear(c.width, MODULATIONS * c.width)
        self.blocks = nn.ModuleList(GuidedBlock(c) for _ in range(c.layers))
        self.norm = nn.LayerNorm(c.width, elementwise_affine=False)
        self.last = nn.Linear(c.width, 2 * c.width)
        self.to_pixels = nn.Linear(c.width, CHANNELS * c.patch**2)
        seen, mended = 2 * CHANNELS * SEAM_STEP**2, nn.Conv2d(SEAM_WIDTH, CHANNELS * SEAM_STEP**2, 3, padding=1)
        self.seams = nn.Sequential(nn.Conv2d(seen, SEAM_WIDTH, 3, padding=1), nn.SiLU(), mended)
        for layer in (self.condition, self.last, self.to_pixels, mended):
            for parameter in layer.parameters():  # at first every block is the identity, every picture grey
                nn.init.zeros_(parameter)

    def forward(self, x: Tensor, t: Tensor, z: Tensor, words: Tensor, present: Tensor, tap: Tap | None = None) -> Tensor:
        """Predict the clean picture.

        x: float32 (B, 4, S, S), (1 − t) · noise + t · picture; t: float32 (B,), 0 to 1; z: float32 (B, E), unit length, or zero
        for no condition; words: float32 (B, T, W), states of the text tower; present: float32 (B, T), 1 where a state is of a word
        and 0 for padding → float32 (B, 4, S, S).
        """
        asked = nn.functional.silu(self.time_embed(t) + self.z_embed(z))  # (B, D)
        condition = rearrange(self.condition(asked), "b (m d) -> b m d", m=MODULATIONS)
        context, mask = self.context(z, words, present)
        h = self.patch_embed(patchify(x, self.c.patch)) + self.pos_embed  # (B, N, D)
        for i, block in enumerate(self.blocks):
            h = block(h, condition, context, mask, tap, f"blocks.{i}")
        shift, scale = self.last(asked)[:, None].chunk(2, dim=-1)
        patches = self.to_pixels(modulate(self.norm(h), shift, scale))
        size = {"h": self.grid, "p": self.c.patch, "q": self.c.patch}
        drawn = rearrange(patches, "b (h w) (c p q) -> b c (h p) (w q)", **size)  # (B, 4, S, S)
        seen = nn.functional.pixel_unshuffle(torch.cat([drawn, x], dim=1), SEAM_STEP)
        return drawn + nn.functional.pixel_shuffle(self.seams(seen), SEAM_STEP)

    def context(self, z: Tensor, words: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Return what pictures attend to, z's tokens and then those of words, and what hides padding: (B, T, D), (B, 1, 1, T)."""
        of_z = rearrange(self.z_tokens(z), "b (n d) -> b n d", n=self.c.z_tokens)
        context = self.context_norm(torch.cat([of_z, self.word_embed(words)], dim=1))
        present = torch.cat([torch.ones_like(of_z[..., 0]), present], dim=1)
        return context, ((1 - present) * MASKED)[:, None, None]
