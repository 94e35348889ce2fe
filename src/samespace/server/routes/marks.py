"""/app: what people say of their files: tags, albums, stars, favourites, hidden files, saved searches."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Depends

from ...library.store.marks import Mark
from ..services.schemas import MarkRequest, SavedSearchRequest
from ..services.state import State, check_may_change

router = APIRouter(prefix="/app")


@router.get("/mark/{id}")
def mark_of(id: str, state: State) -> dict[str, Any]:
    """Return what is said of a segment's file."""
    segment = state.media.segment(id)
    return asdict(state.library.marks.read().files.get(segment.path, Mark(segment.hash)))


@router.post("/mark", dependencies=[Depends(check_may_change)])
def mark(body: MarkRequest, state: State) -> dict[str, int]:
    """Say something of files."""
    paths = {state.media.segment(id).path for id in body.ids}
    return {"marked": state.library.mark(paths, body.change)}


@router.get("/albums")
def albums(state: State) -> dict[str, Any]:
    """Return albums, tags and saved searches, and how many favourites and hidden files there are."""
    contents = state.library.marks.read()
    return {
        "albums": contents.albums(),
        "tags": contents.tags(),
        "searches": dict(contents.searches),
        "favourites": sum(mark.favourite for mark in contents.files.values()),
        "hidden": sum(mark.hidden for mark in contents.files.values()),
    }


@router.post("/searches", dependencies=[Depends(check_may_change)])
def save_search(body: SavedSearchRequest, state: State) -> dict[str, str]:
    """Keep a search under a name, or forget it."""
    state.library.save_search(body.name, body.query)
    return {"status": "saved" if body.query.strip() else "forgotten"}
