"""/pictures, /media and /app/export: what a segment looks like, files to play, and files to take along."""

import shutil
import tempfile
from pathlib import Path
from typing import Literal

from fastapi import APIRouter, Request
from starlette.background import BackgroundTask
from starlette.responses import FileResponse, Response

from ...core.errors import QueryError
from ...core.paths import to_path
from ...library.export import export
from ..services.library_media import is_within
from ..services.security import HEADERS
from ..services.state import Conditions, State

MOST_EXPORTED = 10_000
"""Files."""

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


@router.get("/app/export.{ending}")
def exported(ending: Literal["zip", "m3u", "html"], state: State, where: Conditions) -> FileResponse:
    """Return the files that meet conditions as a ZIP file, a playlist, or a page with small pictures."""
    roots = [to_path(root) for root, _ in state.library.store.folders()]
    found = state.library.search("", MOST_EXPORTED, where=where, group_by="file")
    hits = [hit for hit in found if is_within(hit.path, roots)]
    if not hits:
        raise QueryError("nothing here meets these conditions; loosen them")
    folder = Path(tempfile.mkdtemp())
    remove = BackgroundTask(shutil.rmtree, folder, ignore_errors=True)
    try:
        export(hits, folder / f"samespace.{ending}")
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return FileResponse(folder / f"samespace.{ending}", filename=f"samespace.{ending}", headers=HEADERS, background=remove)
