"""SmolVLM and Idefics 3: squares of patches are joined into one token each, so that a picture costs few.

Marafioti et al. 2025, "SmolVLM", §2.2 (pixel shuffle); Laurençon et al. 2024, "Building and better understanding vision-language
models", §3.
"""

import math

from einops import rearrange
from torch import Tensor, nn

from ..core.assistant_config import ShuffledAssistantConfig, Tiling
from .layers import Tap, record
from .llava import ImageTowerModule, Llava
from .lm import Llama

AROUND, WHOLE = "<fake_token_around_image>", "<global-img>"
"""Tokens around a picture's views, and before the whole."""


class SmolVlm(Llava):
    """Image tower, one linear layer over squares of patches, language model."""

    in_order = False

    def __init__(self, c: ShuffledAssistantConfig, image: ImageTowerModule, lm: Llama):
        super().__init__(c, image, lm)
        self.side = c.shuffle
        self.projector = nn.Linear(image.feature_width * c.shuffle**2, c.lm.width, bias=False)

    def projected(self, pixels: Tensor, tap: Tap | None = None) -> Tensor:
        """Return the projected features: float32 (B, 3, S, S) → (B, P / shuffle², D)."""
        x = self.image.norm_post(self.image.features(pixels, self.c.feature_layer, tap))  # (B, P, F)
        h = math.isqrt(x.shape[1]) // self.side
        x = rearrange(x, "b (h i w j) d -> b (h w) (i j d)", h=h, i=self.side, j=self.side)
        return record(tap, "projected", self.projector(x))

    def picture_text(self, mark: str, tokens: int, tiling: Tiling) -> str:
        """Return what stands for a picture in a prompt, `mark` for each of its tokens: the tiles row by row, then the whole."""
        rows = [
            "".join(f"{AROUND}<row_{row}_col_{column}>{mark * tokens}" for column in range(1, tiling.columns + 1)) + "\n"
            for row in range(1, tiling.rows + 1)
        ]
        return "".join([*rows, "\n" if rows else "", AROUND, WHOLE, mark * tokens, AROUND])
