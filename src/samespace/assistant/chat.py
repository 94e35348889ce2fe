"""Conversations -> token ids, with places for pictures; token ids -> text."""

from collections.abc import Iterator
from dataclasses import dataclass

import jinja2
import jinja2.sandbox
from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream

from ..core.errors import RequestError, as_utf8
from ..models.llava import IMAGE_TOKEN
from .language import Language
from .request import Message, Picture

Key = int | tuple[str, int]
"""What identifies a position of a prompt: a token id, or (an image's digest, number of its token)."""
MARK = "<image>"
"""Where a picture stands in a rendered conversation."""


@dataclass(frozen=True)
class Prompt:
    """A conversation as the model reads it."""

    ids: list[int]
    """Word ids, and PICTURE in the place of each token of a picture."""
    keys: list[Key]
    """What tells equal beginnings of prompts: word ids, and (a picture's digest, number of its token)."""


class Chat:
    """A tokenizer and a chat template."""

    def __init__(self, language: Language):
        self.tokenizer: Tokenizer = language.tokenizer
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        self.specials = language.specials
        self.by_parts = "'image'" in language.template or '"image"' in language.template
        environment = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        environment.globals["raise_exception"] = refuse
        self.template = environment.from_string(language.template)
        added = self.tokenizer.get_added_tokens_decoder().values()
        self.reserved = [MARK, *(str(token.content) for token in added if token.special)]

    def prompt(self, messages: tuple[Message, ...], sizes: dict[str, int]) -> Prompt:
        """A conversation as ids; `sizes` holds each picture's number of tokens by its digest. Raises RequestError."""
        digests = [picture.digest for message in messages for picture in message.pictures]
        rendered = as_utf8(self.render(messages))
        first, *rest = rendered.split(MARK)
        if len(rest) != len(digests):
            raise RequestError("the model's chat template leaves pictures out; ask with all pictures in the user's messages")
        begins = bool(self.specials.get("bos_token")) and rendered.startswith(self.specials["bos_token"])
        ids = self.tokenizer.encode(first, add_special_tokens=not begins).ids
        keys: list[Key] = list(ids)
        for digest, piece in zip(digests, rest):
            words = self.words(piece)
            ids += [IMAGE_TOKEN] * sizes[digest] + words
            keys += [*((digest, n) for n in range(sizes[digest])), *words]
        return Prompt(ids, keys)

    def words(self, text: str) -> list[int]:
        """A text's ids, as they stand within a conversation."""
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def render(self, messages: tuple[Message, ...]) -> str:
        """The conversation as one text, with MARK for each picture. Raises RequestError."""
        turns = [{"role": m.role, "content": self.content(m)} for m in messages]
        try:
            return self.template.render(messages=turns, add_generation_prompt=True, **self.specials)
        except jinja2.TemplateError as error:
            raise RequestError(f"the model's chat template refuses this conversation ({error}); rearrange the messages") from None

    def content(self, message: Message) -> str | list[dict[str, str]]:
        """A message for the template: parts where it knows of pictures, else text with MARKs.

        A single text comes after its pictures, as in LLaVA's training; several stay where they are among them.
        """
        texts = [part for part in message.parts if isinstance(part, str)]
        parts = [*message.pictures, *texts] if len(texts) == 1 else message.parts
        if self.by_parts:
            return [{"type": "image"} if isinstance(p, Picture) else {"type": "text", "text": self.harmless(p)} for p in parts]
        return "\n".join(MARK if isinstance(p, Picture) else self.harmless(p) for p in parts)

    def harmless(self, text: str) -> str:
        """A person's words, unable to end their turn or begin another's: control tokens are taken apart."""
        for token in self.reserved:
            if token and token in text:
                text = text.replace(token, token[0] + "\u200b" + token[1:])
        return text

    def text(self, ids: Iterator[int | None], stop: tuple[str, ...]) -> Iterator[str]:
        """Token ids as they come → whole characters, up to a stop string, which is left out; nothing for None."""
        stream, held = DecodeStream(skip_special_tokens=True), ""
        for token in ids:
            if token is None:
                yield ""
                continue
            held += stream.step(self.tokenizer, token) or ""
            ends = [place for s in stop if (place := held.find(s)) >= 0]
            if ends:
                yield held[: min(ends)]
                return
            ready = len(held) - begun(held, stop)
            if ready:
                yield held[:ready]
            held = held[ready:]
        if held:
            yield held


def begun(text: str, stop: tuple[str, ...]) -> int:
    """How many of the last characters may be the beginning of a stop string."""
    return max((n for s in stop for n in range(1, len(s)) if text.endswith(s[:n])), default=0)


def refuse(reason: str) -> None:
    """What templates call to refuse a conversation."""
    raise jinja2.TemplateError(reason)
