"""/app/lesson: what the course computes on the running models.

What needs torch is imported when it is first needed, so that the server starts sooner.
"""

from collections.abc import Callable
from dataclasses import asdict
from threading import Lock
from typing import Any

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, JSONResponse

from ...core.errors import UnknownAssistant
from ...course.photographs import find_photograph
from ..services.schemas import ContrastRequest, ImageSizeRequest, OperateRequest, PatchRequest, TraceRequest
from ..services.state import State
from ..services.threads import while_wanted
from ..services.urls import read_picture

COMPUTING = Lock()
"""Held by what takes much memory for a moment: one at a time."""

router = APIRouter(prefix="/app/lesson")


@router.get("/photographs/{name}")
def photograph(name: str) -> FileResponse:
    """Return one of the demo's photographs."""
    path = find_photograph(name)
    if path is None:
        raise HTTPException(404, f"there is no photograph {name[:40]!r}; choose one of your own")
    return FileResponse(path)


@router.post("/contrast")
async def contrast(body: ContrastRequest, request: Request) -> dict[str, Any]:
    """Train a batch of pairs for a few steps."""

    def trained(check: Callable[..., None]) -> dict[str, Any]:
        from ...course.contrast import train_pairs

        with COMPUTING:
            check()
            return asdict(train_pairs(body.images, body.texts, body.temperature))

    return await while_wanted(request, trained)


@router.post("/patch")
async def patch(body: PatchRequest, request: Request, state: State) -> JSONResponse:
    """Return what the image tower computes for one patch."""

    def values(check: Callable[..., None]) -> JSONResponse:
        from ...course.patches import patch_values

        with COMPUTING:
            check()
            found = patch_values(state.library.space, read_picture(body.picture, urls_allowed=False), body.patch)
        return JSONResponse(found)  # written in the thread: it is all of a tower's attention

    return await while_wanted(request, values)


@router.post("/operate")
def operate(body: OperateRequest, state: State) -> dict[str, Any]:
    """Do a task on a page that comes along, and return every step."""
    from ...course.screen_loop import operate_page

    return operate_page(state.library.space, body.task)


@router.post("/sides")
def token_cost(body: ImageSizeRequest, state: State) -> dict[str, Any]:
    """Return what an image of this size costs the assistant in tokens; nothing where that is not known."""
    from ...course.token_costs import assistant_cost

    try:
        cost = assistant_cost(state.assistant.open(), body.width, body.height)
    except UnknownAssistant:  # none is installed: the table leaves it out
        cost = None
    return asdict(cost) if cost else {}


@router.post("/trace")
def trace(body: TraceRequest, state: State) -> dict[str, Any]:
    """Return every intermediate value of the assistant for one question."""
    from ...explain.report import as_json
    from ...explain.trace import trace

    picture = read_picture(body.picture, urls_allowed=False)
    return as_json(trace(state.assistant.open(), picture, body.question, body.max_tokens))
