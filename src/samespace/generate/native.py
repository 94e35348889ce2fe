"""A native model on disk and in memory: a document is read, and goes on with words, pictures and sounds."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor

from ..core.config import to_json
from ..core.errors import QueryError, RequestError, UnknownGenerator, UnreadableMedia, error_summary
from ..core.files import sha256, write_text_atomically
from ..core.native_config import KINDS, PICTURE, SOUND, NativeConfig
from ..core.new_folder import new_folder
from ..library.search.query import parse
from ..media import audio
from ..media import image as image_media
from ..media.kinds import kind_of
from ..models.generate.native import NativeTransformer, Stream
from ..models.int8 import quantize
from ..models.lm import Cache
from ..models.sampling import Sampler
from ..preprocess.stream import Part, PictureValues, SoundValues, StreamWords, Tokens, decibels_of, sound_values
from ..preprocess.vocoder import griffin_lim
from ..spaces.checkpoints.tensors import check_weights, dequantize, fill
from .generator import MOST_DRAWINGS, MOST_GUIDANCE, MOST_STEPS, check_range, check_seed
from .native_registry import NATIVES, read_native_config
from .sampler import Pictures, from_rgba, sample

STEPS, GUIDANCE = 25, 3.0
"""Defaults: steps from noise to a picture or a sound, and how far it is pulled towards the document."""
LISTENED_SECONDS = 30
"""Of a sound file: what is heard in it begins within these."""
LONGEST = 256
"""Words that a document goes on for, at most."""


@dataclass(frozen=True)
class Settings:
    """How a document goes on."""

    temperature: float = 0.0
    """0 always takes the likeliest word."""
    top_p: float = 1.0
    """Share of probability that the words that are chosen among have."""
    steps: int = STEPS
    guidance: float = GUIDANCE
    seed: int = 0
    longest: int = LONGEST
    """Words, at most."""


@dataclass
class ReadDocument:
    """A document that was read, by several at once that are alike."""

    cache: Cache
    hidden: Tensor
    """Of the last token: float32 (B, D)."""
    position: int
    """Of the next token."""


def load_native(name: str | Path = "native") -> "Native":
    """Open a native model by name or folder. Raises UnknownGenerator."""
    folder = NATIVES.find(name)
    if folder is None:
        installed = ", ".join(NATIVES.installed()) or "none"
        raise UnknownGenerator(
            f"there is no native model {str(name)!r}; installed: {installed}. Train one as recipes/native does"
        )
    config = read_native_config(folder)
    try:
        check_weights(folder)
        model = NativeTransformer(config)
        state = dequantize(load_file(folder / "model.safetensors"))
        fill(model, state | ({"lm.head.weight": state["lm.token_embed.weight"]} if config.lm.tied else {}))
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:  # safetensors, torch and tokenizers raise errors of their own
        raise UnknownGenerator(f"{folder} cannot be opened ({error_summary(error)}); train it again") from None
    return Native(model, StreamWords(tokenizer, config))


def export(model: NativeTransformer, tokenizer: Tokenizer, config: NativeConfig, folder: Path) -> NativeConfig:
    """Write a native model's folder, its matrices as int8, and return its config. The folder appears whole or not at all.

    Raises OSError, and UnknownGenerator where the folder holds something else.
    """
    with new_folder(folder, NATIVES.file, UnknownGenerator) as (made, _):
        tied = {"lm.head.weight"} if config.lm.tied else set()
        save_file(small({key: x for key, x in model.state_dict().items() if key not in tied}), made / "model.safetensors")
        tokenizer.save(str(made / "tokenizer.json"))
        config = replace(config, files={file.name: sha256(file) for file in sorted(made.iterdir())})
        write_text_atomically(made / NATIVES.file, to_json(config))
    return config


def small(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return weights as they are stored: matrices as int8 with a scale for each row, all else as fp16."""
    out: dict[str, Tensor] = {}
    for key, x in state.items():
        if x.ndim == 2:
            out[f"{key}_quantized"], out[f"{key}_scale"] = (part.contiguous() for part in quantize(x.float()))
        else:
            out[key] = x.half().contiguous()
    return out


class Native:
    """A loaded native model."""

    def __init__(self, model: NativeTransformer, words: StreamWords):
        self.model, self.words, self.config = model.eval().requires_grad_(False), words, words.c

    @torch.inference_mode()
    def read(self, parts: Sequence[Part], count: int = 1) -> ReadDocument:
        """Read a document, `count` times at once. Raises RequestError where it is empty or too long."""
        tokens = self.words.tokens(parts)
        if len(tokens) >= self.config.lm.context:
            raise RequestError(
                f"the document takes {len(tokens)} tokens and the model reads {self.config.lm.context}; shorten it"
            )
        reading = ReadDocument(Cache(self.config.lm.layers), torch.empty(0), 0)
        self._run(reading, tokens, count)
        return reading

    def go_on(
        self, parts: Sequence[Part], settings: Settings = Settings(), stop: int | None = None
    ) -> Generator[Part | None, None, bool]:
        """Go on with a document until it ends, or the word `stop` comes: pieces of text, pictures and sounds.

        None now and then, so that a client that waits may leave. Returns whether it ended by itself, and not for want of room.
        Raises RequestError.
        """
        reading, rng = self.read(parts), np.random.default_rng(settings.seed)
        sampler = Sampler(settings.temperature, settings.top_p, settings.seed)
        pending: list[int] = []
        ended = False
        for _ in range(settings.longest):
            if (room := self.config.lm.context - reading.cache.length) < 2:
                break
            yield None
            word = sampler.pick(self.model.lm.logits(reading.hidden[:1])[0])
            if ended := word in (self.words.end, stop):
                break
            if (name := next((n for n, mark in self.words.begins.items() if mark == word), None)) is not None:
                if room < self.config.lengths[name] + 3:
                    break
                if pending:
                    yield self.words.tokenizer.decode(pending)
                    pending = []
                self.step(reading, word)
                yield self.draw_block(reading, name, settings, rng)[0]
                self.step(reading, self.words.ends[name])
                continue
            pending.append(word)
            self.step(reading, word)
        if pending:
            yield self.words.tokenizer.decode(pending)
        return ended

    def draw(
        self, parts: Sequence[Part], name: str = PICTURE, count: int = 1, settings: Settings = Settings()
    ) -> list[PictureValues | SoundValues]:
        """Return pictures, or sounds, that follow a document. Raises RequestError."""
        reading, needed = self.read(parts, count), self.config.lengths[name] + 2
        if reading.cache.length + needed > self.config.lm.context:
            raise RequestError(
                f"the document takes {reading.cache.length} tokens and a {name} {needed}; the model reads {self.config.lm.context}: shorten it"
            )
        self.step(reading, self.words.begins[name])
        return self.draw_block(reading, name, settings, np.random.default_rng(settings.seed))

    def pictures(self, query: str, count: int, settings: Settings) -> Pictures:
        """Return pictures that words, or the picture or sound in a file, are followed by: float32 (n, 4, S, S).

        Raises QueryError, UnreadableMedia.
        """
        drawn = self._drawn(query, PICTURE, count, settings)
        return np.stack([one.values for one in drawn])

    def sound(self, query: str, settings: Settings) -> npt.NDArray[np.float32]:
        """Return the sound that words, or what is in a file, are followed by: float32 (N,) at the model's rate. Raises as `pictures`."""
        (drawn,) = self._drawn(query, SOUND, 1, settings)
        assert isinstance(drawn, SoundValues)
        return griffin_lim(decibels_of(drawn), self.config.audio, settings.seed)

    def _drawn(self, query: str, name: str, count: int, settings: Settings) -> list[PictureValues | SoundValues]:
        """Draw what follows a query. Raises QueryError, UnreadableMedia."""
        check_range("steps", settings.steps, 1, MOST_STEPS)
        check_range("guidance", settings.guidance, 0, MOST_GUIDANCE)
        check_range("the number of drawings", count, 1, MOST_DRAWINGS)
        check_seed(settings.seed)
        return self.draw([self._part(query)], name, count, settings)

    def _part(self, query: str) -> Part:
        """Return what a query names: a picture, a sound, or words. Raises QueryError, UnreadableMedia."""
        (first, *more) = parse(query)
        if more or first.weight != 1:
            raise QueryError(
                "a native model reads a text as it stands, and adds or weighs nothing; write words without signs, or a file"
            )
        if first.path is None:
            return first.text
        path, kind = first.path, kind_of(first.path)
        if kind == "audio":
            return read_sound(path, self.config)
        if kind != "image":
            raise QueryError(f"{query} is neither a picture nor a sound; a native model draws from these and from words")
        try:
            return picture_values(image_media.read_named(query, path.read_bytes(), self.config.size), self.config.size)
        except OSError as error:
            raise UnreadableMedia(f"{query}: {error.strerror or error}; check the path") from None

    def draw_block(
        self, reading: ReadDocument, name: str, settings: Settings, rng: np.random.Generator
    ) -> list[PictureValues | SoundValues]:
        """Draw a picture, or a sound, behind its mark, and read it."""
        count, length, width = len(reading.hidden), self.config.lengths[name], self.config.widths[name]
        free = ReadDocument(Cache(self.config.lm.layers), torch.empty(0), 0)  # nothing but the mark, for guidance
        self.step(free, self.words.begins[name], count)

        def predict(x: Pictures, t: float) -> Pictures:
            wanted = self._predict(reading, name, x, t)
            if settings.guidance == 1:
                return wanted
            unguided = self._predict(free, name, x, t)
            return cast(Pictures, unguided + settings.guidance * (wanted - unguided))

        noise = rng.standard_normal((count, length, width), np.float32)
        *_, last = sample(predict, noise, settings.steps)
        values = np.clip(last, -1, 1)
        self._run(reading, self._block(name, reading.position), count, torch.from_numpy(values))
        return [self.words.joined(name, one) for one in values]

    @torch.inference_mode()
    def log_likelihood(self, parts: Sequence[Part], texts: Sequence[str]) -> np.ndarray:
        """Return log p(text, end | document) of several texts: float64 (T,). Raises RequestError."""
        ids = [[*self.words.ids(text), self.words.end] for text in texts]
        reading, longest = self.read(parts), max(map(len, ids), default=0)
        if reading.cache.length + longest > self.config.lm.context:
            raise RequestError(
                f"the document and a text take more than the {self.config.lm.context} tokens that the model reads; shorten them"
            )
        padded = torch.tensor([row + [self.words.end] * (longest - len(row)) for row in ids])
        cache = reading.cache
        for stored in (cache.keys, cache.values):
            stored[:] = [None if x is None else x[:, :, : cache.length].expand(len(ids), -1, -1, -1).clone() for x in stored]
        first = torch.log_softmax(self.model.lm.logits(reading.hidden), dim=-1).expand(len(ids), -1)
        hidden = self._hidden(cache, self.words.text_tokens([0] * longest, reading.position), len(ids), ids=padded)
        after = torch.log_softmax(self.model.lm.logits(hidden[:, :-1]), dim=-1)
        scores = torch.cat([first[:, None], after], dim=1).gather(2, padded[..., None])[..., 0]
        lengths = torch.tensor([len(row) for row in ids])
        return np.asarray((scores * (torch.arange(longest) < lengths[:, None])).sum(dim=1).double())

    @torch.inference_mode()
    def _predict(self, reading: ReadDocument, name: str, x: Pictures, t: float) -> Pictures:
        """Return the clean block that noisy values (B, N, W) imply; the document goes on from where it was."""
        before, tokens = reading.cache.length, self._block(name, reading.position)
        hidden = self._hidden(reading.cache, tokens, len(x), torch.from_numpy(x), t)
        reading.cache.cut(before)
        clean = self.model.clean(hidden, torch.from_numpy(tokens.kinds).expand(len(x), -1))
        return cast(Pictures, clean[..., : x.shape[-1]].numpy())

    def _block(self, name: str, position: int) -> Tokens:
        """Return the tokens of a picture's patches, or a sound's chunks, without marks and values."""
        n, zero = self.config.lengths[name], np.zeros(1, np.float32)
        places, _ = self.words.places(n, KINDS[name], position)
        return Tokens(np.zeros(n, np.int64), np.full(n, KINDS[name]), np.tile(zero, (n, 1)), np.ones(n, np.int64), places)

    def step(self, reading: ReadDocument, word: int, count: int = 0) -> None:
        """Read one word."""
        self._run(reading, self.words.text_tokens([word], reading.position), count or len(reading.hidden))

    @torch.inference_mode()
    def _run(self, reading: ReadDocument, tokens: Tokens, count: int, values: Tensor | None = None) -> None:
        """Read tokens, the same for `count` documents; their values may differ."""
        hidden = self._hidden(reading.cache, tokens, count, values)
        reading.hidden, reading.position = hidden[:, -1], int(tokens.positions.max()) + 1

    def _hidden(
        self, cache: Cache, tokens: Tokens, count: int, values: Tensor | None = None, t: float = 1.0, ids: Tensor | None = None
    ) -> Tensor:
        """Return hidden states of tokens after what is in the cache, for `count` documents; values and words may differ: (B, N, D)."""
        own = torch.from_numpy(tokens.values).expand(count, -1, -1) if values is None else values
        own = torch.nn.functional.pad(own, (0, max(self.config.widths.values()) - own.shape[-1]))
        same, kinds, blocks = (torch.from_numpy(x).expand(count, -1) for x in (tokens.ids, tokens.kinds, tokens.blocks))
        places = torch.from_numpy(tokens.positions)[:, None].expand(3, count, -1)
        stream = Stream(same if ids is None else ids, kinds, own, blocks, torch.ones_like(kinds), places)
        return cast(Tensor, self.model(stream, own, torch.full(kinds.shape, t), cache))


def picture_values(picture: Image.Image, size: int) -> PictureValues:
    """Return a picture as a stream has it, squashed to a square."""
    rgba = picture.convert("RGBA").resize((size, size), resample=Image.Resampling.BICUBIC, reducing_gap=3)
    return PictureValues(from_rgba(np.asarray(rgba)[None])[0])


def read_sound(path: str | Path, c: NativeConfig) -> SoundValues:
    """Read a sound as a stream has it: its first second, after the silence before it. Raises UnreadableMedia, RequestError where it is silent."""
    blocks, length = [np.empty(0, np.float32)], 0
    for block in audio.blocks(path, rate=c.audio.rate):
        blocks.append(block)
        length += len(block)
        if length >= LISTENED_SECONDS * c.audio.rate:
            break
    return sound_values(np.concatenate(blocks), c)
