"""An OpenAI-compatible endpoint as the assistant: vLLM, Ollama, llama.cpp, or a hosted model."""

import os
from collections.abc import Iterator, Sequence
from math import exp
from typing import Any

from ..core.errors import EndpointFailed, MissingExtra, RequestError, UnknownAssistant, error_summary
from ..media.image import data_uri, jpeg
from .request import Message, Outcome, Picture, Reply, Request
from .thoughts import BEGIN, ONLY_THOUGHTS, without_thoughts

SIDE = 1024
"""Images are sent with the longer side at most twice this, in pixels, as JPEG."""
NONSENSE = (ValueError, IndexError, AttributeError, TypeError)
"""What the client raises where an answer has another shape than it should."""
LIKELIEST = 20
"""Tokens whose likelihoods are asked for: most that OpenAI gives."""
KEY, OPENAI_KEY, OPENAI = "SAMESPACE_ASSISTANT_KEY", "OPENAI_API_KEY", "https://api.openai.com/"
"""Environment variables of the endpoint's key; OpenAI's own is sent to OpenAI only."""


class Endpoint:
    """The assistant at `https://host/v1#model`; without a model, the endpoint's first.

    Raises MissingExtra, and UnknownAssistant where the endpoint does not list its models.
    """

    takes_sound = False

    def __init__(self, address: str):
        try:
            import openai
        except ImportError:
            raise MissingExtra("asking an endpoint", "ask") from None
        self._base_url, _, model = address.partition("#")
        key = os.environ.get(KEY) or (os.environ.get(OPENAI_KEY) if self._base_url.startswith(OPENAI) else "") or "none"
        self._openai_error, self._bad_request = openai.OpenAIError, openai.BadRequestError
        try:
            self.client = openai.OpenAI(base_url=self._base_url, api_key=key)
        except Exception as error:  # its client's errors of addresses have no base in common
            raise UnknownAssistant(
                f"{address!r} is no address ({error_summary(error)}); write one as http://HOST:PORT/v1#MODEL"
            ) from None
        self.name = model or self._first_model()

    @property
    def room(self) -> int:
        """0: endpoints do not say how many tokens they take."""
        return 0

    def picture_tokens(self, picture: Picture) -> int:
        """0: they do not say either how many a picture takes."""
        return 0

    def answer(self, request: Request) -> Reply:
        """Begin to answer. Raises RequestError where the endpoint fails or refuses, UnreadableMedia."""
        outcome = Outcome()
        settings: dict[str, Any] = {"max_tokens": request.max_tokens, "temperature": request.temperature}
        settings |= {"top_p": request.top_p} if request.top_p < 1 else {}  # some take no two of them
        settings |= {"seed": request.seed} if request.seed is not None else {}
        settings |= {"stop": list(request.stop)} if request.stop else {}
        settings |= {"stream": True, "stream_options": {"include_usage": True}}
        try:
            stream = self._created(messages=[_openai_message(m) for m in request.messages], **settings)
        except self._openai_error as error:
            raise self._request_error(error) from None
        return Reply(without_thoughts(self._pieces(stream, outcome)), outcome)

    def choose(self, request: Request, answers: Sequence[str]) -> list[float]:
        """Return how likely each of several short answers is, by the likelihoods of its first token; or by the answer, where it gives none.

        Raises as `answer`.
        """
        messages = [_openai_message(message) for message in request.messages]
        settings: dict[str, Any] = {"messages": messages, "max_tokens": 4, "temperature": 0.0}
        try:
            try:
                answer = self._created(**settings, logprobs=True, top_logprobs=LIKELIEST)
            except self._bad_request:  # it gives no likelihoods
                answer = self._created(**settings)
            choice = answer.choices[0]
            likely = choice.logprobs.content[0].top_logprobs if choice.logprobs and choice.logprobs.content else []
            words = [(one.token, exp(one.logprob)) for one in likely] or [(choice.message.content or "", 1.0)]
        except (self._openai_error, *NONSENSE) as error:
            raise self._request_error(error) from None
        if not words[0][0].strip() or words[0][0].strip().startswith(BEGIN[:-1]):
            raise RequestError(f"{self.name} thinks before it answers, and cannot choose at once; name another model")
        plain = [(word.strip().lower(), p) for word, p in words]
        return _shares([sum(p for word, p in plain if word.startswith(answer.lower())) for answer in answers])

    def _created(self, max_tokens: int, temperature: float, **settings: Any) -> Any:
        """Return what the endpoint answers, or its stream; models that reason have another name for the limit, and a temperature of their own.

        Raises openai.OpenAIError.
        """
        create = self.client.chat.completions.create
        try:
            return create(model=self.name, max_tokens=max_tokens, temperature=temperature, **settings)
        except self._bad_request as error:
            if not any(name in str(error) for name in ("max_tokens", "max_completion_tokens", "temperature")):
                raise
            return create(model=self.name, max_completion_tokens=max_tokens, **settings)

    def _first_model(self) -> str:
        """Return the name of the endpoint's first model. Raises UnknownAssistant."""
        try:
            return str(next(iter(self.client.models.list())).id)
        except (self._openai_error, StopIteration) as error:
            raise UnknownAssistant(f"{self._base_url} names no model ({error}); give one: {self._base_url}#MODEL") from None

    def _pieces(self, stream: Any, outcome: Outcome) -> Iterator[str]:
        """Yield the answer's pieces as they arrive, and fill in its outcome. Raises RequestError."""
        came = False
        try:
            with stream:
                for chunk in stream:
                    if chunk.usage:
                        outcome.prompt, outcome.answer = chunk.usage.prompt_tokens, chunk.usage.completion_tokens
                    for choice in chunk.choices:
                        outcome.finish = choice.finish_reason or outcome.finish
                        if choice.delta.content:
                            came = True
                            yield choice.delta.content
        except (self._openai_error, *NONSENSE) as error:
            raise self._request_error(error) from None
        if not came and outcome.finish == "length":  # its thoughts came elsewhere
            raise RequestError(ONLY_THOUGHTS)

    def _request_error(self, error: Exception) -> RequestError:
        """Return the client's error as ours: a request that it does not take, or that it fails."""
        kind = RequestError if isinstance(error, self._bad_request) else EndpointFailed
        return kind(f"{self._base_url} does not answer ({error_summary(error)}); check address, model and key")


def _openai_message(message: Message) -> Any:
    """Return a message in OpenAI's format. Raises UnreadableMedia."""
    if not message.pictures:
        return {"role": message.role, "content": "\n".join(map(str, message.parts))}
    parts = [
        {"type": "image_url", "image_url": {"url": _image_url(part)}}
        if isinstance(part, Picture)
        else {"type": "text", "text": part}
        for part in message.parts
    ]
    return {"role": message.role, "content": parts}


def _image_url(picture: Picture) -> str:
    """Return an image, upright and scaled down, as a data URI. Raises UnreadableMedia."""
    return data_uri(jpeg(picture.decode(SIDE), 2 * SIDE, 90), "jpeg")


def _shares(weights: Sequence[float]) -> list[float]:
    """Return weights at a sum of 1; all alike where there is none."""
    total = sum(weights)
    return [weight / total if total > 0 else 1 / len(weights) for weight in weights]
