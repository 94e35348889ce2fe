"""LLaVA's conversation JSON → batches: questions and answers about pictures, batched by length.

A file is a list (or lines) of {"image": "a.jpg", "conversations": [{"from": "human", "value": "<image>\\nWhat is it?"},
{"from": "gpt", "value": "A cat."}, …]}; `image` may be a list, one for each <image>. Liu et al. 2023, §3. An entry may also have
"regions": [{"box": [left, top, right, bottom], "text": "cat"}, …] of its first picture, as shares of its width and height.
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
from ..core.assistant_config import AssistantConfig
from ..core.errors import ConfigError, RequestError, UnreadableMedia, error_summary
from ..core.files import json_rows
from ..models.llava import IMAGE_TOKEN
from .config import Source
from .data import Mixture, Position, SkippedSamples
from .regions import Box, Region
from .sources import IndexedSource

IGNORE = -100
"""The target of tokens that are not learned."""
WINDOW = 8
"""Batches that are read together and sorted by length."""
PAD_TO_MULTIPLE = 16
"""Batches are padded to a multiple of this length: on a CPU, kernels are prepared and cached for every shape."""
ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}
"""LLaVA's name of a speaker → role."""


@dataclass(frozen=True)
class Conversation:
    """A conversation about pictures, not read yet."""

    name: str
    """What reports call it."""
    pictures: tuple[str, ...]
    """Their paths."""
    turns: tuple[tuple[str, str], ...]
    """(role, text), with MARK in place of a picture."""
    regions: tuple[tuple[Box, str], ...] = ()
    """Boxes in the first picture, with the words that name them."""


@dataclass(frozen=True)
class TokenizedConversation:
    """A conversation as the model reads it."""

    name: str
    ids: list[int]
    targets: list[int]
    """The same ids in the assistant's turns, IGNORE elsewhere."""
    pixels: np.ndarray
    """uint8 (M, S, S, 3): the views of all pictures."""
    regions: list[Region]
    excerpt: str
    """The first two turns, for reports."""


@dataclass
class ConversationBatch:
    """Conversations, padded at the end."""

    ids: Tensor
    """int64 (B, N)"""
    targets: Tensor
    """int64 (B, N)"""
    pixels: Tensor
    """uint8 (M, S, S, 3), in the order of the rows."""
    views: list[int]
    """Number of views of each row."""
    regions: list[list[Region]]
    """Regions of each row."""
    captions: list[str]
    """Excerpts, for reports."""
    names: list[str]

    def __len__(self) -> int:
        return len(self.ids)

    def to(self, device: torch.device) -> "ConversationBatch":
        """Return the batch with its tensors on a device."""
        return replace(self, ids=self.ids.to(device), targets=self.targets.to(device), pixels=self.pixels.to(device))

    def rows(self, start: int, stop: int) -> "ConversationBatch":
        """Return conversations start to stop, with their views."""
        part, first_view = slice(start, stop), sum(self.views[:start])
        pixels = self.pixels[first_view : first_view + sum(self.views[part])]
        rest = (self.views[part], self.regions[part], self.captions[part], self.names[part])
        return ConversationBatch(self.ids[part], self.targets[part], pixels, *rest)


def open_conversations(source: Source) -> IndexedSource[Conversation]:
    """Open a .json or .jsonl file of conversations; paths of pictures are relative to it. Raises ConfigError."""
    try:
        with fsspec.open(source.path, "rt", encoding="utf-8-sig") as file:
            text = file.read()
        folder = os.path.dirname(source.path)
        conversations = [parse_conversation(row, folder, number) for number, row in enumerate(json_rows(text))]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{source.path} cannot be read as conversations ({error!r}); write LLaVA's JSON") from None
    if not conversations:
        raise ConfigError(f"{source.path} holds no conversations; check the file")
    return IndexedSource(conversations, lambda conversation: conversation)


def parse_conversation(row: dict[str, Any], folder: str, number: int) -> Conversation:
    """Return an entry of LLaVA's JSON. Raises KeyError, TypeError or ValueError where it is not one."""
    images = row.get("image") or ()
    paths = tuple(os.path.join(folder, name) for name in ([images] if isinstance(images, str) else images))
    turns = tuple((ROLES[turn["from"]], str(turn["value"])) for turn in row["conversations"])
    name = str(row.get("id", f"conversation {number}"))
    return Conversation(name, paths, turns, tuple(parse_region(region) for region in row.get("regions", ())))


def parse_region(region: dict[str, Any]) -> tuple[Box, str]:
    """Return a region's box and words. Raises ValueError where it is no part of a picture or has no words."""
    left, top, right, bottom = map(float, region["box"])
    if not (0 <= left <= right <= 1 and 0 <= top <= bottom <= 1 and region["text"].split()):
        raise ValueError(f"region {region} is no box of shares from 0 to 1 with words")
    return (left, top, right, bottom), region["text"]


def read_picture(path: str) -> Picture:
    """Read a picture from any storage of fsspec. Raises UnreadableMedia."""
    try:
        with fsspec.open(path, "rb") as file:
            return Picture(file.read(), path)
    except Exception as error:  # every kind of storage has errors of its own
        raise UnreadableMedia(f"{path}: {error_summary(error)}; check the path") from None


def messages_of(conversation: Conversation, pictures: list[Picture]) -> tuple[Message, ...]:
    """Return a conversation's messages up to its last answer, with pictures in place of MARKs.

    Raises UnreadableMedia where they do not match, or an answer is no text.
    """
    remaining, messages = list(pictures), []
    for role, text in conversation.turns:
        first, *rest = text.split(MARK)
        parts: list[str | Picture] = [first.strip()] if first.strip() else []
        for piece in rest:
            if not remaining:
                raise UnreadableMedia("it has more <image> marks than pictures")
            parts += [remaining.pop(0), *([piece.strip()] if piece.strip() else [])]
        if role == "assistant" and not parts:
            raise UnreadableMedia("an answer is empty")
        if role == "assistant" and rest:
            raise UnreadableMedia("an answer has an <image> mark, and answers are words")
        messages.append(Message(role, tuple(parts)))
    if remaining:
        raise UnreadableMedia("it has more pictures than <image> marks")
    while messages and messages[-1].role != "assistant":  # nothing is learnt from what no answer follows
        messages.pop()
    return tuple(messages)


def tokenize(
    chat: Chat, messages: tuple[Message, ...], placeholders: dict[str, list[int]], end: int
) -> tuple[list[int], list[int]]:
    """Return ids and targets. The targets are the assistant's turns and the `end` after each; prompts are as in inference.

    placeholders: the ids that stand for each picture, by its digest. Raises RequestError where the chat template changes earlier turns.
    """
    ids: list[int] = []
    targets: list[int] = []
    for i, message in enumerate(messages):
        if message.role != "assistant":
            continue
        prompt = chat.prompt(messages[:i], placeholders).ids
        if prompt[: len(ids)] != ids:
            raise RequestError("the chat template rewrites earlier turns; use one that only adds to them")
        targets += [IGNORE] * (len(prompt) - len(targets))
        answer = [*chat.token_ids(str(message.parts[0])), end]
        ids, targets = prompt + answer, targets + answer
    return ids, targets


def end_of_answers(chat: Chat, ends: tuple[int, ...]) -> int:
    """Return which of the ids that end an answer the chat template writes after one: the first, where it writes none."""
    turns = [Message("user", ("a",)), Message("assistant", ("b",)), Message("user", ("c",))]
    after = chat.prompt(tuple(turns), {}).ids[len(chat.prompt(tuple(turns[:1]), {}).ids) :]
    return next((id for id in after if id in ends), ends[0])


@dataclass(frozen=True)
class _Window:
    """Conversations that are read together."""

    position: Position
    """Where they begin."""
    pending: list[tuple[Conversation, "Future[TokenizedConversation | str]"]]


class ConversationLoader:
    """Batches of conversations, read ahead.

    Conversations of similar length are batched together, for speed; where regions are learnt, each batch is a random sample, so that it
    has many different words, and conversations without any are skipped.
    """

    def __init__(
        self, mixture: Mixture[Conversation], chat: Chat, c: AssistantConfig, image_tokens: int, batch: int, threads: int,
        of_regions: bool = False,
    ):  # fmt: skip
        self.mixture, self.chat, self.c, self.batch, self.threads = mixture, chat, c, batch, threads
        self.image_tokens, self.of_regions, self.end = image_tokens, of_regions, end_of_answers(chat, c.lm.end)
        self.skipped, self.position = SkippedSamples(), Position()

    def load(self, conversation: Conversation) -> TokenizedConversation | str:
        """Return one conversation tokenized, or why it is skipped. Runs in a thread."""
        try:
            pictures = [read_picture(path) for path in conversation.pictures]
            views = {picture.digest: picture.views(self.c).pixels for picture in pictures}
            messages = messages_of(conversation, pictures)
            placeholders = {digest: [IMAGE_TOKEN] * (len(pixels) * self.image_tokens) for digest, pixels in views.items()}
            ids, targets = tokenize(self.chat, messages, placeholders, self.end)
            if not ids or len(ids) > self.c.lm.context:
                return f"it takes {len(ids)} tokens, the model reads 1 to {self.c.lm.context}"
            shape = (0, self.c.prep.size, self.c.prep.size, 3)
            pixels = np.concatenate(
                [np.empty(shape, np.uint8), *(views[picture.digest] for message in messages for picture in message.pictures)]
            )
            regions = [Region(box, self._word_ids(text)) for box, text in conversation.regions]
            if self.of_regions and not (regions and len(pixels)):
                return "it has no picture with regions"
            excerpt = " ".join(text for _, text in conversation.turns[:2])
            return TokenizedConversation(conversation.name, ids, targets, pixels, regions, excerpt)
        except (UnreadableMedia, RequestError) as error:
            return str(error)

    def _word_ids(self, text: str) -> tuple[int, ...]:
        """Return the ids of a region's words, each as within a sentence."""
        return tuple(i for word in text.lower().split() for i in self.chat.token_ids(f" {word}"))

    def __iter__(self) -> Iterator[ConversationBatch]:
        """Yield batches without end; after each, `position` is where the next begins."""
        done = self.position.batches
        self.mixture.start(self.position)
        stream = (conversation for _, _, conversation in self.mixture)
        with ThreadPoolExecutor(self.threads) as pool:
            next_window = self._read_window(stream, pool)
            while True:
                window, next_window = next_window, self._read_window(stream, pool)
                for number, batch in enumerate(self._batches(window), 1):
                    if number > done:
                        self.position = replace(window.position, batches=number)
                        yield batch
                done = 0

    def _read_window(self, stream: Iterator[Conversation], pool: ThreadPoolExecutor) -> _Window:
        """Begin to read the next conversations."""
        position = self.mixture.position
        conversations = list(islice(stream, WINDOW * self.batch))
        return _Window(position, [(conversation, pool.submit(self.load, conversation)) for conversation in conversations])

    def _batches(self, window: _Window) -> list[ConversationBatch]:
        """Return a window's conversations in batches, in random order."""
        tokenized: list[TokenizedConversation] = []
        for conversation, future in window.pending:
            self.skipped.seen += 1
            loaded = future.result()
            if isinstance(loaded, str):
                self.skipped.add(conversation.name, loaded)
            else:
                tokenized.append(loaded)
        if not self.of_regions:
            tokenized.sort(key=lambda conversation: len(conversation.ids))
        groups = [tokenized[i : i + self.batch] for i in range(0, len(tokenized), self.batch)]
        order = np.random.default_rng([self.mixture.seed, window.position.drawn, 2]).permutation(len(groups))
        return [pad_and_stack(groups[i]) for i in order]


def pad_and_stack(conversations: list[TokenizedConversation]) -> ConversationBatch:
    """Return conversations as one batch, padded to the longest."""
    longest = max(len(conversation.ids) for conversation in conversations)
    length = -(-longest // PAD_TO_MULTIPLE) * PAD_TO_MULTIPLE
    return ConversationBatch(
        ids=torch.tensor([c.ids + [0] * (length - len(c.ids)) for c in conversations]),
        targets=torch.tensor([c.targets + [IGNORE] * (length - len(c.ids)) for c in conversations]),
        pixels=torch.from_numpy(np.concatenate([c.pixels for c in conversations])),
        views=[len(c.pixels) for c in conversations],
        regions=[c.regions for c in conversations],
        captions=[c.excerpt for c in conversations],
        names=[c.name for c in conversations],
    )
