"""Settings of a natively multimodal model: one transformer over words, pictures and sounds."""

from dataclasses import dataclass, field
from typing import Any

from .assistant_config import LanguageModel
from .config import AudioTower

PICTURE, SOUND = "picture", "sound"
WORD, PATCH, CHUNK = 0, 1, 2
"""Kinds of tokens."""
KINDS = {PICTURE: PATCH, SOUND: CHUNK}
"""What has several tokens → their kind."""
MARKS = ("<picture>", "</picture>", "<sound>", "</sound>", "<end>")
"""Words of the tokenizer that begin and end a picture or a sound, and a document."""
CHANNELS = 4
"""Red, green and blue, multiplied by opacity, and opacity."""


@dataclass(frozen=True)
class NativeConfig:
    """native.json: a transformer over one stream.

    Pictures are squares of `size` pixels in patches of `patch`, sounds log-mel spectrograms in chunks of `chunk` frames.
    """

    name: str = ""
    """Name shown to people."""
    format: int = 1
    """Version of the folder's layout."""
    lm: LanguageModel = field(
        default_factory=lambda: LanguageModel(
            vocab=4096, context=1024, width=320, layers=8, heads=5, kv_heads=5, head_dim=64, mlp=896, rope_base=10_000.0,
            rope_sections=(12, 10, 10), qk_norm=True,
        )
    )  # fmt: skip
    """The transformer; its rotary positions turn with time, row and column."""
    encoder: int = 0
    """Blocks of a vision encoder that reads each picture by itself, before a projector of two layers brings it into the stream: late
    fusion, LLaVA's way, for comparison. 0: early fusion, patches come in as they are."""
    size: int = 64
    """Side of a picture, in pixels."""
    patch: int = 8
    """Side of a patch, in pixels; divides the size."""
    audio: AudioTower = field(default_factory=lambda: AudioTower(frames=100))
    """The spectrogram's settings; a sound is `frames` long, which is one second."""
    chunk: int = 4
    """Frames of a chunk: 40 ms."""
    licence: str = ""
    """Licence of the weights."""
    origin: str = ""
    """What it was trained on."""
    files: dict[str, str] = field(default_factory=dict)
    """sha256 of every other file of the folder."""
    card: dict[str, Any] = field(default_factory=dict)
    """How it was trained, with the numbers measured."""

    @property
    def grid(self) -> int:
        """Patches along a picture's side."""
        return self.size // self.patch

    @property
    def lengths(self) -> dict[str, int]:
        """Tokens that a picture and a sound take."""
        return {PICTURE: self.grid**2, SOUND: self.audio.frames // self.chunk}

    @property
    def widths(self) -> dict[str, int]:
        """Numbers in a patch and in a chunk."""
        return {PICTURE: CHANNELS * self.patch**2, SOUND: self.audio.mels * self.chunk}
