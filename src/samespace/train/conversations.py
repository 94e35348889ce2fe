"""LLaVA's conversation JSON -> batches: what is asked and answered about pictures, of like length.

A file is a list (or lines) of {"image": "a.jpg", "conversations": [{"from": "human", "value": "<image>\\nWhat is it?"},
{"from": "gpt", "value": "A cat."}, …]}; `image` may be a list, one for each <image>. Liu et al. 2023, §3.
Beside them may stand "regions": [{"box": [left, top, right, bottom], "text": "cat"}, …] of the first picture, in shares of its
width and height.
"""

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import fsspec
import numpy as np
import torch
from torch import Tensor

from ..assistant.chat import MARK, Chat
from ..assistant.request import Message, Picture
from ..core.config import AssistantConfig
from ..core.errors import CardError, RequestError, UnreadableMedia, error_summary
from ..core.files import json_rows
from .config import Source
from .data import Bad, Mixture
from .regions import Region
from .sources import Listed

IGNORE = -100
"""The target of what is not to be learned."""
WINDOW = 8
"""Batches that are read together and sorted by length."""
STRIDE = 16
"""Batches are as long as a multiple of this: a CPU's products are prepared anew, and kept, for every size there is."""
ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}


@dataclass(frozen=True)
class Talk:
    """A conversation about pictures, unread."""

    name: str
    pictures: tuple[str, ...]
    """Their paths."""
    turns: tuple[tuple[str, str], ...]
    """(role, words), with MARK where a picture stands."""
    regions: tuple[tuple[tuple[float, float, float, float], str], ...] = ()
    """Boxes in the first picture, and what is there."""


@dataclass(frozen=True)
class WrittenTalk:
    """A conversation as the model reads it."""

    name: str
    ids: list[int]
    targets: list[int]
    """The same ids where the assistant speaks, IGNORE elsewhere."""
    pixels: np.ndarray
    """uint8 (M, S, S, 3): all views of all pictures."""
    regions: list[Region]
    first: str
    """The first question and answer, for reports."""


@dataclass
class TalkBatch:
    """Conversations, padded at the end."""

    ids: Tensor
    """int64 (B, N)"""
    targets: Tensor
    """int64 (B, N)"""
    pixels: Tensor
    """uint8 (M, S, S, 3), in the order of the rows."""
    views: list[int]
    """Views of each row."""
    regions: list[list[Region]]
    captions: list[str]
    names: list[str]

    def __len__(self) -> int:
        return len(self.ids)

    def to(self, device: torch.device) -> "TalkBatch":
        return replace(self, ids=self.ids.to(device), targets=self.targets.to(device), pixels=self.pixels.to(device))

    def rows(self, start: int, stop: int) -> "TalkBatch":
        part, first = slice(start, stop), sum(self.views[:start])
        pixels = self.pixels[first : first + sum(self.views[part])]
        rest = (self.views[part], self.regions[part], self.captions[part], self.names[part])
        return TalkBatch(self.ids[part], self.targets[part], pixels, *rest)


def open_conversations(source: Source) -> Listed:
    """A .json or .jsonl file of conversations; pictures are beside it. Raises CardError."""
    try:
        with fsspec.open(source.path, "rt", encoding="utf-8") as file:
            text = file.read()
        talks = [talk_of(row, os.path.dirname(source.path), i) for i, row in enumerate(json_rows(text))]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CardError(f"{source.path} cannot be read as conversations ({error!r}); write LLaVA's JSON") from None
    if not talks:
        raise CardError(f"{source.path} holds no conversations; check the file")
    return Listed(talks, lambda talk: talk)


def talk_of(row: dict[str, Any], folder: str, number: int) -> Talk:
    images = row.get("image") or ()
    paths = tuple(os.path.join(folder, name) for name in ([images] if isinstance(images, str) else images))
    turns = tuple((ROLES[turn["from"]], str(turn["value"])) for turn in row["conversations"])
    return Talk(str(row.get("id", f"conversation {number}")), paths, turns, tuple(map(region_of, row.get("regions", ()))))


def region_of(said: dict[str, Any]) -> tuple[tuple[float, float, float, float], str]:
    """Raises ValueError where it is no part of a picture."""
    left, top, right, bottom = map(float, said["box"])
    if not (0 <= left <= right <= 1 and 0 <= top <= bottom <= 1 and said["text"].split()):
        raise ValueError(f"region {said} is no box of shares from 0 to 1 with words")
    return (left, top, right, bottom), said["text"]


def read_picture(path: str) -> Picture:
    """A picture from wherever fsspec reads. Raises UnreadableMedia."""
    try:
        with fsspec.open(path, "rb") as file:
            return Picture(file.read(), path)
    except Exception as error:  # every kind of storage has errors of its own
        raise UnreadableMedia(f"{path}: {error_summary(error)}; check the path") from None


def messages_of(talk: Talk, pictures: list[Picture]) -> tuple[Message, ...]:
    """The conversation's messages, its pictures where their marks are. Raises UnreadableMedia where they do not fit."""
    left, messages = list(pictures), []
    for role, words in talk.turns:
        first, *rest = words.split(MARK)
        parts: list[str | Picture] = [first.strip()] if first.strip() else []
        for piece in rest:
            if not left:
                raise UnreadableMedia("it has more <image> marks than pictures")
            parts += [left.pop(0), *([piece.strip()] if piece.strip() else [])]
        if role == "assistant" and not parts:
            raise UnreadableMedia("an answer is empty")
        messages.append(Message(role, tuple(parts)))
    if left:
        raise UnreadableMedia("it has more pictures than <image> marks")
    return tuple(messages)


def spelled(chat: Chat, messages: tuple[Message, ...], sizes: dict[str, int], end: int) -> tuple[list[int], list[int]]:
    """ids and targets: every assistant's turn is learned, with the token that ends it, after the prompt as it is asked."""
    ids: list[int] = []
    targets: list[int] = []
    for i, message in enumerate(messages):
        if message.role != "assistant":
            continue
        prompt = chat.prompt(messages[:i], sizes).ids
        if prompt[: len(ids)] != ids:
            raise RequestError("the chat template rewrites earlier turns; use one that only adds to them")
        targets += [IGNORE] * (len(prompt) - len(targets))
        answer = [*chat.words(str(message.parts[0])), end]
        ids, targets = prompt + answer, targets + answer
    return ids, targets


class TalkLoader:
    """Batches of conversations, read ahead; the same again after a resume.

    Batches are of like length, for speed; not where they are to be of every kind of picture (alike=False).
    """

    def __init__(
        self, mixture: Mixture, chat: Chat, c: AssistantConfig, tokens: int, batch: int, threads: int, alike: bool = True
    ):
        self.mixture, self.chat, self.c, self.tokens, self.batch, self.threads = mixture, chat, c, tokens, batch, threads
        self.alike = alike
        self.bad = Bad()
        self.place: dict[str, Any] = {"drawn": 0, "places": [], "done": 0}

    def load(self, talk: Talk) -> WrittenTalk | str:
        """One conversation, or why not. Runs in a thread."""
        try:
            pictures = [read_picture(path) for path in talk.pictures]
            seen = {p.digest: p.views(self.c) for p in pictures}
            messages = messages_of(talk, pictures)
            sizes = {digest: len(views) * self.tokens for digest, views in seen.items()}
            ids, targets = spelled(self.chat, messages, sizes, self.c.lm.end[0])
            if not ids or len(ids) > self.c.lm.context:
                return f"it takes {len(ids)} tokens, the model reads 1 to {self.c.lm.context}"
            shape = (0, self.c.prep.size, self.c.prep.size, 3)
            pixels = np.concatenate([np.empty(shape, np.uint8), *(seen[p.digest] for p in pictures)])
            regions = [Region(box, self.words(text)) for box, text in talk.regions]
            return WrittenTalk(talk.name, ids, targets, pixels, regions, " ".join(words for _, words in talk.turns[:2]))
        except (UnreadableMedia, RequestError) as error:
            return str(error)

    def words(self, text: str) -> tuple[int, ...]:
        """The tokens of a region's words, each as it stands within a sentence."""
        return tuple(i for word in text.lower().split() for i in self.chat.words(f" {word}"))

    def __iter__(self) -> Iterator[TalkBatch]:
        """Endless batches; after each, `place` says where the next begins."""
        done = self.place["done"]
        self.mixture.start(self.place["drawn"], self.place["places"])
        stream = iter(self.mixture)
        with ThreadPoolExecutor(self.threads) as pool:
            waiting = self.window(stream, pool)
            while True:
                (start, futures), waiting = waiting, self.window(stream, pool)
                for number, batch in enumerate(self.batches(start, futures), 1):
                    if number > done:
                        self.place = start | {"done": number}
                        yield batch
                done = 0

    def window(self, stream: Iterator, pool: ThreadPoolExecutor) -> tuple[dict[str, Any], list[tuple[Talk, Future]]]:
        """The next conversations, being read, and the place they begin at."""
        start = {"drawn": self.mixture.drawn, "places": [list(place) for place in self.mixture.places]}
        talks = [talk for _, _, talk in islice(stream, WINDOW * self.batch)]
        return start, [(talk, pool.submit(self.load, talk)) for talk in talks]

    def batches(self, start: dict[str, Any], futures: list[tuple[Talk, Future]]) -> list[TalkBatch]:
        """A window's conversations, cut into batches, in a random order."""
        good = []
        for talk, future in futures:
            self.bad.crop_embeddings += 1
            loaded = future.result()
            if isinstance(loaded, str):
                self.bad.note(talk.name, loaded)
            else:
                good.append(loaded)
        if self.alike:
            good.sort(key=lambda written: len(written.ids))
        cut = [good[i : i + self.batch] for i in range(0, len(good), self.batch)]
        order = np.random.default_rng([self.mixture.seed, start["drawn"], 2]).permutation(len(cut))
        return [padded(cut[i]) for i in order]


def padded(talks: list[WrittenTalk]) -> TalkBatch:
    length = -(-max(len(talk.ids) for talk in talks) // STRIDE) * STRIDE
    rows = [([*t.ids, *[0] * (length - len(t.ids))], [*t.targets, *[IGNORE] * (length - len(t.ids))]) for t in talks]
    ids, targets = (torch.tensor(column) for column in zip(*rows))
    pixels = torch.from_numpy(np.concatenate([t.pixels for t in talks]))
    columns = zip(*((len(t.pixels), t.regions, t.first, t.name) for t in talks))
    return TalkBatch(ids, targets, pixels, *map(list, columns))
