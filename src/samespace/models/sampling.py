"""Logits → the next token."""

from collections.abc import Collection

import torch
from torch import Tensor

LEAST_TEMPERATURE = 1e-5
"""Below it the likeliest token is taken: quotients would overflow."""


class Sampler:
    """Picks tokens by a temperature, top_p and seed."""

    def __init__(self, temperature: float, top_p: float = 1.0, seed: int | None = None, penalty: float = 1.0):
        """Without a seed it is another one each time; `penalty` makes tokens that are there already less likely."""
        self._temperature, self._top_p, self._penalty = temperature, top_p, penalty
        self._generator = torch.Generator()
        if seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(seed)

    def pick(self, logits: Tensor, there: Collection[int] = ()) -> int:
        """Return the likeliest token, or one sampled from the nucleus (Holtzman et al. 2019, §3.1): (V,) → id.

        `there` are the tokens of the text so far, for the penalty (Keskar et al. 2019, "CTRL", §4.1, as transformers applies it).
        """
        if self._penalty != 1 and there:
            ids = torch.tensor(list(there))
            of_them = logits[ids]
            logits = logits.index_copy(0, ids, torch.where(of_them > 0, of_them / self._penalty, of_them * self._penalty))
        if self._temperature < LEAST_TEMPERATURE:
            return int(logits.argmax())
        probabilities = (logits.float() / self._temperature).softmax(dim=-1)
        if self._top_p < 1:
            ranked, order = probabilities.sort(descending=True)
            outside = ranked.cumsum(dim=-1) - ranked >= self._top_p  # never the likeliest
            probabilities = probabilities.index_fill(0, order[outside], 0.0)
        return int(torch.multinomial(probabilities, 1, generator=self._generator))
