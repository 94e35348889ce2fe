"""The Vision Transformer: an image is cut into patches, and an ordinary transformer reads them.

Dosovitskiy et al. 2020, "An Image is Worth 16×16 Words". With a trunk it is the paper's hybrid (§3.1):
the patches are cut from a CNN's feature map. CLIP and SigLIP differ in norm, pooling and projection only.
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ..config import ImageTower
from .efficientnet import EfficientNetLite
from .layers import AttentionPool, Block, Tap, note


def patchify(x: Tensor, patch: int) -> Tensor:
    """Cut a picture or feature map (B, C, H, W) into flat patches (B, N, C·patch²), row by row.

    What is left over at the right and below is not seen, as with the strided convolution of the checkpoints.
    """
    h, w = x.shape[2] // patch * patch, x.shape[3] // patch * patch
    return rearrange(x[:, :, :h, :w], "b c (h p) (w q) -> b (h w) (c p q)", p=patch, q=patch)


def resize_positions(pos: Tensor, grid: int, prefix: int) -> Tensor:
    """Learned positions (prefix + g², D) interpolated to (prefix + grid², D), the prefix (class token) kept. §3.2."""
    old = round((len(pos) - prefix) ** 0.5)
    if old == grid:
        return pos
    plane = rearrange(pos[prefix:], "(h w) d -> 1 d h w", h=old)
    plane = F.interpolate(plane, (grid, grid), mode="bicubic", antialias=True, align_corners=False)
    return torch.cat([pos[:prefix], rearrange(plane, "1 d h w -> (h w) d")])


class Prototypes(nn.Module):
    """The mean of the class names' vectors, weighted by class probability: (B, C, h, w) → (B, E).

    After Norouzi et al. 2014, "Zero-shot learning by convex combination of semantic embeddings" (ConSE).
    """

    def __init__(self, channels: int, classes: int, dim: int):
        super().__init__()
        self.classifier = nn.Linear(channels, classes)
        self.scale = nn.Parameter(torch.ones(()))
        self.vectors = nn.Linear(classes, dim, bias=False)

    def forward(self, x: Tensor, tap: Tap | None = None) -> Tensor:
        logits = self.classifier(x.mean(dim=(2, 3)))  # (B, K)
        return self.vectors(note(tap, "classes", (self.scale * logits).softmax(dim=-1)))  # (B, E)


class ViT(nn.Module):
    """float32 (B, 3, S, S) → (B, E), not yet of unit length."""

    def __init__(self, c: ImageTower):
        super().__init__()
        self.patch = c.patch
        self.trunk = EfficientNetLite(c.trunk) if c.trunk else None
        channels = self.trunk.channels if self.trunk else 3
        self.grid = c.image_size // (c.patch * (self.trunk.stride if self.trunk else 1))
        self.patch_embed = nn.Linear(channels * c.patch**2, c.width, bias=c.patch_bias)
        self.class_token = nn.Parameter(torch.randn(c.width) * 0.02) if c.pool == "class" else None
        prefix = int(c.pool == "class")
        self.pos_embed = nn.Parameter(torch.randn(prefix + self.grid**2, c.width) * 0.02)
        self.norm_pre = nn.LayerNorm(c.width, eps=c.eps) if c.norm_pre else nn.Identity()
        self.blocks = nn.ModuleList(Block(c.width, c.heads, c.mlp, c.act, c.eps) for _ in range(c.layers))
        self.norm_post = nn.LayerNorm(c.width, eps=c.eps)
        self.pool = AttentionPool(c.width, c.heads, c.mlp, c.act, c.eps) if c.pool == "attention" else None
        self.proj = nn.Linear(c.width, c.dim - c.kept, bias=False) if c.dim else nn.Identity()
        self.prior = Prototypes(channels, c.classes, c.kept) if c.classes else None
        self.share = c.share

    def forward(self, pixels: Tensor, tap: Tap | None = None) -> Tensor:
        return self.read(self.trunk(pixels) if self.trunk else pixels, tap)

    def read(self, x: Tensor, tap: Tap | None = None) -> Tensor:
        """Everything above the trunk: a picture or feature map (B, C, h, w) → (B, E).

        A prior's vector and the learned one stand side by side, so that learning one cannot unlearn the other. The
        prior is shorter where the trunk is uncertain, and so leaves more of the whole to what was learned.
        """
        z = self.proj(self.summary(self.tokens(x, tap), tap))  # (B, E), or (B, E - kept)
        if self.prior is None:
            return z
        return torch.cat([self.prior(x, tap), self.share * F.normalize(z, dim=-1)], dim=-1)  # (B, E)

    def tokens(self, x: Tensor, tap: Tap | None = None) -> Tensor:
        """(B, C, h, w) → the last block's tokens (B, N, D), class token first where there is one."""
        x = note(tap, "patches", self.patch_embed(patchify(x, self.patch)))  # (B, N, D)
        if self.class_token is not None:
            x = torch.cat([self.class_token.expand(x.shape[0], 1, -1), x], dim=1)  # (B, 1 + N, D)
        x = note(tap, "embedded", self.norm_pre(x + self.pos_embed))
        for i, block in enumerate(self.blocks):
            x = block(x, None, tap, f"blocks.{i}")
        return x

    def summary(self, x: Tensor, tap: Tap | None = None) -> Tensor:
        """Tokens (B, N, D) → one vector (B, D)."""
        if self.pool is not None:
            return self.pool(self.norm_post(x), tap)
        return self.norm_post(x[:, 0])
