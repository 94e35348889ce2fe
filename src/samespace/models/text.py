"""Text towers: CLIP's causal transformer, SigLIP's and BERT's, which differ in mask, norms and pooling only."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..core.config import TextTower
from .layers import Block, Connector, Tap, note

FAR = torch.finfo(torch.float32).min
"""Added to attention scores that must not count; finite, so that a row of nothing but padding stays a number."""


class TextTransformer(nn.Module):
    """int64 token ids (B, T) → (B, E), not yet of unit length."""

    def __init__(self, c: TextTower):
        super().__init__()
        self.c = c
        self.token_embed = nn.Embedding(c.vocab, c.width)
        self.pos_embed = nn.Parameter(torch.randn(c.context, c.width) * 0.01)
        self.norm_pre = nn.LayerNorm(c.width, eps=c.eps) if c.post_norm else nn.Identity()
        self.blocks = nn.ModuleList(Block(c.width, c.heads, c.mlp, c.act, c.eps, c.post_norm) for _ in range(c.layers))
        own = range(c.fork, c.layers) if c.fork else ()
        self.branch = nn.ModuleList(Block(c.width, c.heads, c.mlp, c.act, c.eps, c.post_norm) for _ in own)
        self.norm_post = nn.Identity() if c.post_norm else nn.LayerNorm(c.width, eps=c.eps)
        self.proj = nn.Linear(c.width, c.dim - c.kept, bias=c.proj_bias)
        self.keep = nn.Linear(c.width, c.kept, bias=False) if 0 < c.kept < c.width else nn.Identity()
        self.connector = Connector(c.dim, c.connector, c.act) if c.connector else nn.Identity()

    def forward(self, ids: Tensor, tap: Tap | None = None) -> Tensor:
        return self.project(self.read(ids, tap))

    def read(self, ids: Tensor, tap: Tap | None = None) -> Tensor:
        """Everything below the projection: (B, T) → (B, D), or (B, 2D) where it forks: the trunk's vector, and its branch's."""
        below = self.bottom(ids, tap)
        whole = self.top(self.blocks[self.c.fork :], below, ids, tap)
        return torch.cat([whole, self.top(self.branch, below, ids)], dim=-1) if self.c.fork else whole

    def bottom(self, ids: Tensor, tap: Tap | None = None) -> Tensor:
        """The tokens where the tower forks, or those that enter its first block: (B, T) → (B, T, D)."""
        x = self.token_embed(ids) + self.pos_embed[: ids.shape[1]]
        x, mask = note(tap, "embedded", self.norm_pre(x)), self.mask(ids)
        for i, block in enumerate(self.blocks[: self.c.fork]):
            x = block(x, mask, tap, f"blocks.{i}")
        return x

    def top(self, blocks: nn.ModuleList, x: Tensor, ids: Tensor, tap: Tap | None = None) -> Tensor:
        """The blocks that follow, and one vector of their tokens: (B, T, D) → (B, D)."""
        mask = self.mask(ids)
        for i, block in enumerate(blocks, self.c.fork):
            x = block(x, mask, tap, f"blocks.{i}")
        return self.summary(self.norm_post(x), ids)

    def project(self, x: Tensor) -> Tensor:
        """What `read` gives → (B, E): projected, or kept and the projections beside it in equal parts."""
        if not self.c.kept:
            return self.connector(self.proj(x))
        whole, own = x.chunk(2, dim=-1) if self.c.fork else (x, x)
        learned = (F.normalize(z, dim=-1) for z in self.proj(own).chunk(self.c.parts, dim=-1))
        return self.connector(torch.cat([self.keep(F.normalize(whole, dim=-1)), *learned], dim=-1))

    def mask(self, ids: Tensor) -> Tensor | None:
        """What is added to the attention scores: (T, T) causal, (B, 1, 1, T) for padding, or nothing."""
        if self.c.mask == "causal":
            T = ids.shape[1]
            return torch.full((T, T), FAR, device=ids.device).triu(1)
        if self.c.mask == "padding":
            return (ids == self.c.pad)[:, None, None, :] * FAR
        return None

    def summary(self, x: Tensor, ids: Tensor) -> Tensor:
        """Tokens (B, T, D) → one vector (B, D)."""
        if self.c.pool in ("first", "last"):
            return x[:, 0 if self.c.pool == "first" else -1]
        if self.c.pool == "mean":
            words = (ids != self.c.pad).to(x.dtype)[..., None]  # (B, T, 1)
            return (x * words).sum(dim=1) / words.sum(dim=1)
        end = (ids == self.c.end).int().argmax(dim=-1)  # the first end token
        return x[torch.arange(x.shape[0], device=x.device), end]
