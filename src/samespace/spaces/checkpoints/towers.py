"""Configs → towers: one small registry for each modality."""

from collections.abc import Callable
from typing import Any

from torch import nn

from ...core.config import AudioTower, ImageTower, LibraryImageTower, LibraryTextTower, NoTextTower, TextTower
from ...core.errors import UnknownSpace
from ...models.clip import DualEncoder
from ...models.flex_vit import FlexViT
from ...models.htsat import Htsat
from ...models.qwen3_vl import MergedViT
from ...models.starter.audio import AudioTransformer
from ...models.starter.hybrid_vit import HybridViT
from ...models.starter.text import ForkedTextTransformer
from ...models.text import TextTransformer
from ...models.vit import ViT

IMAGE_TOWERS: dict[str, Callable[[Any], nn.Module]] = {
    "vit": ViT, "flex_vit": FlexViT, "merged_vit": MergedViT, "hybrid_vit": HybridViT,
}  # fmt: skip
TEXT_TOWERS: dict[str, Callable[[Any], nn.Module]] = {"transformer": TextTransformer, "forked_transformer": ForkedTextTransformer}
AUDIO_TOWERS: dict[str, Callable[[Any], nn.Module]] = {"audio_transformer": AudioTransformer, "htsat": Htsat}


def image_tower(c: ImageTower) -> nn.Module:
    """Build an image tower with new weights. Raises UnknownSpace where it was exported from another library."""
    check_ours(c)
    return IMAGE_TOWERS[c.arch](c)


def check_ours(c: ImageTower | TextTower) -> None:
    """Raises UnknownSpace where a tower was exported from another library, and there is nothing to build."""
    if isinstance(c, LibraryImageTower | LibraryTextTower):
        raise UnknownSpace(
            f"this space was converted by {c.library} and can search, but not be trained or looked into; use a CLIP or SigLIP, "
            "or the starter"
        )
    if isinstance(c, NoTextTower):
        raise UnknownSpace(
            "this space knows pictures and no words, so there is nothing to train; use a CLIP or SigLIP, or the starter"
        )


def dual_encoder(image: ImageTower, text: TextTower, bias: bool = False) -> DualEncoder:
    """Build both towers with new weights; `bias` adds SigLIP's logit bias. Raises UnknownSpace as image_tower."""
    check_ours(image)
    check_ours(text)
    return DualEncoder(IMAGE_TOWERS[image.arch](image), TEXT_TOWERS[text.arch](text), bias)


def audio_tower(c: AudioTower) -> nn.Module:
    """Build an audio tower with new weights."""
    return AUDIO_TOWERS[c.arch](c)
