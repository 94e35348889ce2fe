"""/app/lab: attention over long texts, computed on the running assistant's language model.

What needs torch is imported when it is first needed, so that the server starts sooner.
"""

import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from starlette.responses import StreamingResponse

from ...core.errors import UnknownAssistant
from ..services.errors import error_body, sentence
from ..services.events import event
from ..services.schemas import HeadRequest, LabTextRequest, LabVideoRequest, NeedlesRequest
from ..services.security import HEADERS
from ..services.state import State
from ..services.threads import one_by_one
from ..services.urls import read_picture

router = APIRouter(prefix="/app/lab")
DEPTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Where in a text a fact is hidden."""


def assistant_of(state: State) -> Any:
    """Return the running assistant. Raises UnknownAssistant where it runs elsewhere."""
    from ...assistant.engine import Assistant

    assistant = state.assistant.open()
    if not isinstance(assistant, Assistant):
        raise UnknownAssistant(
            f"{assistant.name} has no language model on this machine to look into; name another: --assistant starter"
        )
    return assistant


def language_of(state: State) -> Any:
    """Return the running assistant's language model. Raises UnknownAssistant where it runs elsewhere."""
    from ...assistant.language import Language

    assistant = assistant_of(state)
    return Language(assistant.model.lm, assistant.chat.tokenizer, "", {})


def stream(rows: Iterator[dict[str, Any]]) -> StreamingResponse:
    """Return rows as server-sent events; an error while they are made is the last one."""

    async def events() -> AsyncIterator[str]:
        try:
            async for row in one_by_one(rows):
                yield event(row)
        except Exception as error:  # the status has been sent
            yield event(error_body(sentence(error), "server_error"))

    return StreamingResponse(events(), media_type="text/event-stream", headers=HEADERS)


@router.post("/read")
def read(body: LabTextRequest, state: State) -> StreamingResponse:
    """Read a text with each kind of attention."""
    from ...explain.long_text import read_with

    language = language_of(state)
    return stream(asdict(result) for result in read_with(language, body.text, body.size))


@router.post("/video")
def video(body: LabVideoRequest, state: State) -> StreamingResponse:
    """Read a video and a question in one stream, with each kind of attention."""
    from ...explain.lab_video import video_as_stream
    from ...explain.long_text import read_stream_with

    assistant, language, sent = assistant_of(state), language_of(state), read_picture(body.media, urls_allowed=False)
    with tempfile.NamedTemporaryFile() as file:
        file.write(sent.data)
        file.flush()
        x, frames = video_as_stream(assistant, state.library.space, Path(file.name))
    return stream(asdict(result) for result in read_stream_with(language, x, frames, body.size))


@router.post("/head")
def head(body: HeadRequest, state: State) -> dict[str, Any]:
    """Return the queries, keys and values of one head for the beginning of a text."""
    from ...explain.long_text import head

    return asdict(head(language_of(state), body.text, body.layer, body.head))


@router.get("/costs")
def costs(state: State, size: int = 128) -> StreamingResponse:
    """Time the attention of one layer at growing lengths, on this machine."""
    from ...explain.long_text import costs

    language = language_of(state)
    return stream(costs(language.model.c, min(max(size, 16), 1024)))


@router.get("/context")
def context(state: State, tokens: int) -> dict[str, Any]:
    """Return what changes in the model's settings for a longer context."""
    from ...explain.long_text import stretched

    return stretched(language_of(state).model.c, tokens)


@router.post("/needles")
def needles(body: NeedlesRequest, state: State) -> StreamingResponse:
    """Hide a fact at each depth and length, and say where it is found again."""
    from ...explain.long_text import needles

    language = language_of(state)
    return stream(needles(language, body.text, body.lengths, DEPTHS))
