"""Logits -> a token."""

import torch
from torch import Tensor

from .request import Request


class Sampler:
    """Picks tokens the way a request asks for."""

    def __init__(self, request: Request):
        self.temperature, self.top_p = request.temperature, request.top_p
        self.generator = torch.Generator()
        if request.seed is None:
            self.generator.seed()
        else:
            self.generator.manual_seed(request.seed)

    def pick(self, logits: Tensor) -> int:
        """(V,) → a token: the likeliest, or one drawn from the nucleus (Holtzman et al. 2019, §3.1)."""
        if not self.temperature:
            return int(logits.argmax())
        chances = (logits.float() / self.temperature).softmax(dim=-1)
        if self.top_p < 1:
            ranked, order = chances.sort(descending=True)
            outside = ranked.cumsum(dim=-1) - ranked >= self.top_p  # the first always stays
            chances = chances.index_fill(0, order[outside], 0.0)
        return int(torch.multinomial(chances, 1, generator=self.generator))
