"""Bodies of requests: OpenAI's for /v1, our own for the pages. Fields that would change the answer and are not done here are refused; all
others that are unknown are ignored."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, FiniteFloat

from ...assistant.request import Message, Picture, Request
from ...core.errors import RequestError
from ...library.store.marks import Change
from ...library.store.records import Grouping
from .urls import read_picture

MAX_QUERY = 2000
"""Characters of a query."""
T = TypeVar("T")
Bounded = Annotated[list[T], Field(max_length=10_000)]
"""A list that is parsed before anything counts what is in it."""


class ImageUrl(BaseModel):
    """OpenAI's `image_url`."""

    url: str


MOST_PARTS, MOST_PICTURES = 2000, 100
"""Parts of all messages of a conversation, and pictures among them."""

MOST_TOKENS = 2048
"""Of an answer to a client that names no limit, where the model has room for so many."""


class ContentPart(BaseModel):
    """A part of a message's content."""

    type: str
    text: str | None = None
    image_url: ImageUrl | str | None = None


class ChatMessage(BaseModel):
    """A message of a conversation."""

    role: str
    content: str | Bounded[ContentPart] | None = None

    @property
    def parts(self) -> Sequence[str | ContentPart]:
        """The content as it was sent."""
        return self.content if isinstance(self.content, list) else [self.content or ""]

    def message(self, urls_allowed: bool) -> Message:
        """Return it as an assistant takes it. Raises RequestError."""
        role = "system" if self.role == "developer" else self.role
        return Message(role, tuple(read_part(part, urls_allowed) for part in self.parts))


class StreamOptions(BaseModel):
    """OpenAI's `stream_options`."""

    include_usage: bool = False


REFUSED = {
    "tools": "no tools are called here; leave tools out, and ask for the answer in words",
    "functions": "no functions are called here; leave functions out, and ask for the answer in words",
    "response_format": "answers have no prescribed form here; leave response_format out, and ask for the form in words",
    "logprobs": "probabilities of tokens are not returned here; leave logprobs out",
    "top_logprobs": "probabilities of tokens are not returned here; leave top_logprobs out",
    "logit_bias": "tokens are not biased here; leave logit_bias out",
    "frequency_penalty": "repetitions are not penalised here; leave frequency_penalty out",
    "presence_penalty": "repetitions are not penalised here; leave presence_penalty out",
    "modalities": "answers are text here; leave modalities out",
    "audio": "answers are text here; leave audio out",
    "web_search_options": "nothing is searched on the web here; leave web_search_options out",
}
"""Fields of OpenAI's that would change the answer → why they are refused."""
WITHOUT_EFFECT = {"response_format": {"type": "text"}, "modalities": ["text"]}
"""Their values that change nothing, besides empty ones."""


StopWord = Annotated[str, Field(max_length=1000)]


class ChatRequest(BaseModel):
    """POST /v1/chat/completions."""

    model_config = ConfigDict(extra="allow")

    model: str
    messages: Bounded[ChatMessage]
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = 0.0
    top_p: float | None = 1.0
    seed: int | None = None
    stop: StopWord | Annotated[list[StopWord], Field(max_length=16)] | None = None
    n: int | None = 1
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    tool_choice: Any = None

    def request(self, urls_allowed: bool) -> Request:
        """Return it as an assistant takes it. Raises RequestError."""
        for name, reason in REFUSED.items():
            value = (self.model_extra or {}).get(name)
            if value and value != WITHOUT_EFFECT.get(name) and not (name == "tools" and self.tool_choice == "none"):
                raise RequestError(reason)
        if self.n not in (None, 1):
            raise RequestError("one answer is given to a request; leave n out, or send the request again")
        parts = [part for message in self.messages for part in message.parts]
        pictures = sum(not isinstance(part, str) and part.image_url is not None for part in parts)
        if len(parts) > MOST_PARTS or pictures > MOST_PICTURES:  # before any is read
            raise RequestError(
                f"the conversation has {len(parts)} parts, {pictures} of them pictures; send {MOST_PARTS} and {MOST_PICTURES} at most"
            )
        return Request(
            tuple(message.message(urls_allowed) for message in self.messages),
            self.max_completion_tokens or self.max_tokens or MOST_TOKENS,
            self.temperature or 0.0,
            1.0 if self.top_p is None else self.top_p,
            self.seed % 2**63 if self.seed is not None and self.seed >= 0 else None,  # some give -1 for any
            (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ()),
        )


def read_part(part: str | ContentPart, urls_allowed: bool) -> str | Picture:
    """Return a part's text, or its image. Raises RequestError."""
    if isinstance(part, str):
        return part
    if part.type == "text" and part.text is not None:
        return part.text
    if part.type == "image_url" and part.image_url is not None:
        return read_picture(part.image_url if isinstance(part.image_url, str) else part.image_url.url, urls_allowed)
    raise RequestError(f"a content part of type {part.type!r} is not understood here; send text and image_url parts")


class EmbeddingItem(BaseModel):
    """Jina's inputs: an object with a text or an image."""

    text: str | None = None
    image: str | None = None
    """A URL, a data URI, or plain base64."""


Tokens = Annotated[list[int], Field(max_length=8192)]


class EmbeddingRequest(BaseModel):
    """POST /v1/embeddings: OpenAI's `input`, infinity's `modality`, Jina's items, vLLM's `messages`."""

    model: str
    input: str | Bounded[str] | Bounded[EmbeddingItem] | Bounded[int] | Bounded[Tokens] | None = None
    modality: Literal["text", "image"] | None = "text"
    messages: Bounded[ChatMessage] | None = None
    encoding_format: Literal["float", "base64"] | None = "float"
    dimensions: int | None = Field(default=None, ge=1)

    @property
    def count(self) -> int:
        """Number of inputs."""
        if self.messages is not None:
            return sum(len(message.parts) for message in self.messages)
        return 1 if isinstance(self.input, str) else len(self.input or ())

    def read_inputs(self, urls_allowed: bool) -> Iterator[str | Picture]:
        """Yield texts and images in order, each downloaded when it is needed. Raises RequestError."""
        if self.messages is not None:
            for part in (part for message in self.messages for part in message.parts):
                yield read_part(part, urls_allowed)
            return
        for item in [self.input] if isinstance(self.input, str) else self.input or []:
            yield read_item(item, self.modality or "text", urls_allowed)


def read_item(item: str | EmbeddingItem | int | list[int], modality: str, urls_allowed: bool) -> str | Picture:
    """Return an item's text, or its image. Raises RequestError."""
    content: object = item
    if isinstance(item, EmbeddingItem):
        if (item.text is None) == (item.image is None):
            raise RequestError('an item holds either "text" or "image"; correct the input')
        content, modality = (item.text, "text") if item.image is None else (item.image, "image")
    if not isinstance(content, str):
        raise RequestError("token ids are not understood here, because every model has its own; send texts")
    if modality == "text":
        return content
    is_url = content[:6].lower().startswith(("data:", "http:", "https:"))
    return read_picture(content if is_url else f"data:image/any;base64,{content}", urls_allowed)


class SearchRequest(BaseModel):
    """POST /v1/search."""

    query: str = Field(default="", max_length=MAX_QUERY)
    where: str = Field(default="", max_length=MAX_QUERY)
    """Conditions, such as year:2019 -kind:video; they may as well stand in the query."""
    top: int = Field(default=10, ge=1, le=1000)
    min_relevance: float = Field(default=0.0, ge=0, le=1)
    group_by: Grouping = "stack"
    """What is found once."""
    rerank: bool = False
    """Read the first hits again: texts by a cross-encoder, pictures by the assistant."""


class RerankItem(BaseModel):
    """A document of POST /v1/rerank: an object with a text or an image."""

    text: str | None = None
    image: str | None = None
    """A URL, a data URI, or plain base64."""


class RerankRequest(BaseModel):
    """POST /v1/rerank, in the shape of Cohere, Jina, vLLM and infinity."""

    query: str = Field(min_length=1, max_length=MAX_QUERY)
    documents: list[str | RerankItem] = Field(min_length=1, max_length=1000)
    model: str = ""
    """A cross-encoder, the assistant, or the space, which compares vectors; what is there where none is named."""
    top_n: int | None = Field(default=None, ge=1)
    return_documents: bool = False

    def read_documents(self, urls_allowed: bool) -> Iterator[str | Picture]:
        """Yield texts and images in order. Raises RequestError."""
        for one in self.documents:
            yield one if isinstance(one, str) else read_item(EmbeddingItem(text=one.text, image=one.image), "text", urls_allowed)


Ids = Annotated[list[str], Field(max_length=1000)]
"""Of segments."""


class WeightedTerm(BaseModel):
    """A file added to the words of a search: one that is indexed, or one that is sent. POST /app/vector."""

    id: str = ""
    """Of an indexed segment."""
    media: str = ""
    """A data URI of an image, audio or video file."""
    weight: FiniteFloat = 1.0


class PageSearchRequest(BaseModel):
    """POST /app/search."""

    query: str = Field(default="", max_length=MAX_QUERY)
    terms: list[WeightedTerm] = Field(default=[], max_length=32)
    """Added to the words."""
    top: int = Field(default=200, ge=1, le=10_000)
    kinds: Annotated[list[str], Field(max_length=16)] = []
    under: str = ""
    """A folder."""
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    where: str = Field(default="", max_length=MAX_QUERY)
    """Conditions; see SearchRequest."""
    within: str = ""
    """A hit's id: all segments of its file are ranked, and nothing else."""
    group_by: Grouping = "stack"
    """What is found once."""
    meant: Ids = []
    """Hits that are said to be meant, by their segments' ids; the others are ranked by them, too."""
    not_meant: Ids = []
    rerank: bool = False
    """As of SearchRequest."""
    on_map: bool = False
    """Whether each hit says by which `point` of the map it is shown: itself, or what of its file is nearest to it."""


Names = Annotated[list[str], Field(max_length=100)]


class MarkRequest(BaseModel):
    """POST /app/mark: as store.marks.Change."""

    ids: Ids = []
    """Of segments; their files are marked."""
    where: str = Field(default="", max_length=MAX_QUERY)
    """Conditions: all files that meet them are marked, too."""
    tags: Names = []
    without_tags: Names = []
    albums: Names = []
    without_albums: Names = []
    favourite: bool | None = None
    hidden: bool | None = None
    rating: int | None = None

    @property
    def change(self) -> Change:
        """What is to be said. Raises QueryError."""
        return Change(
            tuple(self.tags), tuple(self.without_tags), tuple(self.albums), tuple(self.without_albums),
            favourite=self.favourite, hidden=self.hidden, rating=self.rating,
        )  # fmt: skip


class ConceptRequest(BaseModel):
    """POST /app/concepts: examples of what a word means and does not mean, by their segments' ids."""

    name: str = Field(min_length=1)
    yes: Ids = []
    no: Ids = []
    where: str = Field(default="", max_length=MAX_QUERY)
    """Conditions: some files that meet them are examples, too."""


class TrashRequest(BaseModel):
    """POST /app/trash."""

    ids: list[str] = Field(min_length=1, max_length=10_000)
    """Of segments; their files are moved."""


class SavedSearchRequest(BaseModel):
    """POST /app/searches: an empty query forgets it."""

    name: str = Field(min_length=1)
    query: str = Field(default="", max_length=MAX_QUERY)


class FolderRequest(BaseModel):
    """POST /app/index and /app/forget."""

    folder: str = Field(min_length=1)


class CompareRequest(BaseModel):
    """POST /app/compare."""

    query: str = Field(min_length=1, max_length=500)
    spaces: list[str] = Field(min_length=1, max_length=4)


class DrawRequest(BaseModel):
    """POST /app/draw."""

    query: str = Field(default="", max_length=MAX_QUERY)
    media: str = ""
    """A data URI of an image, audio or video file that is added to the words."""
    number: int = Field(default=4, ge=1, le=16)
    seed: int = Field(default=0, ge=0, lt=2**32)
    steps: int = Field(default=25, ge=1, le=100)
    guidance: float = Field(default=3.0, ge=0, le=20)


Vector = Annotated[list[FiniteFloat], Field(min_length=1, max_length=4096)]


class ContrastRequest(BaseModel):
    """POST /app/lesson/contrast: vectors of images and of their captions, in the same order."""

    images: Annotated[list[Vector], Field(max_length=256)]
    texts: Annotated[list[Vector], Field(max_length=256)]
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


class ImageSizeRequest(BaseModel):
    """POST /app/lesson/sides."""

    width: int = Field(ge=1, le=100_000)
    height: int = Field(ge=1, le=100_000)


class LabTextRequest(BaseModel):
    """POST /app/lab/read."""

    text: str = Field(min_length=1, max_length=20_000)
    size: int = Field(default=64, ge=4, le=512)
    """Tokens of a window, or of a block."""


class LabVideoRequest(BaseModel):
    """POST /app/lab/video."""

    media: str = Field(min_length=1)
    """A video, as a data URI."""
    size: int = Field(default=64, ge=4, le=512)
    """As of LabTextRequest."""


class OperateRequest(BaseModel):
    """POST /app/lesson/operate."""

    task: str = Field(min_length=1, max_length=500)


class HeadRequest(BaseModel):
    """POST /app/lab/head."""

    text: str = Field(min_length=1, max_length=20_000)
    layer: int = Field(default=0, ge=0)
    head: int = Field(default=0, ge=0)


class NeedlesRequest(BaseModel):
    """POST /app/lab/needles."""

    text: str = Field(min_length=1, max_length=100_000)
    lengths: list[Annotated[int, Field(ge=64, le=4096)]] = Field(default=[256, 512, 1024], min_length=1, max_length=6)
