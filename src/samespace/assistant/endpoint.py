"""Any OpenAI-compatible endpoint as the assistant: vLLM, Ollama, llama.cpp, or a hosted model."""

import base64
import os
from collections.abc import Iterator
from typing import Any

from ..core.errors import MissingExtra, RequestError, UnknownAssistant, error_summary
from ..media.image import jpeg
from .request import Message, Outcome, Picture, Reply, Request

SIDE = 1024
"""Pictures are sent with their shorter side no longer than about twice this, as JPEG."""
KEY, OPENAI_KEY, OPENAI = "SAMESPACE_ASSISTANT_KEY", "OPENAI_API_KEY", "https://api.openai.com/"
"""Environment variables of the endpoint's key; OpenAI's own is sent to OpenAI only."""


class Endpoint:
    """`https://host/v1#model`; without a model, the endpoint's first."""

    def __init__(self, address: str):
        try:
            import openai
        except ImportError:
            raise MissingExtra("asking an endpoint", "ask") from None
        base, _, model = address.partition("#")
        key = os.environ.get(KEY) or (os.environ.get(OPENAI_KEY) if base.startswith(OPENAI) else "") or "none"
        self.errors, self.base = openai.OpenAIError, base
        self.client = openai.OpenAI(base_url=base, api_key=key)
        self.name = model or self.first_model()

    def first_model(self) -> str:
        try:
            return next(iter(self.client.models.list())).id
        except (self.errors, StopIteration) as error:
            raise UnknownAssistant(f"{self.base} names no model ({error}); give one: {self.base}#MODEL") from None

    def answer(self, request: Request) -> Reply:
        """Begin to answer. Raises RequestError where the endpoint refuses."""
        outcome = Outcome()
        settings: dict[str, Any] = {"max_tokens": request.max_tokens, "temperature": request.temperature, "top_p": request.top_p}
        settings |= {"seed": request.seed} if request.seed is not None else {}
        settings |= {"stop": list(request.stop)} if request.stop else {}
        try:
            stream = self.client.chat.completions.create(
                model=self.name, messages=[self.message(m) for m in request.messages], stream=True,
                stream_options={"include_usage": True}, **settings,
            )  # fmt: skip
        except self.errors as error:
            raise self.refused(error) from None
        return Reply(self.pieces(stream, outcome), outcome)

    def pieces(self, stream: Any, outcome: Outcome) -> Iterator[str]:
        try:
            with stream:
                for chunk in stream:
                    if chunk.usage:
                        outcome.prompt, outcome.answer = chunk.usage.prompt_tokens, chunk.usage.completion_tokens
                    for choice in chunk.choices:
                        outcome.finish = choice.finish_reason or outcome.finish
                        if choice.delta.content:
                            yield choice.delta.content
        except self.errors as error:
            raise self.refused(error) from None

    def refused(self, error: Exception) -> RequestError:
        return RequestError(f"{self.base} does not answer ({error_summary(error)}); check address, model and key")

    def message(self, message: Message) -> dict[str, Any]:
        """A message in OpenAI's shape."""
        parts = [
            {"type": "image_url", "image_url": {"url": data_uri(part)}}
            if isinstance(part, Picture)
            else {"type": "text", "text": part}
            for part in message.parts
        ]
        return {"role": message.role, "content": parts if message.pictures else "\n".join(map(str, message.parts))}


def data_uri(picture: Picture) -> str:
    """A picture upright, of bearable size, as a data URI. Raises UnreadableMedia."""
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg(picture.decoded(SIDE), 2 * SIDE, 90)).decode()}"
