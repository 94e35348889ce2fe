"""The starter assistant's model: a LLaVA whose image tokens begin with the labels that the image is nearest to.

A small language model cannot tell what things are from patches alone, but it reads words. Beside the labels, each patch token
may carry a learned position.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from ...core.assistant_config import LabelledAssistantConfig
from ..layers import Tap, record
from ..llava import ImageFeatures, ImageTowerModule, Llava
from ..lm import Llama
from .label_bank import LabelBank

SHARPNESS = 12.0
"""Log-odds by which a word is likelier than one that is further away by the mean squared distance between words."""


def token_log_probs(tokens: Tensor, words: Tensor) -> Tensor:
    """Log probability that tokens (…, N, D) mean each of the words with these embeddings (V, D) → (…, N, V).

    The nearest word is the likeliest, as in prototypical networks (Snell et al. 2017, eq. 2).
    """
    spread = 2 * (words - words.mean(dim=0)).square().sum(-1).mean()  # the mean squared distance between two words
    distances = words.square().sum(-1) - 2 * (tokens.to(words.dtype) @ words.T).float()  # a token's own length cancels out
    return (-SHARPNESS / spread * distances).log_softmax(dim=-1)


class LabelledLlava(Llava):
    """A LLaVA with a label bank, crops and learned 2-D positions."""

    c: LabelledAssistantConfig

    def __init__(self, c: LabelledAssistantConfig, image: ImageTowerModule, lm: Llama):
        super().__init__(c, image, lm)
        self.memory = LabelBank(c.labels, c.image.dim, c.label_length) if c.labels else None
        self.label_tokens = c.label_length + c.crop_grid**2 if c.labels else 0
        self.place = nn.Parameter(torch.zeros(c.position_grid**2, c.lm.width)) if c.position_grid else None

    def encode_image(self, pixels: Tensor, tap: Tap | None = None) -> ImageFeatures:
        """Encode images: label tokens of the whole and of its crops, then patches: float32 (B, 3, S, S) → ImageFeatures."""
        if self.memory is None:
            plain = super().encode_image(pixels, tap)
            return plain._replace(tokens=self.with_positions(plain.patches))
        features, z = self.image.features_and_embedding(pixels, self.c.feature_layer, tap)
        patches, crops = record(tap, "projected", self.projector(features)), self.crop_embeddings(pixels, z)
        labels = self.label_tokens_of(self.memory, crops, tap)
        return ImageFeatures(torch.cat([*labels, self.with_positions(patches)], dim=1), patches, crops)

    def crop_embeddings(self, pixels: Tensor, z: Tensor) -> Tensor:
        """Return the vectors of images (B, E) and of their crops: (B, 1 + G², E)."""
        if not self.c.crop_grid:
            return z[:, None]
        return torch.cat([z[:, None], self.image(self.crops(pixels)).unflatten(0, (len(z), -1))], dim=1)

    def crops(self, pixels: Tensor) -> Tensor:
        """Cut crops of half the side, G along each, resized to the whole's: (B, 3, S, S) → (B · G², 3, S, S), row by row."""
        side = pixels.shape[-1]
        starts = [round(i * (side - side // 2) / max(1, self.c.crop_grid - 1)) for i in range(self.c.crop_grid)]
        parts = [pixels[..., y : y + side // 2, x : x + side // 2] for y in starts for x in starts]
        return interpolate(torch.stack(parts, dim=1).flatten(0, 1), (side, side), mode="bilinear")

    def label_tokens_of(self, bank: LabelBank, z: Tensor, tap: Tap | None = None) -> tuple[Tensor, Tensor]:
        """Return the tokens of the whole image's label (B, Z, D), and a mixed token for each crop (B, G², D).

        z: vectors of images and their crops (B, 1 + G², E).
        """
        labels, probabilities = bank.nearest(z)
        record(tap, "labels", labels)  # int64 (B, 1 + G², K)
        mixed = bank.mixed_label(labels[:, 1:], probabilities[:, 1:], self.lm.embed)
        if self.place is not None and self.c.crop_grid:
            grid = self.place.T.unflatten(1, (self.c.position_grid, -1))
            mixed = mixed + adaptive_avg_pool2d(grid, self.c.crop_grid).flatten(1).T
        return bank.label_ids(labels[:, 0, 0], self.lm.embed), mixed

    def with_positions(self, patches: Tensor) -> Tensor:
        """Add the learned positions, where there are any: (B, P, D) → (B, P, D)."""
        return patches if self.place is None else patches + self.place
