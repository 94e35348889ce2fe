"""The starter's image tower: a ViT over a CNN's feature map, beside a prior that names ImageNet's classes.

The paper's hybrid (Dosovitskiy et al. 2020, §3.1). z has a part that class names give (ConSE) and parts that are learned, so that
training one leaves the other intact. A second branch has its own copy of the backbone's upper blocks and sees colours.
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ...core.config import HybridImageTower
from ..layers import ResidualAdapter, Tap, record
from ..vit import PatchTransformer, patchify
from .efficientnet import EfficientNetLite

FINE = 2
"""Cells of the middle map along a side of one cell of the backbone's last map."""


class ConSEHead(nn.Module):
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
        return self.vectors(record(tap, "classes", (self.scale * logits).softmax(dim=-1)))  # (B, E)


class SecondBranch(PatchTransformer):
    """A patch transformer with its own copy of the backbone's upper blocks, which may also see the image's colours."""

    def __init__(self, c: HybridImageTower, grid: int, dim: int):
        super().__init__(c, EfficientNetLite.channels + 3 * FINE**2 * c.colours, grid, dim)
        self.trunk, self.colours = EfficientNetLite(c.backbone, c.second_branch_at), c.colours

    def encode_with_colours(self, top: Tensor, colours: Tensor) -> Tensor:
        """Encode its map (B, 1280, h, w) and the colours (B, 3, FINE·h, FINE·w) → (B, dim)."""
        if not self.colours:
            return self.encode(top)
        return self.encode(torch.cat([top, rearrange(colours, "b c (h p) (w q) -> b (c p q) h w", p=FINE, q=FINE)], dim=1))


class HybridViT(PatchTransformer):
    """float32 (B, 3, S, S) → (B, E), not yet of unit length. Patches are cells of the backbone's last map."""

    def __init__(self, c: HybridImageTower):
        grid = c.image_size // (c.patch * EfficientNetLite.stride)
        dim = (c.dim - c.prior_dim) // (2 if c.second_branch_at else 1)
        super().__init__(c, EfficientNetLite.channels, grid, dim)
        self.trunk, self.second_branch_at, self.learned_norm = EfficientNetLite(c.backbone), c.second_branch_at, c.learned_norm
        self.branch = SecondBranch(c, grid, dim) if c.second_branch_at else None
        self.prior = ConSEHead(EfficientNetLite.channels, c.classes, c.prior_dim) if c.classes else None
        self.connector = ResidualAdapter(c.dim or c.width, c.adapter, c.act) if c.adapter else nn.Identity()

    def forward(self, pixels: Tensor, tap: Tap | None = None) -> Tensor:
        return self.embedding(self.maps(pixels), tap)

    def maps(self, pixels: Tensor) -> list[Tensor]:
        """Return the feature maps, (B, C, h, w) each: the backbone's last.

        With a second branch also the branch's last, the middle map they share, and the image's colours averaged over cells
        as large as the middle map's.
        """
        middle = self.trunk.bottom(pixels, self.second_branch_at)
        top = self.trunk.top(middle, self.second_branch_at)  # (B, 1280, H/32, W/32)
        if self.branch is None:
            return [top]
        return [top, self.branch.trunk.top(middle, 0), middle, F.adaptive_avg_pool2d(pixels, (middle.shape[2], middle.shape[3]))]

    def embedding(self, maps: list[Tensor], tap: Tap | None = None) -> Tensor:
        """Join prior and learned parts: maps → (B, E), not yet of unit length."""
        learned = [self.encode(maps[0], tap)]
        if self.branch is not None:
            learned.append(self.branch.encode_with_colours(maps[1], maps[3]))
        return self.connector(learned[0] if self.prior is None else self.join(self.prior(maps[0], tap), *learned))

    def join(self, prior: Tensor, *learned: Tensor) -> Tensor:
        """Concatenate prior and learned parts so that training one leaves the other intact: (B, E).

        An uncertain prior is shorter, and so leaves more of the whole to the learned parts.
        """
        return torch.cat([prior, *(self.learned_norm * F.normalize(z, dim=-1) for z in learned)], dim=-1)

    @property
    def feature_width(self) -> int:
        """Length of a feature, F."""
        if self.branch is None:
            return self.trunk.channels
        return 2 * self.trunk.channels + FINE**2 * (self.branch.trunk.in_channels + 3)

    def features(self, pixels: Tensor, layer: int = -1, tap: Tap | None = None) -> Tensor:
        """Return features for the projector: (B, 3, S, S) → (B, N, F), row by row; `layer` has no effect."""
        return self.cells(self.maps(pixels), tap)

    def cells(self, maps: list[Tensor], tap: Tap | None = None) -> Tensor:
        """Concatenate the maps cell by cell: (B, N, F).

        Both tops and the middle map, where things are still in their places, are each normalised by itself, because their
        scales differ thirtyfold; colours stay as they are.
        """
        rows = [patchify(x, 1 if i < 2 else FINE) for i, x in enumerate(maps)]  # (B, N, 1280) of the tops, …
        return record(tap, "features", torch.cat([*(F.layer_norm(x, x.shape[-1:]) for x in rows[:3]), *rows[3:]], dim=-1))

    def features_and_embedding(self, pixels: Tensor, layer: int = -1, tap: Tap | None = None) -> tuple[Tensor, Tensor]:
        """Return `features` and `forward` of the same images; the backbone runs once."""
        maps = self.maps(pixels)
        return self.cells(maps, tap), self.embedding(maps)
