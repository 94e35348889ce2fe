"""Documents of words, pictures and sounds in any order → batches of rows, each of several documents.

A source is a .jsonl file (or a JSON list) of {"parts": ["A cat:", {"picture": "cat.webp"}, {"sound": "cat.wav"}, …]}, whose paths are
relative to it. Where a document ends with a picture or a sound, that one is learnt to be drawn; where it ends with words, all are read.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import torch

from ..core.errors import ConfigError, RequestError, UnreadableMedia, error_summary
from ..core.files import json_rows
from ..core.native_config import PICTURE, SOUND, WORD
from ..generate.native import picture_values, read_sound
from ..media import image as image_media
from ..models.generate.native import IGNORE, NativeBatch, Stream
from ..preprocess.stream import Part, PictureValues, SoundValues, StreamWords, Tokens
from .config import Source
from .data import Mixture, PrefetchLoader, read_item
from .sources import IndexedSource, open_source

UNGUIDED = 0.1
"""Share of drawn documents that are nothing but what is drawn, for guidance. Ho and Salimans 2022, §3.2."""
SHORTENED = 0.5
"""Share of documents with several pictures that end after one of them."""


@dataclass(frozen=True)
class Document:
    """A document, not read yet."""

    name: str
    """What reports call it."""
    parts: tuple[str | tuple[str, str], ...]
    """Words, or PICTURE or SOUND with a path."""


@dataclass(frozen=True)
class TokenizedDocument:
    """A document as tokens."""

    name: str
    tokens: Tokens
    drawn: bool
    """Whether the last picture or sound is learnt to be drawn."""


def open_documents(source: Source) -> IndexedSource[Document]:
    """Open a file of documents. Raises ConfigError."""
    try:
        with fsspec.open(source.path, "rt", encoding="utf-8-sig") as file:
            text = file.read()
        folder = os.path.dirname(source.path)
        rows = [parse_document(row, folder, number) for number, row in enumerate(json_rows(text), 1)]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f'{source.path} cannot be read as documents ({error!r}); write lines of {{"parts": [...]}}') from None
    if not rows:
        raise ConfigError(f"{source.path} holds no documents; check the file")
    return IndexedSource(rows, lambda document: document)


def parse_document(row: dict[str, Any], folder: str, number: int) -> Document:
    """Return a row of a file. Raises KeyError, ValueError or TypeError where it is no document."""
    parts: list[str | tuple[str, str]] = []
    for part in row["parts"]:
        if isinstance(part, str):
            parts.append(part)
            continue
        ((kind, path),) = part.items()
        if kind not in (PICTURE, SOUND):
            raise ValueError(f"document {number} has a {kind}; give a picture, a sound or words")
        parts.append((kind, os.path.join(folder, str(path))))
    if not parts:
        raise ValueError(f"document {number} is empty")
    return Document(str(row.get("id", f"document {number}")), tuple(parts))


def read_part(part: str | tuple[str, str], words: StreamWords) -> Part:
    """Return a part of a document as a stream has it. Raises UnreadableMedia, RequestError."""
    if isinstance(part, str):
        return part
    kind, path = part
    try:
        if kind == SOUND:
            return read_sound(path, words.c)
        with fsspec.open(path, "rb") as file:
            return picture_values(image_media.read(Path(path), file.read(), words.c.size)[0], words.c.size)
    except (UnreadableMedia, RequestError):
        raise
    except Exception as error:  # every kind of storage and every reader has errors of its own
        raise UnreadableMedia(f"{path}: {error_summary(error)}; check the path") from None


def picture_pairs(path: str, size: int) -> list[tuple[PictureValues, tuple[str, ...]]]:
    """Return the pictures of a source of pairs, and their captions. Raises ConfigError, UnreadableMedia."""
    pairs: list[tuple[PictureValues, tuple[str, ...]]] = []
    for item in open_source(Source(path)).in_order():
        try:
            picture, captions = read_item(item, size)
        except UnreadableMedia as error:
            raise UnreadableMedia(f"{item.name}: {error.reason}") from None
        pairs.append((picture_values(picture, size), captions))
    return pairs


def spoken_words(path: str, words: StreamWords, most: int) -> tuple[list[SoundValues], list[str]]:
    """Return the sounds of the first documents of a file, and the word that each says.

    Raises ConfigError, and UnreadableMedia where a document is not a sound and a word, or its sound cannot be read.
    """
    sounds, spoken = list[SoundValues](), list[str]()
    for document in islice(open_documents(Source(path)).in_order(), most):
        try:
            parts = [read_part(part, words) for part in document.parts]
        except (UnreadableMedia, RequestError) as error:
            raise UnreadableMedia(f"{path}, {document.name}: {error}") from None
        match parts:
            case [SoundValues() as sound, str() as word] | [str() as word, SoundValues() as sound]:
                sounds.append(sound)
                spoken.append(word)
            case _:
                raise UnreadableMedia(
                    f'{path}, {document.name}: it is not one sound and one word; write [{{"sound": …}}, "word"]'
                )
    if not sounds:
        raise ConfigError(f"{path} holds no documents; check the file")
    return sounds, spoken


class DocumentLoader(PrefetchLoader[Document, TokenizedDocument, NativeBatch]):
    """Batches of documents, several in a row."""

    def __init__(self, mixture: Mixture[Document], words: StreamWords, batch: int, row: int, threads: int):
        """row: tokens of a row."""
        super().__init__(mixture, batch, threads)
        self.words, self.row = words, row

    def load(self, drawn: int, source: Source, item: Document) -> TokenizedDocument | str:
        """Return one document, or why it is skipped. Runs in a thread."""
        rng = np.random.default_rng([self.mixture.seed, self.mixture.rank, drawn, 1])
        parts = shortened(item.parts, rng)
        draws = not isinstance(parts[-1], str)
        if draws and rng.random() < UNGUIDED:
            parts = parts[-1:]
        try:
            tokens = self.words.tokens([read_part(part, self.words) for part in parts])
        except (UnreadableMedia, RequestError) as error:
            return str(error)
        if len(tokens) >= self.row:
            return f"it takes {len(tokens)} tokens, a row has {self.row}"
        return TokenizedDocument(item.name, with_end(tokens, self.words.end), draws)

    def collate(self, samples: list[TokenizedDocument]) -> NativeBatch:
        """Return documents as one batch of rows."""
        return packed(samples, self.row, max(self.words.c.widths.values()))


def shortened(parts: tuple[str | tuple[str, str], ...], rng: np.random.Generator) -> tuple[str | tuple[str, str], ...]:
    """Return a document, now and then only up to one of its pictures, so that each of them is learnt to be drawn."""
    media = [i for i, part in enumerate(parts) if not isinstance(part, str)]
    if len(media) < 2 or rng.random() >= SHORTENED:
        return parts
    return parts[: media[int(rng.integers(len(media)))] + 1]


def with_end(tokens: Tokens, end: int) -> Tokens:
    """Return a document's tokens with the mark of its end."""
    last = tokens.positions.max(initial=-1) + 1
    return Tokens(
        np.append(tokens.ids, end),
        np.append(tokens.kinds, WORD),
        np.concatenate([tokens.values, np.zeros_like(tokens.values[:1])]),
        np.append(tokens.blocks, 0),
        np.concatenate([tokens.positions, np.full((3, 1), last)], axis=1),
    )


def packed(documents: Sequence[TokenizedDocument], row: int, width: int) -> NativeBatch:
    """Return documents as rows of so many tokens: each is put where it fits first, the longest before the others."""
    rows: list[list[TokenizedDocument]] = []
    free: list[int] = []
    for document in sorted(documents, key=lambda d: -len(d.tokens)):
        at = next((i for i, room in enumerate(free) if room >= len(document.tokens)), None)
        if at is None:
            rows.append([])
            free.append(row)
            at = len(rows) - 1
        rows[at].append(document)
        free[at] -= len(document.tokens)
    shape, block = (len(rows), row), 0
    ids, kinds, blocks, numbers, targets = (np.zeros(shape, np.int64) for _ in range(5))
    targets += IGNORE
    values, positions, drawn = np.zeros((*shape, width), np.float32), np.zeros((3, *shape), np.int64), np.zeros(shape, bool)
    for r, several in enumerate(rows):
        at = 0
        for number, document in enumerate(several, 1):
            tokens, here = document.tokens, slice(at, at + len(document.tokens))
            ids[r, here], kinds[r, here], values[r, here], numbers[r, here] = tokens.ids, tokens.kinds, tokens.values, number
            positions[:, r, here] = tokens.positions
            blocks[r, here] = np.where(tokens.blocks > 0, tokens.blocks + block, 0)
            if document.drawn:
                drawn[r, here] = tokens.blocks == tokens.blocks.max()
            targets[r, here] = targets_of(tokens)
            block += int(tokens.blocks.max(initial=0))
            at += len(tokens)
    arrays = (torch.from_numpy(x) for x in (ids, kinds, values, blocks, numbers, positions))
    names = tuple(document.name for document in documents)
    return NativeBatch(Stream(*arrays), torch.from_numpy(targets), torch.from_numpy(drawn), names)


def targets_of(tokens: Tokens) -> np.ndarray:
    """Return the word after each word; IGNORE before and in a picture or a sound, and at the end."""
    after = np.append(tokens.ids[1:], IGNORE)
    words = np.append(tokens.kinds[1:] == WORD, False) & (tokens.kinds == WORD)
    return np.where(words, after, IGNORE)
