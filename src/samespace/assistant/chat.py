"""Conversations → token ids, with placeholders for images; token ids → text."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, partial
from itertools import groupby
from typing import Any

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.parser
import jinja2.sandbox
from tokenizers import AddedToken, Tokenizer
from tokenizers.decoders import DecodeStream
from torch import Tensor

from ..core.errors import RequestError, UnknownAssistant, as_utf8, error_summary
from ..models.llava import IMAGE_TOKEN
from .language import Language
from .request import Message, Picture
from .thoughts import CLOSED, are_open, without_thoughts

Key = int | tuple[str, int]
"""What identifies a position of a prompt: a token id, or (an image's digest, number of its token)."""
MARK, QWEN_MARK = "<image>", "<|image_pad|>"
"""What stands for an image in a rendered conversation; a token of its own. Qwen's templates write theirs."""


@dataclass(frozen=True)
class Prompt:
    """A conversation as the model reads it."""

    ids: list[int]
    """Token ids, and IMAGE_TOKEN for each token of an image."""
    keys: list[Key]
    """One for each id. Prompts whose keys begin alike can share a cache of that beginning."""
    positions: Tensor | None = None
    """Llava.positions: int64 (3, N)."""
    thinks: bool = False
    """Whether it ends within thoughts, which come before the answer."""


class GenerationTag(jinja2.ext.Extension):
    """`{% generation %} … {% endgeneration %}`, which marks an assistant's words for training; here it is its inside."""

    tags = {"generation"}

    def parse(self, parser: jinja2.parser.Parser) -> list[jinja2.nodes.Node]:
        """Return what is between the tags."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class Chat:
    """A tokenizer and a chat template."""

    def __init__(self, language: Language):
        """Raises UnknownAssistant where the template cannot be read."""
        self.tokenizer: Tokenizer = language.tokenizer
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        self._special_tokens = language.special_tokens
        self._takes_image_parts = "'image'" in language.template or '"image"' in language.template
        self._template = compile_template(language.template)
        self.mark = QWEN_MARK if QWEN_MARK in language.template else MARK
        if all(token.content != self.mark for token in self.tokenizer.get_added_tokens_decoder().values()):
            self.tokenizer.add_special_tokens([AddedToken(self.mark, normalized=False)])
        self._mark = self.tokenizer.token_to_id(self.mark)
        added = self.tokenizer.get_added_tokens_decoder().values()
        self._control_tokens = [
            self.mark,
            *(str(token.content) for token in added if token.content != self.mark and (token.special or steers(token.content))),
        ]

    def prompt(self, messages: tuple[Message, ...], placeholders: dict[str, list[int]], may_think: bool = True) -> Prompt:
        """Encode a conversation; what stands for an image by its digest: IMAGE_TOKEN for each of its tokens, and ids of text around
        them. A model that may not think answers at once. Raises RequestError."""
        digests = [picture.digest for message in messages for picture in message.pictures]
        rendered = as_utf8(self.render(messages))
        rendered += CLOSED if are_open(rendered) and not may_think else ""
        if rendered.count(self.mark) != len(digests):
            raise RequestError("the model's chat template leaves pictures out; ask with all pictures in the user's messages")
        bos = self._special_tokens.get("bos_token", "")
        has_bos = bool(bos) and rendered.startswith(bos)
        encoded = self.tokenizer.encode(rendered, add_special_tokens=not has_bos).ids
        ids: list[int] = []
        keys: list[Key] = []
        pictures = iter(digests)
        for token in encoded:
            if token != self._mark:
                ids.append(token)
                keys.append(token)
                continue
            digest, n = next(pictures), 0
            for token in placeholders[digest]:
                ids.append(token)
                keys.append((digest, n) if token == IMAGE_TOKEN else token)
                n += token == IMAGE_TOKEN
        return Prompt(ids, keys, thinks=are_open(rendered))

    def picture_ids(self, text: str) -> list[int]:
        """Return the ids of what stands for an image, with IMAGE_TOKEN where `mark` stands."""
        return [IMAGE_TOKEN if i == self._mark else i for i in self.token_ids(text)]

    def token_ids(self, text: str) -> list[int]:
        """Return a text's ids within a conversation, without special tokens around them."""
        return list(self.tokenizer.encode(as_utf8(text), add_special_tokens=False).ids)

    def first_tokens(self, answer: str) -> set[int]:
        """Return the ids with which an answer may begin: as it is or capital, after a space or not."""
        variants = [space + word for word in (answer, answer.capitalize()) for space in ("", " ")]
        return {self.tokenizer.encode(variant, add_special_tokens=False).ids[0] for variant in variants}

    def render(self, messages: tuple[Message, ...]) -> str:
        """Return a conversation as one text, with `mark` for each image. Raises RequestError."""
        return self._rendered([{"role": m.role, "content": self._content(m)} for m in messages])

    def _rendered(self, turns: list[dict[str, Any]]) -> str:
        """Return turns as the template writes them. Raises RequestError."""
        try:
            return self._template.render(
                messages=turns,
                add_generation_prompt=True,
                enable_thinking=False,
                tools=None,
                documents=None,
                **self._special_tokens,
            )
        except Exception as error:  # templates are programs, and raise whatever programs do
            raise RequestError(
                f"the model's chat template refuses this conversation ({error_summary(error)}); rearrange the messages"
            ) from None

    def decode(self, ids: Iterator[int | None], stop: tuple[str, ...], thinks: bool = False) -> Iterator[str]:
        """Decode an answer as it comes, without thoughts before it, up to a stop string and without it; an empty string for None.

        Raises RequestError where nothing but thoughts came.
        """
        return _until(stop, without_thoughts(self.texts(ids), thinks))

    def texts(self, ids: Iterator[int | None]) -> Iterator[str]:
        """Decode ids as they come: yield whole characters, and an empty string for None."""
        stream = DecodeStream(skip_special_tokens=True)
        for token in ids:
            try:
                yield "" if token is None else stream.step(self.tokenizer, token) or ""
            except Exception:  # bytes that are no character; the library raises nothing more precise
                stream = DecodeStream(skip_special_tokens=True)

    def _content(self, message: Message) -> str | list[dict[str, str]]:
        """Return a message for the template: a list of parts if it takes image parts, else a text with marks.

        A single text comes after its images, as in LLaVA's training; several keep their order among them.
        """
        texts = [part for part in message.parts if isinstance(part, str)]
        parts: Sequence[str | Picture] = [*message.pictures, *texts] if len(texts) == 1 else message.parts
        if self._takes_image_parts and (len(texts) < 2 or self._keeps_order):
            return [{"type": "image"} if isinstance(p, Picture) else {"type": "text", "text": p} for p in self._escaped(parts)]
        text = "\n".join(self.mark if isinstance(p, Picture) else self._escape(p) for p in parts)
        return [{"type": "text", "text": text}] if self._takes_image_parts else text

    @cached_property
    def _keeps_order(self) -> bool:
        """Whether the template writes parts in their order; LLaVA's write all pictures first, after which times and words mean nothing."""
        parts = [{"type": "text", "text": "A1"}, {"type": "image"}, {"type": "text", "text": "B2"}]
        text = self._rendered([{"role": "user", "content": parts}])
        return text.find("A1") < text.find(self.mark) < text.find("B2")

    def _escaped(self, parts: Sequence[str | Picture]) -> list[str | Picture]:
        """Return parts with control tokens broken up, also those that texts one after another would make together."""
        safe = [part if isinstance(part, Picture) else self._escape(part) for part in parts]
        runs = ["".join(run) for is_text, run in groupby(safe, lambda part: isinstance(part, str)) if is_text]  # type: ignore[arg-type]
        if any(self._escape(run) != run for run in runs):
            return [part if isinstance(part, Picture) else "\u200b" + part for part in safe]
        return safe

    def _escape(self, text: str) -> str:
        """Break up control tokens in a user's text, so that it cannot end a turn or begin another."""
        for token in self._control_tokens:
            if token and token in text:
                text = text.replace(token, token[0] + "\u200b" + token[1:])
        return text


def steers(token: str) -> bool:
    """Whether a token that is not marked as special looks like one that begins or ends a turn: <|im_start|>, [INST], <start_of_turn>."""
    return re.fullmatch(r"<\|.*\|>|\[/?[A-Z_]+\]|</?\w+>", token.strip()) is not None


def _until(stop: tuple[str, ...], pieces: Iterator[str]) -> Iterator[str]:
    """Yield pieces up to a stop string."""
    pending = ""
    for piece in pieces:
        pending += piece
        ends = [at for s in stop if (at := pending.find(s)) >= 0]
        if ends:
            yield pending[: min(ends)]
            return
        final = len(pending) - _partial_stop_length(pending, stop)
        yield pending[:final]
        pending = pending[final:]
    if pending:
        yield pending


def _partial_stop_length(text: str, stop: tuple[str, ...]) -> int:
    """Return how many of the last characters may be the beginning of a stop string."""
    return max((n for s in stop for n in range(1, min(len(s), len(text) + 1)) if text.endswith(s[:n])), default=0)


def compile_template(template: str) -> jinja2.Template:
    """Return a chat template with what transformers gives to those of the hub. Raises UnknownAssistant."""
    extensions = ("jinja2.ext.loopcontrols", GenerationTag)
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=extensions)
    environment.globals |= {"raise_exception": _raise_template_error, "strftime_now": lambda form: datetime.now().strftime(form)}
    environment.filters["tojson"] = partial(json.dumps, ensure_ascii=False)
    try:
        return environment.from_string(template)
    except jinja2.TemplateError as error:
        raise UnknownAssistant(f"the model's chat template cannot be read ({error}); report it with the model's name") from None


def _raise_template_error(reason: str) -> None:
    """Reject a conversation; templates call it as `raise_exception`. Raises TemplateError."""
    raise jinja2.TemplateError(reason)
