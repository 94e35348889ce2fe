"""Logits → the next token."""

import torch
from torch import Tensor

from .request import Request


class Sampler:
    """Picks tokens by the temperature, top_p and seed of a request."""

    def __init__(self, request: Request):
        self._temperature, self._top_p = request.temperature, request.top_p
        self._generator = torch.Generator()
        if request.seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(request.seed)

    def pick(self, logits: Tensor) -> int:
        """Return the likeliest token, or one sampled from the nucleus (Holtzman et al. 2019, §3.1): (V,) → id."""
        if not self._temperature:
            return int(logits.argmax())
        probabilities = (logits.float() / self._temperature).softmax(dim=-1)
        if self._top_p < 1:
            ranked, order = probabilities.sort(descending=True)
            outside = ranked.cumsum(dim=-1) - ranked >= self._top_p  # never the likeliest
            probabilities = probabilities.index_fill(0, order[outside], 0.0)
        return int(torch.multinomial(probabilities, 1, generator=self._generator))
