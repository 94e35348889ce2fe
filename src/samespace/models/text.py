"""Text towers: CLIP's causal transformer, SigLIP's and BERT's, which differ in mask, norms and pooling only."""

import torch
from torch import Tensor, nn

from ..core.config import TextTower
from .layers import Block, ResidualAdapter, Tap, record

MASKED = torch.finfo(torch.float32).min
"""Added to masked attention scores; finite, so that a row of nothing but padding stays a number."""


class TextTransformer(nn.Module):
    """int64 token ids (B, T) → (B, E), not yet of unit length."""

    def __init__(self, c: TextTower):
        super().__init__()
        self.c = c
        self.token_embed = nn.Embedding(c.vocab, c.width)
        self.pos_embed = nn.Parameter(torch.randn(c.context, c.width) * 0.01)
        self.norm_pre = nn.LayerNorm(c.width, eps=c.eps) if c.post_norm else nn.Identity()
        self.blocks = nn.ModuleList(Block(c.width, c.heads, c.mlp, c.act, c.eps, c.post_norm) for _ in range(c.layers))
        self.norm_post = nn.Identity() if c.post_norm else nn.LayerNorm(c.width, eps=c.eps)
        self.proj: nn.Module = nn.Linear(c.width, c.dim, bias=c.proj_bias)
        self.connector = ResidualAdapter(c.dim, c.adapter, c.act) if c.adapter else nn.Identity()

    def forward(self, ids: Tensor, tap: Tap | None = None) -> Tensor:
        return self.project(self.encode(ids, tap)[0])

    def encode(self, ids: Tensor, tap: Tap | None = None) -> tuple[Tensor, Tensor]:
        """Run everything below the projection and return one vector per text, and the tokens: (B, T) → (B, D), (B, T, D)."""
        states = self.states(ids, tap)
        return self.pooled(states, ids), states

    def project(self, x: Tensor) -> Tensor:
        """Return the vectors that `encode` gives in the space: (B, D) → (B, E)."""
        return self.connector(self.proj(x))

    def states(self, ids: Tensor, tap: Tap | None = None, blocks: int | None = None) -> Tensor:
        """Return the tokens after all blocks, or the first few, normalised: (B, T) → (B, T, D)."""
        return self.norm_post(self.run_blocks(self.blocks[:blocks], self.embed(ids, tap), ids, tap))

    def embed(self, ids: Tensor, tap: Tap | None = None) -> Tensor:
        """Look up tokens and add positions: (B, T) → (B, T, D)."""
        return record(tap, "embedded", self.norm_pre(self.token_embed(ids) + self.pos_embed[: ids.shape[1]]))

    def run_blocks(self, blocks: nn.ModuleList, x: Tensor, ids: Tensor, tap: Tap | None = None, first: int = 0) -> Tensor:
        """Run blocks over tokens (B, T, D); `first` is the number of the first one, for the tap."""
        mask = self.mask(ids)
        for i, block in enumerate(blocks, first):
            x = block(x, mask, tap, f"blocks.{i}")
        return x

    def mask(self, ids: Tensor) -> Tensor | None:
        """Return what is added to the attention scores: (T, T) causal, (B, 1, 1, T) for padding, or nothing."""
        if self.c.mask == "causal":
            T = ids.shape[1]
            return torch.full((T, T), MASKED, device=ids.device).triu(1)
        if self.c.mask == "padding":
            return (ids == self.c.pad)[:, None, None, :] * MASKED
        return None

    def pooled(self, x: Tensor, ids: Tensor) -> Tensor:
        """Return one vector per text, of normalised tokens: (B, T, D) → (B, D)."""
        if self.c.pool in ("first", "last"):
            return x[:, 0 if self.c.pool == "first" else -1]
        if self.c.pool == "mean":
            words = (ids != self.c.pad).to(x.dtype)[..., None]  # (B, T, 1)
            return (x * words).sum(dim=1) / words.sum(dim=1)
        end = (ids == self.c.end).int().argmax(dim=-1)  # the first end token
        return x[torch.arange(x.shape[0], device=x.device), end]
