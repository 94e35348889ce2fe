"""Qwen3-VL: a picture is read in its own shape and size, and the first blocks of the language model are given more of it.

Bai et al. 2025, "Qwen3-VL Technical Report", §2: positions of time, row and column, and DeepStack (Meng et al. 2024).
"""

import itertools

import torch
from einops import rearrange, repeat
from torch import Tensor, nn
from torch.nn.functional import interpolate

from ..core.assistant_config import MergedAssistantConfig
from ..core.config import MergedImageTower
from .layers import Block, Mlp, Tap, record, turns
from .llava import IMAGE_TOKEN, ImageFeatures, Llava
from .lm import Cache, Llama

ROPE_BASE = 10000.0
"""Of the image tower's rotary positions."""
EPS = 1e-6
"""Epsilon of the layer norms."""


class MergedViT(nn.Module):
    """float32 (B, 3, h, w), sides multiples of merge · patch → (B, N, D), the patches of each square of merge² one after another."""

    def __init__(self, c: MergedImageTower):
        super().__init__()
        self.c, self.grid = c, c.image_size // c.patch
        self.patch_embed = nn.Linear(3 * c.frames * c.patch**2, c.width)
        self.pos_embed = nn.Parameter(torch.randn(self.grid**2, c.width) * 0.02)
        self.blocks = nn.ModuleList(Block(c.width, c.heads, c.mlp, c.act, EPS) for _ in range(c.layers))

    def forward(self, pixels: Tensor, tap: Tap | None = None) -> Tensor:
        return self.layers(pixels, tap)[-1]

    def layers(self, pixels: Tensor, tap: Tap | None = None) -> list[Tensor]:
        """Return the tokens after each of the blocks `deep`, and after the last."""
        c = self.c
        patches = rearrange(pixels, "b c (h i p) (w j q) -> b (h w i j) c (p q)", p=c.patch, q=c.patch, i=c.merge, j=c.merge)
        x = self.patch_embed(repeat(patches, "b n c x -> b n (c f x)", f=c.frames))
        rows, columns = pixels.shape[2] // c.patch, pixels.shape[3] // c.patch
        x, by, shown = x + self.positions(rows, columns), self.turned(rows, columns), []
        for i, block in enumerate(self.blocks):
            x = block(x, None, tap, f"blocks.{i}", by)
            if i in c.deep or i + 1 == c.layers:
                shown.append(x)
        return shown

    def positions(self, rows: int, columns: int) -> Tensor:
        """Return the learned positions, stretched to a picture's rows and columns: (N, D)."""
        plane = rearrange(self.pos_embed, "(h w) d -> 1 d h w", h=self.grid)
        return self._squares(interpolate(plane, (rows, columns), mode="bilinear", align_corners=True)[0])

    def turned(self, rows: int, columns: int) -> Tensor:
        """Return the rotary positions: half of each head turns with the row, half with the column: (2, N, d)."""
        half = self.c.width // self.c.heads // 2
        frequencies = ROPE_BASE ** -(torch.arange(0, half, 2, device=self.pos_embed.device) / half)
        axes = torch.meshgrid(*(torch.arange(n, device=frequencies.device) for n in (rows, columns)), indexing="ij")
        return turns((self._squares(torch.stack(axes))[:, :, None] * frequencies).flatten(1))

    def _squares(self, plane: Tensor) -> Tensor:
        """Put what each patch has in the order of the patches: (D, h, w) → (N, D)."""
        return rearrange(plane, "d (h i) (w j) -> (h w i j) d", i=self.c.merge, j=self.c.merge)


class Merger(nn.Module):
    """A layer norm and a two-layer MLP over squares of patches: (B, N, D) → (B, N / merge², out)."""

    def __init__(self, c: MergedImageTower, out: int, norm_joined: bool):
        """norm_joined: whether the norm is over the joined patches rather than over each."""
        super().__init__()
        joined = c.width * c.merge**2
        self.joined, self.norm_joined = joined, norm_joined
        self.norm = nn.LayerNorm(joined if norm_joined else c.width, eps=EPS)
        self.mlp = Mlp(joined, joined, "gelu", out)

    def forward(self, x: Tensor) -> Tensor:
        x = x if self.norm_joined else self.norm(x)
        x = x.reshape(len(x), -1, self.joined)
        return self.mlp(self.norm(x) if self.norm_joined else x)


class Qwen3Vl(Llava):
    """Image tower, a projector for each layer that is shown, language model."""

    image: MergedViT  # type: ignore[assignment]
    in_order = False

    def __init__(self, c: MergedAssistantConfig, image: MergedViT, lm: Llama):
        nn.Module.__init__(self)
        self.c, self.image, self.lm = c, image, lm
        self.projector = Merger(image.c, c.lm.width, norm_joined=False)
        self.deep_projectors = nn.ModuleList(Merger(image.c, c.lm.width, norm_joined=True) for _ in image.c.deep)

    def encode_image(self, pixels: Tensor, tap: Tap | None = None) -> ImageFeatures:
        """Encode and project images: float32 (B, 3, h, w) → ImageFeatures, whose tokens are (B, N, D + deep · D)."""
        *deep, last = self.image.layers(pixels, tap)
        patches = record(tap, "projected", self.projector(last))
        tokens = torch.cat([patches, *(project(x) for project, x in zip(self.deep_projectors, deep))], dim=-1)
        side = self.image.c.patch * self.image.c.merge
        grid = pixels.shape[2] // side, pixels.shape[3] // side
        return ImageFeatures(tokens, patches, pixels.new_empty(len(pixels), 0, 0), grid=grid)

    def positions(self, ids: list[int], grids: list[tuple[int, int]]) -> Tensor | None:
        """Return each token's time, row and column, int64 (3, N): text has three times the same, an image's tokens share a time.

        What follows an image is as far behind its first token as its longer side is long.
        """
        parts, start, left = [], 0, iter(grids)
        for of_image, run in itertools.groupby(ids, lambda token: token == IMAGE_TOKEN):
            if of_image:
                rows, columns = next(left)
                axes = (torch.arange(n) for n in (1, rows, columns))
                parts.append(torch.stack(torch.meshgrid(*axes, indexing="ij")).flatten(1) + start)
                start += max(rows, columns)
            else:
                n = len(list(run))
                parts.append((torch.arange(n) + start).expand(3, n))
                start += n
        return torch.cat(parts, dim=1)

    def hidden(self, ids: Tensor, image_tokens: Tensor, cache: Cache | None = None, positions: Tensor | None = None) -> Tensor:
        """Run ids (B, N) and image tokens (M, D + deep · D) after what is in the cache → hidden states (B, N, D)."""
        first, *deep = image_tokens.split(self.c.lm.width, dim=-1)
        x = self.splice(ids, first)
        at = (ids == IMAGE_TOKEN)[..., None]
        added = [torch.zeros_like(x).masked_scatter(at, part.to(x.dtype)) for part in deep]
        return self.lm(x, cache, positions=positions, deep=added)
