"""Settings of a generator: a model that draws what a vector and words ask for."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class GeneratorConfig:
    """A transformer that predicts a clean picture from a noisy one."""

    name: str = ""
    """Name shown to people."""
    format: int = 1
    """Version of the folder's layout."""
    size: int = 64
    """Side of a picture, in pixels."""
    patch: int = 8
    """Side of a patch, in pixels; divides the size."""
    width: int = 256
    """Length of a token, D."""
    layers: int = 8
    """Number of transformer blocks."""
    heads: int = 4
    """Number of attention heads, H; divides the width."""
    mlp: int = 1024
    """Hidden width of each block's MLP."""
    dim: int = 512
    """Length of z, E."""
    z_tokens: int = 4
    """Tokens that z becomes, beside those of words."""
    word_width: int = 384
    """Length of a state of the text tower."""
    words: int = 24
    """Most tokens of a text that are read."""
    space: str = ""
    """Fingerprint of the space whose z and words it was trained on."""
    licence: str = ""
    """Licence of the weights."""
    origin: str = ""
    """What it was trained on."""
    files: dict[str, str] = field(default_factory=dict)
    """sha256 of every other file of the folder."""
    card: dict[str, Any] = field(default_factory=dict)
    """How it was trained, with the numbers measured."""
