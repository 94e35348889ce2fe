"""/v1/chat/completions: answers whole, or streamed as server-sent events."""

import time
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from ...assistant.request import AssistantBackend, Outcome, Reply
from .errors import error_body, sentence
from .events import event
from .schemas import ChatRequest
from .threads import answering, preparing

OnEnd = Callable[[Outcome], None]
"""Called when an answer has ended, however it did."""


async def complete(
    body: ChatRequest, assistant: AssistantBackend, request: Request, urls_allowed: bool, on_end: OnEnd
) -> Response:  # fmt: skip
    """Answer a conversation. Raises RequestError, UnreadableMedia."""
    conversation = await preparing(body.request, urls_allowed)
    reply = await preparing(assistant.answer, conversation)
    pieces = until_disconnect(reply, request, on_end)
    head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": body.model}
    if body.stream:
        include_usage = bool(body.stream_options and body.stream_options.include_usage)
        return StreamingResponse(events(pieces, reply, head, include_usage), media_type="text/event-stream")
    text = "".join([piece async for piece in pieces])
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": reply.outcome.finish}
    return JSONResponse(head | {"object": "chat.completion", "choices": [choice], "usage": usage(reply.outcome)})


async def until_disconnect(reply: Reply, request: Request, on_end: OnEnd) -> AsyncIterator[str]:
    """Yield the pieces of an answer, until it ends or the client disconnects."""
    try:
        while (piece := await answering(next, reply.pieces, None)) is not None:
            yield piece
            if await request.is_disconnected():
                return
    finally:
        with anyio.CancelScope(shield=True):
            await answering(reply.close)  # may wait for a step of another answer
        on_end(reply.outcome)


async def events(pieces: AsyncIterator[str], reply: Reply, head: dict[str, Any], include_usage: bool) -> AsyncIterator[str]:
    """Yield an answer as server-sent events in OpenAI's shape."""
    head = head | {"object": "chat.completion.chunk"}

    def chunk(delta: dict[str, str], finish: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return event(head | {"choices": [choice]} | ({"usage": None} if include_usage else {}))

    try:
        yield chunk({"role": "assistant", "content": ""})
        async for piece in pieces:
            if piece:
                yield chunk({"content": piece})
        yield chunk({}, reply.outcome.finish)
        if include_usage:
            yield event(head | {"choices": [], "usage": usage(reply.outcome)})
    except Exception as error:  # the status has been sent: all that is left is an event
        yield event(error_body(sentence(error), "server_error"))
    yield "data: [DONE]\n\n"


def usage(outcome: Outcome) -> dict[str, Any]:
    """Return token counts in OpenAI's shape; images' tokens are among the prompt's."""
    return {
        "prompt_tokens": outcome.prompt,
        "completion_tokens": outcome.answer,
        "total_tokens": outcome.prompt + outcome.answer,
        "prompt_tokens_details": {"cached_tokens": outcome.reused, "image_tokens": outcome.pictures},
    }
