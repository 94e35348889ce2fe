"""LLaVA-NeXT and LLaVA-OneVision: a large picture's tiles are laid out as one plane of features, with an end to each of its lines.

Liu et al. 2024, "LLaVA-NeXT" (AnyRes); Li et al. 2024, "LLaVA-OneVision", §3.2.
"""

import math

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import interpolate

from ..core.assistant_config import AnyresAssistantConfig, Tiling
from .llava import ImageTowerModule, Llava
from .lm import Llama

SHRINK_FROM = 1.1
"""A plane is shrunk where its sides are this many times what is allowed."""


class LlavaNext(Llava):
    """Image tower, projector, language model, and a learned token that ends a line of patches."""

    in_order = False

    def __init__(self, c: AnyresAssistantConfig, image: ImageTowerModule, lm: Llama):
        super().__init__(c, image, lm)
        self.most_tiles = c.most_tiles
        self.newline = nn.Parameter(torch.zeros(c.lm.width))

    def arrange(self, tokens: Tensor, tiling: Tiling) -> Tensor:
        """Put the tokens of a picture's views in their order: the whole, then its tiles' rows: (V, P, D) → (N, D)."""
        whole, tiles = tokens[0], tokens[1:]
        if not len(tiles):
            return torch.cat([whole, self.newline[None]])
        side = math.isqrt(tokens.shape[1])
        plane = rearrange(tiles, "(r c) (h w) d -> d (r h) (c w)", r=tiling.rows, h=side)
        plane = self.shrunk(without_margins(plane, tiling.width, tiling.height), side)  # (D, h, w)
        ends = self.newline[:, None, None].expand(-1, plane.shape[1], 1)
        return torch.cat([whole, rearrange(torch.cat([plane, ends], dim=2), "d h w -> (h w) d")])

    def shrunk(self, plane: Tensor, side: int) -> Tensor:
        """Shrink a plane (D, h, w) that has more patches than `most_tiles` tiles."""
        h, w = plane.shape[1:]
        ratio = math.sqrt(h * w / (self.most_tiles * side**2)) if self.most_tiles else 0
        if ratio <= SHRINK_FROM:
            return plane
        return interpolate(plane[None], [int(h // ratio), int(w // ratio)], mode="bilinear")[0]


def without_margins(plane: Tensor, width: int, height: int) -> Tensor:
    """Cut off what padded a picture of these proportions to whole tiles: (D, h, w) → (D, h', w')."""
    h, w = plane.shape[1:]
    if width / height > w / h:
        margin = (h - int(round(height * (w / width), 7))) // 2
        return plane[:, margin : h - margin]
    margin = (w - int(round(width * (h / height), 7))) // 2
    return plane[:, :, margin : w - margin]
