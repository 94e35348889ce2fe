"""Requests in OpenAI's shapes, and what others ask of the same routes. Unknown fields are let through, as OpenAI does."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, Field, FiniteFloat

from ..assistant.request import Message, Request
from ..core.errors import RequestError
from .pictures import picture

LONGEST = 2000
"""Characters of a query."""


class ImageUrl(BaseModel):
    url: str


class Part(BaseModel):
    """A piece of a message's content."""

    type: str
    text: str | None = None
    image_url: ImageUrl | str | None = None


class Turn(BaseModel):
    role: str
    content: str | list[Part] | None = None


class StreamOptions(BaseModel):
    include_usage: bool = False


class ChatRequest(BaseModel):
    """POST /v1/chat/completions."""

    model: str
    messages: list[Turn]
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    temperature: float | None = 0.0
    top_p: float | None = 1.0
    seed: int | None = None
    stop: str | list[str] | None = None
    n: int | None = 1
    stream: bool | None = False
    stream_options: StreamOptions | None = None

    def request(self, urls_allowed: bool) -> Request:
        """Raises RequestError."""
        if self.n not in (None, 1):
            raise RequestError("one answer is given to a request; leave n out, or send the request again")
        return Request(
            tuple(message_of(turn, urls_allowed) for turn in self.messages),
            self.max_completion_tokens or self.max_tokens or 256,
            self.temperature or 0.0,
            1.0 if self.top_p is None else self.top_p,
            self.seed,
            (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ()),
        )


def message_of(turn: Turn, urls_allowed: bool) -> Message:
    role = "system" if turn.role == "developer" else turn.role
    return Message(role, tuple(part_of(part, urls_allowed) for part in parts_of(turn)))


def parts_of(turn: Turn) -> list[Any]:
    """A message's content as it was sent: words (str) and Parts."""
    return turn.content if isinstance(turn.content, list) else [turn.content or ""]


def part_of(part: str | Part, urls_allowed: bool) -> Any:
    """A text, or a picture's bytes."""
    if isinstance(part, str):
        return part
    if part.type == "text" and part.text is not None:
        return part.text
    if part.type == "image_url" and part.image_url is not None:
        return picture(part.image_url if isinstance(part.image_url, str) else part.image_url.url, urls_allowed)
    raise RequestError(f"a content part of type {part.type!r} is not understood here; send text and image_url parts")


class Given(BaseModel):
    """Jina's way: an object that says what it is."""

    text: str | None = None
    image: str | None = None
    """A URL, a data URI, or plain base64."""


class EmbeddingRequest(BaseModel):
    """POST /v1/embeddings: OpenAI's `input`, infinity's `modality`, Jina's items, vLLM's `messages`."""

    model: str
    input: str | list[str] | list[Given] | list[int] | list[list[int]] | None = None
    modality: Literal["text", "image"] = "text"
    messages: list[Turn] | None = None
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(default=None, ge=1)

    @property
    def given(self) -> list[Any]:
        """The inputs as they were sent."""
        if self.messages is not None:
            return [part for turn in self.messages for part in parts_of(turn)]
        return [self.input] if isinstance(self.input, str) else self.input or []

    def items(self, urls_allowed: bool) -> Iterator[Any]:
        """Texts (str) and pictures (Picture), in order, each fetched when it is asked for. Raises RequestError."""
        for one in self.given:
            yield item_of(one, self.modality, urls_allowed) if self.messages is None else part_of(one, urls_allowed)


def item_of(item: Any, modality: str, urls_allowed: bool) -> Any:
    if isinstance(item, Given):
        if (item.text is None) == (item.image is None):
            raise RequestError('an item holds either "text" or "image"; correct the input')
        item, modality = (item.text, "text") if item.image is None else (item.image, "image")
    if not isinstance(item, str):
        raise RequestError("token ids are not understood here, because every model has its own; send texts")
    if modality == "text":
        return item
    return picture(item if item.startswith(("data:", "http:", "https:")) else f"data:image/any;base64,{item}", urls_allowed)


class SearchRequest(BaseModel):
    """POST /v1/search."""

    query: str = Field(max_length=LONGEST)
    top: int = Field(default=10, ge=1, le=1000)
    min_relevance: float = Field(default=0.0, ge=0, le=1)


class Weighted(BaseModel):
    """A picture, sound or film beside the words of a search: one that is indexed, or one that was dropped on the page."""

    id: str = ""
    picture: str = ""
    """A data URI."""
    weight: float = 1.0


class PageSearch(BaseModel):
    """POST /app/search: what the page asks."""

    query: str = Field(default="", max_length=LONGEST)
    also: list[Weighted] = Field(default=[], max_length=32)
    top: int = Field(default=200, ge=1, le=10_000)
    kinds: list[str] = []
    under: str = ""
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    within: str = ""
    """The id of a hit: all moments or pages of its file are ranked, and nothing else."""


class Folder(BaseModel):
    """POST /app/index and /app/forget."""

    folder: str = Field(min_length=1)


class CompareRequest(BaseModel):
    """POST /app/compare."""

    query: str = Field(min_length=1, max_length=500)
    spaces: list[str] = Field(min_length=1, max_length=4)


Numbers = Annotated[list[FiniteFloat], Field(min_length=1, max_length=4096)]


class ContrastRequest(BaseModel):
    """POST /app/lesson/contrast: vectors of pictures and of their captions, in the same order."""

    images: list[Numbers]
    texts: list[Numbers]
    temperature: float = Field(default=0.07, ge=0.005, le=10)


class TraceRequest(BaseModel):
    """POST /app/lesson/trace."""

    picture: str
    """A data URI."""
    question: str = Field(min_length=1, max_length=500)
    max_tokens: int = Field(default=24, ge=1, le=64)


class PatchRequest(BaseModel):
    """POST /app/lesson/patch."""

    picture: str
    """A data URI."""
    patch: int = Field(default=0, ge=0)
    """Counted row by row, from 0."""


class SidesRequest(BaseModel):
    """POST /app/lesson/sides."""

    width: int = Field(ge=1, le=100_000)
    height: int = Field(ge=1, le=100_000)
