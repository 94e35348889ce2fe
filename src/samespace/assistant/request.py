"""Requests to an assistant and its replies: the same for our own and for one behind an HTTP endpoint."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

from ..core.assistant_config import AnyresAssistantConfig, AssistantConfig, ShuffledAssistantConfig
from ..core.config import Prep
from ..core.errors import RequestError, UnreadableMedia
from ..core.files import content_hash
from ..core.paths import expanded
from ..media import audio
from ..media import image as image_media
from ..preprocess import tiles

ALL_PIXELS = 2**20
"""A target that no image reaches, so that it is decoded whole."""
WAVEFORM_SIDE = 512
"""Pixels along the longer side of a picture of a sound."""
ROLES = ("system", "user", "assistant")


@dataclass(frozen=True)
class Picture:
    """An image file's content."""

    data: bytes
    name: str = "picture"
    """Shown in messages; its ending tells raw formats apart."""
    text_included: bool = False
    """Whether the conversation contains the text in it already."""
    whole: bool = False
    """Whether SmolVLM is shown it without tiles, as it was trained to see the frames of films."""

    @cached_property
    def digest(self) -> str:
        """BLAKE2b of the content, and whether it is shown whole; images of the same digest are encoded once."""
        return content_hash(self.data) + ("whole" if self.whole else "")

    def decode(self, target: int) -> Image.Image:
        """Decode the image, upright, with no less than `target` pixels a side if it has them.

        Raises UnreadableMedia naming it.
        """
        return image_media.read_named(self.name, self.data, target)

    def views(self, c: AssistantConfig, alone: bool = True) -> tiles.Views:
        """Return the whole image and its tiles, of an image that is `alone` in its conversation or not.

        Raises UnreadableMedia naming it.
        """
        if isinstance(c, AnyresAssistantConfig) and c.alone and not alone:
            return tiles.on_square(self.decode(ALL_PIXELS), c.prep)
        if isinstance(c, AnyresAssistantConfig):
            return tiles.fitted(self.decode(ALL_PIXELS), c.prep, list(zip(c.sizes[::2], c.sizes[1::2])))
        if c.prep.resize == "native":
            return self._whole(c.prep)
        if isinstance(c, ShuffledAssistantConfig):
            return tiles.split(self.decode(ALL_PIXELS), c.prep, 0 if self.whole else c.longest, c.frame)
        return tiles.views(self.decode(c.prep.size * c.tiles if c.tiles > 1 else ALL_PIXELS), c.prep, c.tiles, c.tile_from)

    def _whole(self, p: Prep) -> tiles.Views:
        """Return the image in its own shape. Raises UnreadableMedia naming it."""
        try:
            return tiles.whole(self.decode(ALL_PIXELS), p)
        except UnreadableMedia as error:
            raise error if self.name in error.reason else UnreadableMedia(f"{self.name}: {error.reason}") from None

    @staticmethod
    def read(path: str | Path) -> "Picture":
        """Read an image file, without decoding it. Raises UnreadableMedia naming it."""
        try:
            return Picture(expanded(path).read_bytes(), str(path))
        except OSError as error:
            raise UnreadableMedia(f"{path}: {error.strerror or error}; check the path") from None


@dataclass(frozen=True)
class Recording(Picture):
    """A sound file for an assistant that hears; to others it is a picture of its waveform."""

    path: Path = Path()

    @staticmethod
    def of(path: Path) -> "Recording":
        """Open a sound file. Raises UnreadableMedia naming it."""
        try:
            return Recording(image_media.jpeg(audio.waveform(path), WAVEFORM_SIDE), str(path), path=path)
        except UnreadableMedia as error:
            raise UnreadableMedia(f"{path}: {error.reason}") from None


@dataclass(frozen=True)
class Message:
    """One turn of a conversation."""

    role: str
    """One of ROLES."""
    parts: tuple[str | Picture, ...]
    """Text and images, in order; and sounds, as Recordings."""

    @property
    def pictures(self) -> list[Picture]:
        """Its images, in order."""
        return [part for part in self.parts if isinstance(part, Picture)]


@dataclass(frozen=True)
class Request:
    """A conversation to be continued, and how."""

    messages: tuple[Message, ...]
    """At least one; the last is the user's."""
    max_tokens: int = 256
    """Longest answer, in tokens."""
    temperature: float = 0.0
    """0 always takes the likeliest token."""
    top_p: float = 1.0
    """Tokens are sampled from the likeliest whose probabilities sum to this."""
    seed: int | None = None
    """Makes sampling repeatable."""
    stop: tuple[str, ...] = ()
    """Strings before which the answer ends."""

    def __post_init__(self) -> None:
        """Check the request. Raises RequestError."""
        if not self.messages:
            raise RequestError("there are no messages; send at least one from the user")
        for message in self.messages:
            if message.role not in ROLES:
                raise RequestError(f"role {message.role!r} is not known; use {', '.join(ROLES)}")
            if other := next((part for part in message.parts if not isinstance(part, str | Picture)), None):
                raise RequestError(f"a part of a message is a {type(other).__name__}; give texts and Pictures")
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


def question(text: str, pictures: list[Picture], **settings: Any) -> Request:
    """Return the simplest request: images, then text. `settings` are other fields of Request."""
    return Request((Message("user", (*pictures, text)),), **settings)


@dataclass
class Outcome:
    """How an answer ended, and the tokens it took; complete after the last piece of the answer."""

    finish: str = "stop"
    """stop, or length where the limit was reached."""
    prompt: int = 0
    """Tokens of the prompt, text and images together."""
    pictures: int = 0
    """Tokens of the prompt that are of images."""
    reused: int = 0
    """Tokens of the prompt whose keys and values were cached by an earlier request."""
    answer: int = 0
    """Tokens generated."""
    context: int = 0
    """Most tokens that the model takes, prompt and answer together; 0 where it is unknown."""


@dataclass
class Reply:
    """An answer that is being generated; iterate over it once."""

    pieces: Iterator[str]
    """Whole characters, as soon as they are final; empty strings while a long prompt is read."""
    outcome: Outcome = field(default_factory=Outcome)

    def __iter__(self) -> Iterator[str]:
        return self.pieces

    def close(self) -> None:
        """Stop generating."""
        close = getattr(self.pieces, "close", None)
        if close:
            close()

    @property
    def text(self) -> str:
        """The whole answer; reading it waits for the end."""
        return "".join(self.pieces)


class AssistantBackend(Protocol):
    """Interface of assistant backends."""

    name: str
    takes_sound: bool
    """Whether it takes a Recording; others are told in words what a sound is like."""

    @property
    def room(self) -> int:
        """Most tokens that the model takes, prompt and answer together; 0 where it is unknown."""
        ...

    def picture_tokens(self, picture: Picture) -> int:
        """Return the tokens that one of several pictures takes; 0 where it is unknown. Raises UnreadableMedia."""
        ...

    def answer(self, request: Request) -> Reply:
        """Begin to answer. Raises RequestError where the request cannot be answered."""
        ...

    def choose(self, request: Request, answers: Sequence[str]) -> list[float]:
        """Return how likely each of several short answers is, among them: probabilities that sum to 1. Raises as `answer`."""
        ...
