"""The Vision Transformer: an image is cut into patches, and an ordinary transformer reads them.

Dosovitskiy et al. 2020, "An Image is Worth 16×16 Words". With a trunk it is the paper's hybrid (§3.1):
the patches are cut from a CNN's feature map. CLIP and SigLIP differ in norm, pooling and projection only.
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ..core.config import ImageTower
from .layers import AttentionPool, Block, Connector, Tap, note
from .starter.efficientnet import EfficientNetLite

FINE = 2
"""Cells of the middle map beside one of the trunk's last, a side."""


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


class Reader(nn.Module):
    """A picture or feature map as a sequence of patches, read by a transformer: (B, C, h, w) → (B, dim)."""

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

    def read(self, x: Tensor, tap: Tap | None = None) -> Tensor:
        return self.proj(self.summary(self.tokens(x, tap), tap))

    def tokens(self, x: Tensor, tap: Tap | None = None, blocks: int | None = None) -> Tensor:
        """(B, C, h, w) → the last block's tokens (B, N, D), or an earlier one's, class token first where there is one."""
        x = note(tap, "patches", self.patch_embed(patchify(x, self.patch)))  # (B, N, D)
        if self.class_token is not None:
            x = torch.cat([self.class_token.expand(x.shape[0], 1, -1), x], dim=1)  # (B, 1 + N, D)
        x = note(tap, "embedded", self.norm_pre(x + self.pos_embed))
        for i, block in enumerate(self.blocks[:blocks]):
            x = block(x, None, tap, f"blocks.{i}")
        return x

    def summary(self, x: Tensor, tap: Tap | None = None) -> Tensor:
        """Tokens (B, N, D) → one vector (B, D)."""
        if self.pool is not None:
            return self.pool(self.norm_post(x), tap)
        return self.norm_post(x[:, 0])


class Branch(Reader):
    """A reader with a top of the trunk for its own, and perhaps the picture's colours beside its map."""

    def __init__(self, c: ImageTower, grid: int, dim: int):
        super().__init__(c, EfficientNetLite.channels + 3 * FINE**2 * c.colours, grid, dim)
        self.trunk, self.colours = EfficientNetLite(c.trunk, c.fork), c.colours

    def see(self, top: Tensor, colours: Tensor) -> Tensor:
        """Its map (B, 1280, h, w) and colours (B, 3, FINE·h, FINE·w) → (B, dim)."""
        if not self.colours:
            return self.read(top)
        return self.read(torch.cat([top, rearrange(colours, "b c (h p) (w q) -> b (c p q) h w", p=FINE, q=FINE)], dim=1))


class ViT(Reader):
    """float32 (B, 3, S, S) → (B, E), not yet of unit length."""

    def __init__(self, c: ImageTower):
        trunk = EfficientNetLite(c.trunk) if c.trunk else None
        channels, stride = (trunk.channels, trunk.stride) if trunk else (3, 1)
        grid, dim = c.image_size // (c.patch * stride), (c.dim - c.kept) // (2 if c.fork else 1)
        super().__init__(c, channels, grid, dim)
        self.trunk, self.fork, self.share = trunk, c.fork, c.share
        self.branch = Branch(c, grid, dim) if c.fork else None
        self.prior = Prototypes(channels, c.classes, c.kept) if c.classes else None
        self.connector = Connector(c.dim or c.width, c.connector, c.act) if c.connector else nn.Identity()

    def forward(self, pixels: Tensor, tap: Tap | None = None) -> Tensor:
        if self.trunk is None:
            return self.connector(self.read(pixels, tap))
        return self.vector(self.maps(pixels), tap)

    def maps(self, pixels: Tensor) -> list[Tensor]:
        """A hybrid's maps, (B, C, h, w) each: the trunk's last; where it forks, also its branch's, the middle one below, and
        the picture's colours in cells as large as the middle one's, which a trunk made for naming things forgets."""
        middle = self.trunk.bottom(pixels, self.fork)
        top = self.trunk.top(middle, self.fork)  # (B, 1280, H/32, W/32)
        if self.branch is None:
            return [top]
        return [top, self.branch.trunk.top(middle, 0), middle, F.adaptive_avg_pool2d(pixels, middle.shape[2:])]

    def vector(self, maps: list[Tensor], tap: Tap | None = None) -> Tensor:
        """A hybrid's maps → (B, E), not yet of unit length."""
        learned = [self.read(maps[0], tap)]
        if self.branch is not None:
            learned.append(self.branch.see(maps[1], maps[3]))
        return self.connector(learned[0] if self.prior is None else self.join(self.prior(maps[0], tap), *learned))

    @property
    def feature_width(self) -> int:
        """Length of a feature, F."""
        if self.trunk is None:
            return self.patch_embed.out_features
        if self.branch is None:
            return self.trunk.channels
        return 2 * self.trunk.channels + FINE**2 * (self.branch.trunk.blocks[0].expand.in_channels + 3)

    def features(self, pixels: Tensor, layer: int = -1, tap: Tap | None = None) -> Tensor:
        """What a language model is shown of a picture: (B, 3, S, S) → (B, N, F), row by row.

        Of a ViT, the tokens of a layer (−1 the last, −2 the one before it, as in LLaVA), without the class token. Of a
        hybrid, the cells of the trunk's map; where it forks, those of both tops, and what lay below them in the middle map,
        where things are still in their places, each of the three normed by itself, because their scales differ thirtyfold;
        and the colours.
        """
        if self.trunk is None:
            x = self.tokens(pixels, tap, len(self.blocks) + 1 + layer)
            return note(tap, "features", x if self.class_token is None else x[:, 1:])
        return self.cells(self.maps(pixels), tap)

    def cells(self, maps: list[Tensor], tap: Tap | None = None) -> Tensor:
        """A hybrid's maps → its features (B, N, F)."""
        rows = [patchify(x, 1 if i < 2 else FINE) for i, x in enumerate(maps)]  # (B, N, 1280) of the tops, …
        return note(tap, "features", torch.cat([*(F.layer_norm(x, x.shape[-1:]) for x in rows[:3]), *rows[3:]], dim=-1))

    def features_and_vector(self, pixels: Tensor, layer: int = -1, tap: Tap | None = None) -> tuple[Tensor, Tensor]:
        """Both `features` and `forward` of the same pictures; a hybrid's trunk runs once."""
        if self.trunk is None:
            return self.features(pixels, layer, tap), self(pixels)
        maps = self.maps(pixels)
        return self.cells(maps, tap), self.vector(maps)

    def join(self, prior: Tensor, *learned: Tensor) -> Tensor:
        """A prior's vector and learned ones side by side, so that learning one cannot unlearn another: (B, E).

        The prior is shorter where the trunk is uncertain, and so leaves more of the whole to what was learned.
        """
        return torch.cat([prior, *(self.share * F.normalize(z, dim=-1) for z in learned)], dim=-1)
