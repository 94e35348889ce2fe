"""Documents of words, pictures and sounds ⇄ the tokens of one stream (NumPy)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from ..core.errors import RequestError, as_utf8
from ..core.native_config import KINDS, MARKS, PATCH, PICTURE, SOUND, WORD, NativeConfig
from .mel import fit_frames, log_mel, trim_silence

QUIETEST, LOUDEST = -80.0, 20.0
"""Decibels that −1 and 1 stand for."""


@dataclass(frozen=True)
class PictureValues:
    """A picture as a stream has it: float32 (4, S, S), colours multiplied by opacity, and opacity, −1 to 1."""

    values: npt.NDArray[np.float32]


@dataclass(frozen=True)
class SoundValues:
    """A sound as a stream has it: float32 (M, F), decibels from QUIETEST to LOUDEST as −1 to 1."""

    values: npt.NDArray[np.float32]


Part = str | PictureValues | SoundValues


@dataclass
class Tokens:
    """The tokens of one document; see models.generate.native.Stream."""

    ids: npt.NDArray[np.int64]
    kinds: npt.NDArray[np.int64]
    values: npt.NDArray[np.float32]
    blocks: npt.NDArray[np.int64]
    positions: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ids)


class StreamWords:
    """A tokenizer and the marks of a native model."""

    def __init__(self, tokenizer: Tokenizer, c: NativeConfig):
        """Raises ValueError where the tokenizer lacks a mark."""
        self.tokenizer, self.c = tokenizer, c
        tokenizer.no_padding()
        tokenizer.no_truncation()
        tokenizer.encode_special_tokens = True  # a mark that stands in a text is the words that it is made of
        ids = [i for mark in MARKS if (i := tokenizer.token_to_id(mark)) is not None]
        if len(ids) < len(MARKS):
            raise ValueError(f"the tokenizer lacks one of the words {' '.join(MARKS)}; train one with them")
        self.picture, self.picture_end, self.sound, self.sound_end, self.end = ids
        self.begins = {PICTURE: self.picture, SOUND: self.sound}
        self.ends = {PICTURE: self.picture_end, SOUND: self.sound_end}

    def ids(self, text: str) -> list[int]:
        """Return a text's ids, none of which is a mark."""
        return list(self.tokenizer.encode(as_utf8(text), add_special_tokens=False).ids)

    def tokens(self, parts: Sequence[Part], start: int = 0, first_block: int = 1) -> Tokens:
        """Return the tokens of a document's parts, whose first position is `start`. Raises RequestError where there is none."""
        pieces = list(self._pieces(parts))
        if not pieces:
            raise RequestError("the document is empty; give words, a picture or a sound")
        widest, n = max(self.c.widths.values()), sum(len(ids) for ids, *_ in pieces)
        out = Tokens(
            np.zeros(n, np.int64),
            np.zeros(n, np.int64),
            np.zeros((n, widest), np.float32),
            np.zeros(n, np.int64),
            np.zeros((3, n), np.int64),
        )
        at, block = 0, first_block
        for ids, kind, values in pieces:
            here = slice(at, at + len(ids))
            out.ids[here], out.kinds[here] = ids, kind
            if values is not None:
                out.values[here, : values.shape[1]], out.blocks[here] = values, block
                block += 1
            out.positions[:, here], start = self.places(len(ids), kind, start)
            at += len(ids)
        return out

    def text_tokens(self, ids: Sequence[int], start: int) -> Tokens:
        """Return the tokens of words, whose first position is `start`."""
        n, widest = len(ids), max(self.c.widths.values())
        zeros = np.zeros(n, np.int64)
        return Tokens(np.array(ids), zeros, np.zeros((n, widest), np.float32), zeros, self.places(n, WORD, start)[0])

    def places(self, count: int, kind: int, start: int) -> tuple[npt.NDArray[np.int64], int]:
        """Return time, row and column of so many tokens of a kind, and the position after them: int64 (3, count).

        A picture's patches share a time; what follows is as far behind as its side is long. Bai et al. 2025, "Qwen3-VL", §2.
        """
        if kind == PATCH:
            row, column = np.divmod(np.arange(count), self.c.grid)
            return np.stack([np.zeros(count, np.int64), row, column]) + start, start + self.c.grid
        return np.tile(np.arange(count), (3, 1)) + start, start + count

    def _pieces(self, parts: Sequence[Part]) -> Iterator[tuple[list[int], int, npt.NDArray[np.float32] | None]]:
        """Yield runs of one kind: ids, kind, and the values of patches or chunks."""
        for part in parts:
            if isinstance(part, str):
                if ids := self.ids(part):
                    yield ids, WORD, None
                continue
            name, values = PICTURE if isinstance(part, PictureValues) else SOUND, self.cut(part)
            yield [self.begins[name]], WORD, None
            yield [0] * len(values), KINDS[name], values
            yield [self.ends[name]], WORD, None

    def cut(self, part: PictureValues | SoundValues) -> npt.NDArray[np.float32]:
        """Cut a picture into patches, row by row, or a sound into chunks: float32 (N, W)."""
        x, c = part.values, self.c
        if isinstance(part, PictureValues):
            patches = x.reshape(-1, c.grid, c.patch, c.grid, c.patch).transpose(1, 3, 0, 2, 4)
            return patches.reshape(c.lengths[PICTURE], -1)
        return x.T.reshape(c.lengths[SOUND], -1)

    def joined(self, name: str, values: npt.NDArray[np.float32]) -> PictureValues | SoundValues:
        """Return the picture or sound of which these are the patches or chunks: what `cut` was given."""
        c, own = self.c, values[:, : self.c.widths[name]]
        if name == PICTURE:
            patches = own.reshape(c.grid, c.grid, -1, c.patch, c.patch).transpose(2, 0, 3, 1, 4)
            return PictureValues(np.ascontiguousarray(patches.reshape(-1, c.size, c.size)))
        return SoundValues(np.ascontiguousarray(own.reshape(c.audio.frames, c.audio.mels).T))


def sound_values(samples: npt.NDArray[np.float32], c: NativeConfig) -> SoundValues:
    """Return the first second of samples (N,) at the model's rate, without the silence before it. Raises RequestError on silence."""
    loud = trim_silence(np.asarray(samples, np.float32))
    if not len(loud) or not np.abs(loud).max() > 1e-4:
        raise RequestError("the sound is silent; play it to check")
    kept = loud[: c.audio.frames * c.audio.hop + c.audio.fft]
    decibels = fit_frames(log_mel(kept / np.abs(loud).max(), c.audio), c.audio.frames)
    return SoundValues(((decibels - QUIETEST) / (LOUDEST - QUIETEST) * 2 - 1).clip(-1, 1).astype(np.float32))


def decibels_of(sound: SoundValues) -> npt.NDArray[np.float32]:
    """Return a sound's spectrogram in decibels: float32 (M, F)."""
    return ((sound.values.clip(-1, 1) + 1) / 2 * (LOUDEST - QUIETEST) + QUIETEST).astype(np.float32)
