"""The Vision Transformer: an image is cut into patches, and an ordinary transformer reads them.

Dosovitskiy et al. 2020, "An Image is Worth 16×16 Words". CLIP's and SigLIP's differ in norm, pooling and projection only.
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ..core.config import ImageTower
from .layers import AttentionPool, Block, ResidualAdapter, Tap, record


def patchify(x: Tensor, patch: int) -> Tensor:
    """Cut an image or feature map (B, C, H, W) into flat patches (B, N, C·patch²), row by row.

    Pixels that do not fill a patch are dropped, as by an unpadded strided convolution.
    """
    h, w = x.shape[2] // patch * patch, x.shape[3] // patch * patch
    return rearrange(x[:, :, :h, :w], "b c (h p) (w q) -> b (h w) (c p q)", p=patch, q=patch)


def resize_position_embedding(pos: Tensor, grid: int, prefix: int) -> Tensor:
    """Interpolate learned positions (prefix + g², D) to (prefix + grid², D), keeping the prefix (class token). §3.2."""
    old = round((len(pos) - prefix) ** 0.5)
    if old == grid:
        return pos
    plane = rearrange(pos[prefix:], "(h w) d -> 1 d h w", h=old)
    plane = F.interpolate(plane, (grid, grid), mode="bicubic", antialias=True, align_corners=False)
    return torch.cat([pos[:prefix], rearrange(plane, "1 d h w -> (h w) d")])


class PatchTransformer(nn.Module):
    """Patches of an image or feature map, read by a transformer: (B, C, h, w) → (B, dim)."""

    def __init__(self, c: ImageTower, channels: int, grid: int, dim: int):
        super().__init__()
        self.patch, self.grid = c.patch, grid
        self.patch_embed = nn.Linear(channels * c.patch**2, c.width, bias=c.patch_bias)
        self.class_token = nn.Parameter(torch.randn(c.width) * 0.02) if c.pool == "class" else None
        self.pos_embed = nn.Parameter(torch.randn(int(c.pool == "class") + grid**2, c.width) * 0.02)
        self.norm_pre = nn.LayerNorm(c.width, eps=c.eps) if c.norm_pre else nn.Identity()
        self.blocks = nn.ModuleList(Block(c.width, c.heads, c.mlp, c.act, c.eps) for _ in range(c.layers))
        self.norm_post = nn.LayerNorm(c.width, eps=c.eps)
        self.pool = AttentionPool(c.width, c.heads, c.mlp, c.act, c.eps) if c.pool == "attention" else None
        self.proj = nn.Linear(c.width, dim, bias=False) if dim else nn.Identity()

    def encode(self, x: Tensor, tap: Tap | None = None) -> Tensor:
        """Patchify, project, add positions, run the blocks, pool, project: (B, C, h, w) → (B, dim)."""
        return self.proj(self.pooled(self.tokens(x, tap), tap))

    def tokens(self, x: Tensor, tap: Tap | None = None, blocks: int | None = None) -> Tensor:
        """Return the tokens after all blocks, or the first few: (B, C, h, w) → (B, N, D), class token first if there is one."""
        x = record(tap, "patches", self.patch_embed(patchify(x, self.patch)))  # (B, N, D)
        if self.class_token is not None:
            x = torch.cat([self.class_token.expand(x.shape[0], 1, -1), x], dim=1)  # (B, 1 + N, D)
        x = record(tap, "embedded", self.norm_pre(x + self.pos_embed))
        for i, block in enumerate(self.blocks[:blocks]):
            x = block(x, None, tap, f"blocks.{i}")
        return x

    def pooled(self, x: Tensor, tap: Tap | None = None) -> Tensor:
        """Return one vector per image: (B, N, D) → (B, D)."""
        if self.pool is not None:
            return self.pool(self.norm_post(x), tap)
        return self.norm_post(x).mean(dim=1) if self.class_token is None else self.norm_post(x[:, 0])


class ViT(PatchTransformer):
    """float32 (B, 3, S, S) → (B, E), not yet of unit length."""

    def __init__(self, c: ImageTower):
        super().__init__(c, 3, c.image_size // c.patch, c.dim)
        self.connector = ResidualAdapter(c.dim or c.width, c.adapter, c.act) if c.adapter else nn.Identity()

    def forward(self, pixels: Tensor, tap: Tap | None = None) -> Tensor:
        return self.connector(self.encode(pixels, tap))

    @property
    def feature_width(self) -> int:
        """Length of a feature, F."""
        return self.patch_embed.out_features

    def features(self, pixels: Tensor, layer: int = -1, tap: Tap | None = None) -> Tensor:
        """Return the tokens of a layer without the class token, for the projector: (B, 3, S, S) → (B, N, F).

        layer: −1 the last, −2 the one before it (LLaVA).
        """
        x = self.tokens(pixels, tap, len(self.blocks) + 1 + layer)
        return record(tap, "features", x if self.class_token is None else x[:, 1:])

    def features_and_embedding(self, pixels: Tensor, layer: int = -1, tap: Tap | None = None) -> tuple[Tensor, Tensor]:
        """Return `features` and `forward` of the same images."""
        return self.features(pixels, layer, tap), self(pixels)
