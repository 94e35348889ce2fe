"""A bank of labels: an image's vector is read as the labels that it is nearest to.

Li et al. 2023, "DeCap", §3.2, decodes an image's vector from a memory of captions' vectors, and Ramos et al. 2023, "SmallCap",
puts retrieved captions into the prompt. Here each label has one vector, made from its images and its name, and its tokens go
into the prompt. Labels that are near to everything are corrected for it (CSLS: Conneau et al. 2018, "Word Translation Without
Parallel Data", §2.3).
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

SHARPNESS = 30.0
"""Inverse temperature, tuned on held-out drawings."""
NEAREST = 8
"""Labels that are mixed."""


class LabelBank(nn.Module):
    """N labels: a vector (N, E) and Z token ids (N, Z) each."""

    def __init__(self, labels: int, dim: int, length: int):
        super().__init__()
        self.register_buffer("z", torch.zeros(labels, dim))
        self.register_buffer("common", torch.zeros(labels))  # the mean cosine to the ten nearest images
        self.register_buffer("ids", torch.zeros(labels, length, dtype=torch.int32))
        self.register_buffer("lengths", torch.ones(labels, dtype=torch.int32))  # of each row of ids, without padding

    z: Tensor
    common: Tensor
    ids: Tensor
    lengths: Tensor

    def nearest(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return the nearest labels of vectors (…, E), nearest first, int64 (…, K), and their probabilities (…, K)."""
        best = self.scores(z).topk(min(NEAREST, len(self.z)))
        return best.indices, (SHARPNESS * best.values).softmax(dim=-1)

    def scores(self, z: Tensor) -> Tensor:
        """CSLS-corrected cosine to each label: (…, E) → float32 (…, N)."""
        with torch.autocast(z.device.type, enabled=False):
            return normalize(z.float(), dim=-1) @ self.z.float().T - self.common.float() / 2

    def label_ids(self, labels: Tensor, embed: Callable[[Tensor], Tensor]) -> Tensor:
        """Return the embedded tokens of labels: (B,) → (B, Z, D)."""
        return embed(self.ids[labels])

    def mixed_label(self, labels: Tensor, probabilities: Tensor, embed: Callable[[Tensor], Tensor]) -> Tensor:
        """Return one token for several labels, weighted by probability: (…, K) and (…, K) → (…, D)."""
        words, lengths = embed(self.ids[labels]), self.lengths[labels]  # (…, K, Z, D), (…, K)
        within = torch.arange(words.shape[-2], device=words.device) < lengths[..., None]
        means = (words * within[..., None]).sum(dim=-2) / lengths[..., None]
        return (means * probabilities[..., None]).sum(dim=-2)
