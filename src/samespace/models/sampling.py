"""Logits → the next token."""

import torch
from torch import Tensor

LEAST_TEMPERATURE = 1e-5
"""Below it the likeliest token is taken: quotients would overflow."""


class Sampler:
    """Picks tokens by a temperature, top_p and seed."""

    def __init__(self, temperature: float, top_p: float = 1.0, seed: int | None = None):
        """Without a seed it is another one each time."""
        self._temperature, self._top_p = temperature, top_p
        self._generator = torch.Generator()
        if seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(seed)

    def pick(self, logits: Tensor) -> int:
        """Return the likeliest token, or one sampled from the nucleus (Holtzman et al. 2019, §3.1): (V,) → id."""
        if self._temperature < LEAST_TEMPERATURE:
            return int(logits.argmax())
        probabilities = (logits.float() / self._temperature).softmax(dim=-1)
        if self._top_p < 1:
            ranked, order = probabilities.sort(descending=True)
            outside = ranked.cumsum(dim=-1) - ranked >= self._top_p  # never the likeliest
            probabilities = probabilities.index_fill(0, order[outside], 0.0)
        return int(torch.multinomial(probabilities, 1, generator=self._generator))
