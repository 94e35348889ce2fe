"""What vectors of a space are called: each is read as the names of the things it is nearest to.

Li et al. 2023, "DeCap", §3.2, reads an image's vector by a memory of captions' vectors, and Ramos et al. 2023, "SmallCap", puts
the captions found into the prompt. Here things have one vector each, of their pictures and their name, and words come out.
Things that are near to whatever is seen are marked down for it (Conneau et al. 2018, "Word Translation Without Parallel Data", §2.3).
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

SHARPNESS = 30.0
"""Names are likely as exp(SHARPNESS · cosine); of the values tried, what drawings held out of the memory are called best by."""
NEAREST = 8
"""Names that are blended."""


class Memory(nn.Module):
    """N things: their vectors, and their names as Z token ids each."""

    def __init__(self, things: int, dim: int, tokens: int):
        super().__init__()
        self.register_buffer("z", torch.zeros(things, dim))
        self.register_buffer("common", torch.zeros(things))  # the mean cosine to the ten pictures that are nearest to it
        self.register_buffer("ids", torch.zeros(things, tokens, dtype=torch.int32))
        self.register_buffer("lengths", torch.ones(things, dtype=torch.int32))  # the rest of a row fills it up

    def nearest(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Vectors (…, E) → which things they are nearest to, int64 (…, K), the nearest first, and how likely each is."""
        best = self.scores(z).topk(min(NEAREST, len(self.z)))
        return best.indices, (SHARPNESS * best.values).softmax(dim=-1)

    def scores(self, z: Tensor) -> Tensor:
        """Vectors (…, E) → how much nearer each is to each thing than to be expected of that thing: float32 (…, N)."""
        with torch.autocast(z.device.type, enabled=False):
            return normalize(z.float(), dim=-1) @ self.z.float().T - self.common.float() / 2

    def spelled(self, things: Tensor, embed: Callable[[Tensor], Tensor]) -> Tensor:
        """Things (B,) → the words of their names (B, Z, D)."""
        return embed(self.ids[things])

    def blended(self, things: Tensor, shares: Tensor, embed: Callable[[Tensor], Tensor]) -> Tensor:
        """Things (…, K), and how likely each is → one token that says them all: (…, D)."""
        words, lengths = embed(self.ids[things]), self.lengths[things]  # (…, K, Z, D), (…, K)
        within = torch.arange(words.shape[-2], device=words.device) < lengths[..., None]
        names = (words * within[..., None]).sum(dim=-2) / lengths[..., None]
        return (names * shares[..., None]).sum(dim=-2)
