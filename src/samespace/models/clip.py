"""Two towers that end in one space: CLIP's figure 1."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import Tap


class DualEncoder(nn.Module):
    """An image tower and a text tower with a learned temperature. After Radford et al. 2021, §2.

    The towers are any modules that map pixels (B, 3, S, S) and token ids (B, T) to (B, E); see spaces.towers.
    """

    def __init__(self, image: nn.Module, text: nn.Module, bias: bool = False):
        super().__init__()
        self.image, self.text = image, text
        self.logit_scale = nn.Parameter(torch.tensor(1 / 0.07).log())
        self.logit_bias = nn.Parameter(torch.tensor(-10.0)) if bias else None

    def encode_image(self, pixels: Tensor, tap: Tap | None = None) -> Tensor:
        """float32 (B, 3, S, S) → z: (B, E), unit length."""
        return F.normalize(self.image(pixels, tap), dim=-1)

    def encode_text(self, ids: Tensor, tap: Tap | None = None) -> Tensor:
        """int64 (B, T) → z: (B, E), unit length."""
        return F.normalize(self.text(ids, tap), dim=-1)

    def forward(self, pixels: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Images and their captions → (z_image, z_text), both (B, E), unit length."""
        return self.encode_image(pixels), self.encode_text(ids)

    def logits(self, z_image: Tensor, z_text: Tensor) -> Tensor:
        """Return scaled similarities: (B_image, B_text)."""
        logits = self.logit_scale.exp() * z_image @ z_text.T
        return logits if self.logit_bias is None else logits + self.logit_bias
