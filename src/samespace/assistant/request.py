"""What is asked of an assistant, and what comes back; the same for ours and for one behind an HTTP endpoint."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from ..core.config import AssistantConfig
from ..core.errors import RequestError, UnreadableMedia
from ..core.files import content_hash
from ..core.paths import expanded
from ..media import image as image_media
from ..preprocess import tiles

ROLES = ("system", "user", "assistant")


@dataclass(frozen=True)
class Picture:
    """A picture file's bytes."""

    data: bytes
    name: str = "picture"
    """For messages to people; its ending tells raw formats apart."""
    has_text_beside: bool = False
    """Whether the text in it stands beside it already."""

    @cached_property
    def digest(self) -> str:
        """blake2b of the bytes: equal pictures are encoded once."""
        return content_hash(self.data)

    def decoded(self, target: int) -> Image.Image:
        """The picture, upright, with no less than `target` pixels a side if it has them. Raises UnreadableMedia naming it."""
        return image_media.read_named(self.name, self.data, target)

    def views(self, c: AssistantConfig) -> np.ndarray:
        """The whole and its tiles: uint8 (1 + tiles, S, S, 3). Raises UnreadableMedia naming the picture."""
        return tiles.views(self.decoded(c.prep.size * c.tiles), c.prep, c.tiles, c.tile_from)

    @staticmethod
    def read(path: str | Path) -> "Picture":
        """Raises UnreadableMedia naming the file."""
        try:
            return Picture(expanded(path).read_bytes(), str(path))
        except OSError as error:
            raise UnreadableMedia(f"{path}: {error.strerror or error}; check the path") from None


@dataclass(frozen=True)
class Message:
    """One turn of a conversation."""

    role: str
    parts: tuple[str | Picture, ...]

    @property
    def pictures(self) -> list[Picture]:
        return [part for part in self.parts if isinstance(part, Picture)]


@dataclass(frozen=True)
class Request:
    """A conversation to go on with."""

    messages: tuple[Message, ...]
    max_tokens: int = 256
    """Longest answer, in tokens."""
    temperature: float = 0.0
    """0 takes the likeliest token each time."""
    top_p: float = 1.0
    """Tokens are drawn from the likeliest whose chances sum to this."""
    seed: int | None = None
    """Makes drawing repeatable."""
    stop: tuple[str, ...] = ()
    """An answer ends before any of these."""

    def __post_init__(self) -> None:
        """Raises RequestError on what nobody could answer."""
        if not self.messages:
            raise RequestError("there are no messages; send at least one from the user")
        for message in self.messages:
            if message.role not in ROLES:
                raise RequestError(f"role {message.role!r} is not known; use {', '.join(ROLES)}")
        if self.messages[-1].role != "user":
            raise RequestError("the last message is not the user's; end with a question")
        if self.max_tokens < 1:
            raise RequestError(f"max_tokens is {self.max_tokens}; ask for at least one")
        if not 0 <= self.temperature <= 2 or not 0 < self.top_p <= 1:
            raise RequestError("temperature is from 0 to 2, top_p above 0 and at most 1; correct the request")
        if self.seed is not None and not 0 <= self.seed < 2**63:
            raise RequestError("the seed is not from 0 to 2**63 - 1; choose another")
        if not all(self.stop):
            raise RequestError("a stop string is empty; leave it out")


def question(text: str, pictures: list[Picture], **settings) -> Request:
    """The shortest request: pictures, then words."""
    return Request((Message("user", (*pictures, text)),), **settings)


@dataclass
class Outcome:
    """How an answer ended, and what it took in tokens; complete when its pieces have ended."""

    finish: str = "stop"
    """stop or length."""
    prompt: int = 0
    """Words and pictures together."""
    pictures: int = 0
    """Of these, the pictures'."""
    reused: int = 0
    """Of the prompt, those that an earlier request had left read."""
    answer: int = 0
    """Tokens written."""
    context: int = 0
    """How many the model takes, prompt and answer; 0 where nobody tells."""


@dataclass
class Reply:
    """An answer as it comes; iterate over it once."""

    pieces: Iterator[str]
    """Whole characters, as many at a time as are certain; empty while a long prompt is read."""
    outcome: Outcome = field(default_factory=Outcome)

    def __iter__(self) -> Iterator[str]:
        return self.pieces

    def close(self) -> None:
        """Answer no further."""
        close = getattr(self.pieces, "close", None)
        if close:
            close()

    @property
    def text(self) -> str:
        """The whole answer; waits for it."""
        return "".join(self.pieces)


class Answers(Protocol):
    """Whoever answers."""

    name: str

    def answer(self, request: Request) -> Reply:
        """Begin to answer. Raises RequestError where the request cannot be answered as it is."""
        ...
