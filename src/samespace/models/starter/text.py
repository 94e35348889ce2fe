"""The starter's text tower: a sentence encoder whose own vector stays in z, beside learned projections of a second branch."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...core.config import ForkedTextTower
from ..layers import Block, Tap
from ..text import TextTransformer


class ForkedTextTransformer(TextTransformer):
    """int64 token ids (B, T) → (B, E): the pretrained vector, then projections of unit length."""

    def __init__(self, c: ForkedTextTower):
        super().__init__(c)
        self.prior_dim, self.n_projections, self.second_branch_at = c.prior_dim, c.n_projections, c.second_branch_at
        own = range(c.second_branch_at, c.layers) if c.second_branch_at else ()
        self.branch = nn.ModuleList(Block(c.width, c.heads, c.mlp, c.act, c.eps, c.post_norm) for _ in own)
        self.proj = nn.Linear(c.width, c.dim - c.prior_dim, bias=c.proj_bias)
        self.keep = nn.Linear(c.width, c.prior_dim, bias=False) if 0 < c.prior_dim < c.width else nn.Identity()

    def encode(self, ids: Tensor, tap: Tap | None = None) -> tuple[Tensor, Tensor]:
        """Run everything below the projections and return one vector per text, or two side by side with a second branch, and the first
        one's tokens: (B, T) → (B, D) or (B, 2D), (B, T, D).
        """
        shared = self.shared(ids, tap)
        states = self.norm_post(self.run_blocks(self.blocks[self.second_branch_at :], shared, ids, tap, self.second_branch_at))
        vector = self.pooled(states, ids)
        if self.second_branch_at:
            vector = torch.cat([vector, self.pooled(self.run_blocks(self.branch, shared, ids), ids)], dim=-1)
        return vector, states

    def shared(self, ids: Tensor, tap: Tap | None = None) -> Tensor:
        """Return the tokens where the branches part: (B, T) → (B, T, D)."""
        return self.run_blocks(self.blocks[: self.second_branch_at], self.embed(ids, tap), ids, tap)

    def project(self, x: Tensor) -> Tensor:
        """Join the pretrained vector and the learned projections: what `encode` returns → (B, E)."""
        vector, own = x.chunk(2, dim=-1) if self.second_branch_at else (x, x)
        learned = [F.normalize(z, dim=-1) for z in self.proj(own).chunk(self.n_projections, dim=-1)]
        prior = [self.keep(F.normalize(vector, dim=-1))] if self.prior_dim else []
        return self.connector(torch.cat([*prior, *learned], dim=-1))
