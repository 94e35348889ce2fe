"""/pictures, /media and /app/export: what a segment looks like, files to play, and files to take along."""

import tempfile
from pathlib import Path
from typing import Literal

from fastapi import APIRouter, Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, Response, StreamingResponse

from ...core.errors import QueryError
from ...core.paths import to_path
from ...library.export import export, zip_pieces
from ..services.library_media import SMALL, is_within
from ..services.security import HEADERS
from ..services.state import Conditions, State, check_may_change
from ..services.threads import decoding

MOST_EXPORTED = 10_000
"""Files."""
TYPES = {"m3u": "audio/x-mpegurl", "html": "text/html; charset=utf-8"}
"""Ending → media type."""

router = APIRouter()


@router.get("/pictures/{id}/{size}")
async def picture(id: str, size: Literal["small", "large"], request: Request, state: State) -> Response:
    """Return a segment as a JPEG without metadata."""
    segment = await run_in_threadpool(state.media.segment, id)
    headers = HEADERS | {"ETag": f'"{segment.hash}-{id}"', "Cache-Control": "private, max-age=60"}
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    stored = await run_in_threadpool(state.media.stored, segment) if size == SMALL else None
    data = stored or await decoding(state.media.jpeg, segment, size)
    return Response(data, media_type="image/jpeg", headers=headers)


@router.get("/media/{id}")
def playable_file(id: str, state: State) -> FileResponse:
    """Return the audio or video file of a segment, or the range of it that is asked for."""
    return FileResponse(state.media.playable_file(state.media.segment(id)), headers=HEADERS)


@router.get("/app/export.{ending}", dependencies=[Depends(check_may_change)])
def exported(ending: Literal["zip", "m3u", "html"], state: State, where: Conditions) -> Response:
    """Return the files that meet conditions as a ZIP file, a playlist, or a page with small pictures.

    They are the originals, with all that is in them, and so for those who may change the library.
    """
    roots = [to_path(root) for root, _ in state.library.store.folders()]
    found = state.library.search("", MOST_EXPORTED + 1, where=where, group_by="file")
    if len(found) > MOST_EXPORTED:
        raise QueryError(
            f"more than {MOST_EXPORTED:,} files meet these conditions; narrow them, and take the files along in parts"
        )
    hits = [hit for hit in found if is_within(hit.path, roots)]
    if not hits:
        raise QueryError("nothing here meets these conditions; loosen them")
    headers = HEADERS | {"Content-Disposition": f'attachment; filename="samespace.{ending}"'}
    if ending == "zip":
        return StreamingResponse(
            zip_pieces(dict.fromkeys(hit.path for hit in hits)), media_type="application/zip", headers=headers
        )
    with tempfile.TemporaryDirectory() as folder:
        export(hits, file := Path(folder) / f"samespace.{ending}")
        return Response(file.read_bytes(), media_type=TYPES[ending], headers=headers)
