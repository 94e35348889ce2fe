"""/v1/chat/completions: whole, or streamed as server-sent events."""

import json
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

import anyio
from starlette.concurrency import iterate_in_threadpool, run_in_threadpool
from starlette.requests import Request as Http
from starlette.responses import JSONResponse, Response, StreamingResponse

from ..assistant.request import Answers, Outcome, Reply
from ..core.errors import SamespaceError
from .errors import error_body
from .schemas import ChatRequest


async def complete(said: ChatRequest, assistant: Answers, http: Http, urls_allowed: bool, count: Any) -> Response:
    """Answer a conversation. `count(outcome)` is called when the answer has ended, however it did."""
    request = await run_in_threadpool(said.request, urls_allowed)
    reply = await run_in_threadpool(assistant.answer, request)
    pieces = watched(reply, http, count)
    head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": said.model}
    if said.stream:
        usage = bool(said.stream_options and said.stream_options.include_usage)
        return StreamingResponse(events(pieces, reply, head, usage), media_type="text/event-stream")
    text = "".join([piece async for piece in pieces])
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": reply.outcome.finish}
    return JSONResponse(head | {"object": "chat.completion", "choices": [choice], "usage": usage_of(reply.outcome)})


async def watched(reply: Reply, http: Http, count: Any) -> AsyncIterator[str]:
    """The pieces of an answer, until its end or until the client has left."""
    try:
        async for piece in iterate_in_threadpool(reply.pieces):
            yield piece
            if await http.is_disconnected():
                return
    finally:
        with anyio.CancelScope(shield=True):
            await run_in_threadpool(reply.close)  # it may have to wait for a step of another answer
        count(reply.outcome)


async def events(pieces: AsyncIterator[str], reply: Reply, head: dict[str, Any], usage: bool) -> AsyncIterator[str]:
    """An answer as server-sent events in OpenAI's shape."""
    head = head | {"object": "chat.completion.chunk"}

    def event(delta: dict[str, str], finish: str | None = None) -> str:
        return line(
            head | {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]} | ({"usage": None} if usage else {})
        )

    try:
        yield event({"role": "assistant", "content": ""})
        async for piece in pieces:
            if piece:
                yield event({"content": piece})
        yield event({}, reply.outcome.finish)
        if usage:
            yield line(head | {"choices": [], "usage": usage_of(reply.outcome)})
    except Exception as error:  # the head has been sent: all that is left is to say so in the stream
        reason = str(error) if isinstance(error, SamespaceError) else f"something went wrong here ({type(error).__name__})"
        yield line(error_body(reason, "server_error"))
    yield "data: [DONE]\n\n"


def line(body: dict[str, Any]) -> str:
    return f"data: {json.dumps(body, ensure_ascii=False)}\n\n"


def usage_of(outcome: Outcome) -> dict[str, Any]:
    """Token counts; pictures' tokens are among the prompt's."""
    return {
        "prompt_tokens": outcome.prompt,
        "completion_tokens": outcome.answer,
        "total_tokens": outcome.prompt + outcome.answer,
        "prompt_tokens_details": {"cached_tokens": outcome.reused, "image_tokens": outcome.pictures},
    }
