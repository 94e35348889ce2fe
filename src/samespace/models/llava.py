"""LLaVA: a picture's tokens, projected, stand among the words that a language model reads.

Liu et al. 2023, "Visual Instruction Tuning", fig. 1; the two-layer projector is of "Improved Baselines" (2023), §3.2.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from ..core.config import AssistantConfig
from .layers import Mlp, Tap, note
from .lm import Cache, Llama
from .starter.label_bank import Memory
from .vit import ViT

PICTURE = -200
"""Stands in a row of token ids for one token of a picture, as in LLaVA's own code."""

SHARPNESS = 12.0
"""How much likelier a word is said than one that lies the mean distance between words further off, as a logarithm."""


class Sight(NamedTuple):
    """What is seen in pictures."""

    tokens: Tensor
    """(B, N, D), as the language model takes them: names, then patches."""
    looked: Tensor
    """(B, 1 + G², E): the vectors of the whole and of its windows that names are found by, none where no names are known."""
    patches: Tensor
    """(B, P, D): what the patches say, before where they stand."""


def says(tokens: Tensor, words: Tensor) -> Tensor:
    """Log probability that tokens (…, N, D) say each of the words with these embeddings (V, D), the nearest most → (…, N, V).

    As prototypical networks do (Snell et al. 2017, eq. 2).
    """
    spread = 2 * (words - words.mean(dim=0)).square().sum(-1).mean()  # the mean square distance between two of them
    distances = words.square().sum(-1) - 2 * (tokens.to(words.dtype) @ words.T).float()  # a token's own length cancels out
    return (-SHARPNESS / spread * distances).log_softmax(dim=-1)


class Llava(nn.Module):
    """Image tower, projector, language model."""

    def __init__(self, c: AssistantConfig):
        super().__init__()
        self.c = c
        self.image = ViT(c.image)
        self.projector = Mlp(self.image.feature_width, c.lm.width, c.projector_act, out=c.lm.width)
        self.lm = Llama(c.lm)
        self.memory = Memory(c.names, c.image.dim, c.name_tokens) if c.names else None
        self.called_tokens = c.name_tokens + c.glances**2 if c.names else 0  # of a picture's, those before its patches
        self.place = nn.Parameter(torch.zeros(c.places**2, c.lm.width)) if c.places else None

    def see(self, pixels: Tensor, tap: Tap | None = None) -> Tensor:
        """float32 (B, 3, S, S) → a picture's tokens as the language model takes them: its names, then its patches (B, N, D)."""
        return self.sight(pixels, tap).tokens

    def sight(self, pixels: Tensor, tap: Tap | None = None) -> Sight:
        """The same tokens, and what they come from."""
        if self.memory is None:
            patches = self.named(pixels, tap)
            return Sight(self.placed(patches), pixels.new_empty(len(pixels), 0, self.c.image.dim), patches)
        features, z = self.image.features_and_vector(pixels, self.c.layer, tap)
        patches, looked = note(tap, "projected", self.projector(features)), self.looked(pixels, z)
        return Sight(torch.cat([*self.called(looked, tap), self.placed(patches)], dim=1), looked, patches)

    def looked(self, pixels: Tensor, z: Tensor) -> Tensor:
        """Pictures and their vectors (B, E) → theirs and their windows' (B, 1 + G², E)."""
        if not self.c.glances:
            return z[:, None]
        return torch.cat([z[:, None], self.image(self.windows(pixels)).unflatten(0, (len(z), -1))], dim=1)

    def placed(self, named: Tensor) -> Tensor:
        """What tokens say → the same, and where they stand."""
        return named if self.place is None else named + self.place

    def called(self, looked: Tensor, tap: Tap | None = None) -> tuple[Tensor, Tensor]:
        """Vectors of pictures and their windows (B, 1 + G², E) → the words of each one's name (B, Z, D), and a token for each
        window, which says what that is and where: (B, G², D)."""
        things, shares = self.memory.nearest(looked)
        note(tap, "called", things)  # int64 (B, 1 + G², K)
        said = self.memory.blended(things[:, 1:], shares[:, 1:], self.lm.embed)
        if self.place is not None and self.c.glances:
            grid = self.place.T.unflatten(1, (self.c.places, -1))
            said = said + adaptive_avg_pool2d(grid, self.c.glances).flatten(1).T
        return self.memory.spelled(things[:, 0, 0], self.lm.embed), said

    def windows(self, pixels: Tensor) -> Tensor:
        """(B, 3, S, S) → parts of half the side, G along each, as large as the whole: (B · G², 3, S, S), row by row."""
        side = pixels.shape[-1]
        starts = [round(i * (side - side // 2) / max(1, self.c.glances - 1)) for i in range(self.c.glances)]
        parts = [pixels[..., y : y + side // 2, x : x + side // 2] for y in starts for x in starts]
        return interpolate(torch.stack(parts, dim=1).flatten(0, 1), (side, side), mode="bilinear")

    def named(self, pixels: Tensor, tap: Tap | None = None) -> Tensor:
        """float32 (B, 3, S, S) → what the tokens say, before where: (B, N, D)."""
        return note(tap, "projected", self.projector(self.image.features(pixels, self.c.layer, tap)))

    def embed(self, ids: Tensor, seen: Tensor) -> Tensor:
        """Word ids with PICTURE in the place of each picture token (B, N), and those tokens in order (M, D) → (B, N, D)."""
        places = ids == PICTURE
        x = self.lm.embed(ids.masked_fill(places, 0))  # (B, N, D)
        return x.masked_scatter(places[..., None], seen.to(x.dtype)) if len(seen) else x

    def prefill(self, ids: Tensor, seen: Tensor, cache: Cache) -> Tensor:
        """Read a prompt, or the rest of one: ids (1, N), picture tokens (M, D) → logits of the next token (V,)."""
        return self.lm.logits(self.lm(self.embed(ids, seen), cache)[0, -1])

    def step(self, token: int, cache: Cache) -> Tensor:
        """Read one more token → logits of the next (V,)."""
        return self.lm.logits(self.lm(self.lm.embed(torch.tensor([[token]])), cache)[0, -1])

    def forward(self, ids: Tensor, seen: Tensor) -> Tensor:
        """For training: (B, N) and (M, D) → hidden states (B, N, D)."""
        return self.lm(self.embed(ids, seen))
