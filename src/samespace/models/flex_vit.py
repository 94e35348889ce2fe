"""A ViT for pictures of any shape: SigLIP 2's NaFlex. Tschannen et al. 2025, "SigLIP 2", §2.4.2.

A picture keeps its proportions; it is cut into as many patches as fit, and the learned square of positions is stretched to them.
"""

import torch
from torch import Tensor

from ..core.config import FlexImageTower
from .layers import Tap, record
from .vit import ViT

PLACE = 4
"""Numbers after the pixels of a patch: its row and column, and how many of each the picture has; all 0 where it is padding."""


def stretch_weights(at: Tensor, size: Tensor, grid: int) -> Tensor:
    """Return what each of `grid` learned positions contributes to position `at` of `size`: (…,) → (…, grid).

    Linear interpolation, antialiased: those of torch.nn.functional.interpolate(mode="bilinear", antialias=True).
    """
    scale = grid / size.clamp(min=1)
    distance = (torch.arange(grid, device=at.device) + 0.5 - ((at + 0.5) * scale)[..., None]).abs()
    weights = (1 - distance / scale.clamp(min=1)[..., None]).clamp(min=0)
    return weights / weights.sum(dim=-1, keepdim=True)


class FlexViT(ViT):
    """float32 (B, N, 3·patch² + PLACE) → (B, E), not yet of unit length."""

    def __init__(self, c: FlexImageTower):
        super().__init__(c)

    def encode(self, x: Tensor, tap: Tap | None = None) -> Tensor:
        """Project patches, add positions, run the blocks, pool, project: (B, N, 3·patch² + PLACE) → (B, dim)."""
        pixels, place = x[..., :-PLACE], x[..., -PLACE:]
        x = record(tap, "patches", self.patch_embed(pixels))  # (B, N, D)
        x = record(tap, "embedded", self.norm_pre(x + self.positions(place)))
        mask = torch.where(place[..., 2] > 0, 0.0, -torch.inf)[:, None, None]  # (B, 1, 1, N)
        for i, block in enumerate(self.blocks):
            x = block(x, mask, tap, f"blocks.{i}")
        assert self.pool is not None  # SigLIP's towers have one
        return self.proj(self.pool(self.norm_post(x), tap, mask))

    def positions(self, place: Tensor) -> Tensor:
        """Return the position of each patch: (B, N, PLACE) → (B, N, D)."""
        row, column, rows, columns = place.unbind(dim=-1)
        down, across = stretch_weights(row, rows, self.grid), stretch_weights(column, columns, self.grid)
        return (down[..., :, None] * across[..., None, :]).flatten(-2) @ self.pos_embed
