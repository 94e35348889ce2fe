"""Qwen3-VL: a picture is read in its own shape and size, and the first blocks of the language model are given more of it.

Bai et al. 2025, "Qwen3-VL Technical Report", §2: positions of time, row and column, and DeepStack (Meng et al. 2024).
"""

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..core.assistant_config import MergedAssistantConfig
from ..core.config import MergedImageTower
from .clip import DualEncoder
from .flex_vit import PLACE
from .layers import Block, Mlp, Tap, record, turns
from .llava import IMAGE_TOKEN, ImageFeatures, Llava
from .lm import Cache, Llama

ROPE_BASE = 10000.0
"""Of the image tower's rotary positions."""
EPS = 1e-6
"""Epsilon of the layer norms."""


class MergedViT(nn.Module):
    """float32 (B, N, 3·patch² + PLACE), the patches of each square of merge² one after another, → (B, N, D)."""

    def __init__(self, c: MergedImageTower):
        super().__init__()
        self.c, self.grid = c, c.image_size // c.patch
        self.patch_embed = nn.Linear(3 * c.frames * c.patch**2, c.width)
        self.pos_embed = nn.Parameter(torch.randn(self.grid**2, c.width) * 0.02)
        self.blocks = nn.ModuleList(Block(c.width, c.heads, c.mlp, c.act, EPS) for _ in range(c.layers))

    def forward(self, x: Tensor, tap: Tap | None = None) -> Tensor:
        return self.layers(x, tap)[-1]

    def layers(self, x: Tensor, tap: Tap | None = None) -> list[Tensor]:
        """Return the tokens after each of the blocks `deep`, and after the last: (B, N, D) each."""
        pixels, place = x[..., :-PLACE], x[..., -PLACE:]
        x = self.patch_embed(pixels.repeat(1, 1, self.c.frames)) + self.positions(place)
        by, shown = self.turned(place), []
        for i, block in enumerate(self.blocks):
            x = block(x, None, tap, f"blocks.{i}", by)
            if i in self.c.deep or i + 1 == self.c.layers:
                shown.append(x)
        return shown

    def positions(self, place: Tensor) -> Tensor:
        """Return the learned positions, stretched so that the corners stay: (B, N, PLACE) → (B, N, D)."""
        row, column, rows, columns = place.unbind(dim=-1)
        learned = torch.arange(self.grid, device=place.device)
        down, across = (  # (B, N, grid): what each of the learned positions contributes
            (1 - (learned - (at * (self.grid - 1) / (n - 1).clamp(min=1))[..., None]).abs()).clamp(min=0)
            for at, n in ((row, rows), (column, columns))
        )
        return (down[..., :, None] * across[..., None, :]).flatten(-2) @ self.pos_embed

    def turned(self, place: Tensor) -> Tensor:
        """Return the rotary positions: half of each head turns with the row, half with the column: (2, B, 1, N, d)."""
        half = self.c.width // self.c.heads // 2
        frequencies = ROPE_BASE ** -(torch.arange(0, half, 2, device=place.device) / half)
        return turns((place[:, None, :, :2, None] * frequencies).flatten(-2))


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
        x = x.reshape(x.shape[0], -1, self.joined)
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
        """Encode and project the patches of images of one shape: float32 (B, N, 3·patch² + PLACE) → ImageFeatures.

        Its tokens are (B, N / merge², D + deep · D).
        """
        tokens = self.projected(pixels, tap)
        rows, columns = (int(n) // self.image.c.merge for n in pixels[0, 0, -2:])
        return ImageFeatures(tokens, tokens[..., : self.c.lm.width], pixels.new_empty(len(pixels), 0, 0), grid=(rows, columns))

    def projected(self, pixels: Tensor, tap: Tap | None = None) -> Tensor:
        """Return the projected features of all layers that are shown, one beside another: (B, N / merge², D + deep · D)."""
        *deep, last = self.image.layers(pixels, tap)
        patches = record(tap, "projected", self.projector(last))
        return torch.cat([patches, *(project(x) for project, x in zip(self.deep_projectors, deep))], dim=-1)

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


class Qwen3VlEncoder(DualEncoder):
    """Pictures and texts → unit vectors: the last token's hidden state. Li et al. 2026, "Qwen3-VL-Embedding"."""

    before: Tensor
    after: Tensor

    def __init__(self, model: Qwen3Vl, before: list[int], after: list[int]):
        """before, after: token ids around a picture's; the last of `after` ends every text, too."""
        super().__init__(nn.Identity(), nn.Identity())
        self.model = model
        del model.lm.head  # no words are written
        self.register_buffer("before", torch.tensor([before]), persistent=False)
        self.register_buffer("after", torch.tensor([after]), persistent=False)

    def encode_image(self, pixels: Tensor, tap: Tap | None = None) -> Tensor:
        """Patches of one picture, float32 (1, N, 3·patch² + PLACE) → z: (1, D), unit length."""
        model = self.model
        tokens, *deep = model.projected(pixels, tap).split(model.c.lm.width, dim=-1)
        ends = (self.before, self.after)
        x = torch.cat([model.lm.embed(self.before), tokens, model.lm.embed(self.after)], dim=1)
        added = [F.pad(part, (0, 0, *(ids.shape[1] for ids in ends))) for part in deep]
        return F.normalize(model.lm(x, positions=self._positions(pixels[0, :, -PLACE:]), deep=added)[:, -1], dim=-1)

    def _positions(self, place: Tensor) -> Tensor:
        """Return each token's time, row and column, as Qwen3Vl.positions: (N, PLACE) of patches → float32 (3, N')."""
        merge, start = self.model.image.c.merge, self.before.shape[1]
        row, column, rows, columns = (place[:: merge**2] / merge).floor().unbind(dim=-1)
        of_image = torch.stack([torch.zeros_like(row), row, column]) + start
        left = torch.arange(start, device=place.device).expand(3, -1)
        right = torch.arange(self.after.shape[1], device=place.device).expand(3, -1) + start + torch.maximum(rows, columns)[0]
        return torch.cat([left, of_image, right], dim=1)

    def encode_text(self, ids: Tensor, tap: Tap | None = None) -> Tensor:
        """int64 (B, T), whose padding is the token that ends a text, → z: (B, D), unit length."""
        hidden = self.model.lm(self.model.lm.embed(ids), tap=tap)
        end = (ids == self.after[0, -1]).int().argmax(dim=-1)
        return F.normalize(hidden[torch.arange(ids.shape[0], device=ids.device), end], dim=-1)
