"""/pictures and /media: what a segment looks like, and files to play."""

from typing import Literal

from fastapi import APIRouter, Request
from starlette.responses import FileResponse, Response

from ..services.security import HEADERS
from ..services.state import State

router = APIRouter()


@router.get("/pictures/{id}/{size}")
def picture(id: str, size: Literal["small", "large"], request: Request, state: State) -> Response:
    """Return a segment as a JPEG without metadata."""
    segment = state.media.segment(id)
    headers = HEADERS | {"ETag": f'"{segment.hash}-{id}"', "Cache-Control": "private, max-age=60"}
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return Response(state.media.jpeg(segment, size), media_type="image/jpeg", headers=headers)


@router.get("/media/{id}")
def playable_file(id: str, state: State) -> FileResponse:
    """Return the audio or video file of a segment, or the range of it that is asked for."""
    return FileResponse(state.media.playable_file(state.media.segment(id)), headers=HEADERS)
