"""LLaVA: an image's tokens, projected, are spliced between the text tokens that a language model reads.

Liu et al. 2023, "Visual Instruction Tuning", fig. 1; the two-layer projector is of "Improved Baselines" (2023), §3.2.
"""

from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from ..core.assistant_config import AssistantConfig, Tiling
from .layers import Mlp, Tap, record
from .lm import Cache, Llama

IMAGE_TOKEN = -200
"""Id that stands in a prompt for one image token, as in LLaVA's own code."""


class ImageFeatures(NamedTuple):
    """What the language model is given of images."""

    tokens: Tensor
    """(B, N, D), as they are spliced into the prompt."""
    patches: Tensor
    """(B, P, D): the projected features, without positions."""
    crop_embeddings: Tensor
    """(B, 1 + G², E): vectors of the whole image and of its crops; empty where there are no labels."""
    text: str = ""
    """What stands for the image in a prompt; empty where it is the tokens alone."""
    grid: tuple[int, int] = (0, 0)
    """Rows and columns of the tokens, where each has a position of its own in both."""

    @property
    def bytes(self) -> int:
        """Memory that it takes."""
        return sum(x.untyped_storage().nbytes() for x in (self.tokens, self.patches, self.crop_embeddings))


class ImageTowerModule(Protocol):
    """What LLaVA needs of an image tower: its features, and how long each is."""

    @property
    def feature_width(self) -> int: ...
    @property
    def norm_post(self) -> nn.Module: ...
    def __call__(self, pixels: Tensor) -> Tensor: ...
    def features(self, pixels: Tensor, layer: int = -1, tap: Tap | None = None) -> Tensor: ...
    def features_and_embedding(self, pixels: Tensor, layer: int = -1, tap: Tap | None = None) -> tuple[Tensor, Tensor]: ...


class Llava(nn.Module):
    """Image tower, projector, language model."""

    image: ImageTowerModule
    projector: nn.Module

    label_tokens = 0
    """Tokens of an image that come before its patches."""
    in_order = True
    """Whether a view's tokens are its patches, row by row: what training and looking inside build on."""

    def __init__(self, c: AssistantConfig, image: ImageTowerModule, lm: Llama):
        super().__init__()
        self.c = c
        self.image, self.lm = image, lm
        self.projector = Mlp(image.feature_width, c.lm.width, c.projector_act, out=c.lm.width)

    def encode_image(self, pixels: Tensor, tap: Tap | None = None) -> ImageFeatures:
        """Encode and project images: float32 (B, 3, S, S) → ImageFeatures."""
        patches = self.projected(pixels, tap)
        return ImageFeatures(patches, patches, pixels.new_empty(len(pixels), 0, self.c.image.dim))

    def arrange(self, tokens: Tensor, tiling: Tiling) -> Tensor:
        """Put the tokens of an image's views in the order in which they are read: (V, N, D) → (N', D)."""
        return tokens.flatten(0, 1)

    def picture_text(self, mark: str, tokens: int, tiling: Tiling) -> str:
        """Return what stands for an image in a prompt; `mark` stands for each of its tokens, of which a view has so many.

        Empty where it is its tokens alone.
        """
        return ""

    def projected(self, pixels: Tensor, tap: Tap | None = None) -> Tensor:
        """Return the projected features: float32 (B, 3, S, S) → (B, P, D)."""
        return record(tap, "projected", self.projector(self.image.features(pixels, self.c.feature_layer, tap)))

    def splice(self, ids: Tensor, image_tokens: Tensor) -> Tensor:
        """Embed ids (B, N) and put image tokens (M, D), in order, where IMAGE_TOKEN stands → (B, N, D)."""
        at = ids == IMAGE_TOKEN
        x = self.lm.embed(ids.masked_fill(at, 0))  # (B, N, D)
        return x.masked_scatter(at[..., None], image_tokens.to(x.dtype)) if len(image_tokens) else x

    def positions(self, ids: list[int], grids: list[tuple[int, int]]) -> Tensor | None:
        """Return each token's time, row and column, int64 (3, N); None where tokens are one after another.

        grids: ImageFeatures.grid of the prompt's images, in order.
        """
        return None

    def hidden(self, ids: Tensor, image_tokens: Tensor, cache: Cache | None = None, positions: Tensor | None = None) -> Tensor:
        """Run ids (B, N) and image tokens (M, D) after what is in the cache → hidden states (B, N, D)."""
        return self.lm(self.splice(ids, image_tokens), cache, positions=positions)

    def prefill(self, ids: Tensor, image_tokens: Tensor, cache: Cache, positions: Tensor | None = None) -> Tensor:
        """Run a prompt, or the rest of one: ids (1, N), image tokens (M, D) → logits of the next token (V,)."""
        return self.lm.logits(self.hidden(ids, image_tokens, cache, positions)[0, -1])

    def step(self, token: int, cache: Cache) -> Tensor:
        """Run one more token → logits of the next (V,)."""
        return self.lm.logits(self.lm(self.lm.embed(torch.tensor([[token]])), cache)[0, -1])

    def forward(self, ids: Tensor, image_tokens: Tensor) -> Tensor:
        """For training: ids (B, N) and image tokens (M, D) → hidden states (B, N, D)."""
        return self.hidden(ids, image_tokens)
