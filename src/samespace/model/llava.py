"""LLaVA: a picture's tokens, projected, stand among the words that a language model reads.

Liu et al. 2023, "Visual Instruction Tuning", fig. 1; the two-layer projector is of "Improved Baselines" (2023), §3.2.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import AssistantConfig
from .layers import Mlp, Tap, note
from .lm import Cache, Llama
from .vit import ViT

PICTURE = -200
"""Stands in a row of token ids for one token of a picture, as in LLaVA's own code."""


class Llava(nn.Module):
    """Image tower, projector, language model."""

    def __init__(self, c: AssistantConfig):
        super().__init__()
        self.c = c
        self.image = ViT(c.image)
        self.projector = Mlp(self.image.feature_width, c.lm.width, c.projector_act, out=c.lm.width)
        self.lm = Llama(c.lm)
        self.z_projector = Mlp(c.image.dim, c.lm.width, c.projector_act, out=c.z_tokens * c.lm.width) if c.z_tokens else None
        self.place = nn.Parameter(torch.zeros(c.places**2, c.lm.width)) if c.places else None

    def see(self, pixels: Tensor, tap: Tap | None = None) -> Tensor:
        """float32 (B, 3, S, S) → a picture's tokens as the language model takes them, those of z first: (B, Z + N, D)."""
        if self.z_projector is None:
            return self.placed(self.named(pixels, tap))
        features, z = self.image.features_and_vector(pixels, self.c.layer, tap)
        return torch.cat([self.of_z(z, tap), self.placed(note(tap, "projected", self.projector(features)))], dim=1)

    def placed(self, named: Tensor) -> Tensor:
        """What tokens say → the same, and where they stand."""
        return named if self.place is None else named + self.place

    def of_z(self, z: Tensor, tap: Tap | None = None) -> Tensor:
        """Vectors of the space, of any length, (B, E) → the tokens made of them (B, Z, D)."""
        z = F.normalize(z, dim=-1) * z.shape[-1] ** 0.5  # numbers around one
        return note(tap, "of_z", self.z_projector(z).unflatten(-1, (self.c.z_tokens, -1)))

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
