"""/app: what the pages of search, spaces and the library ask."""

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import JSONResponse, StreamingResponse

from ...core.paths import to_path
from ..services.schemas import CompareRequest, DrawRequest, FolderRequest, PageSearchRequest, WeightedTerm
from ..services.search_page import listed_json
from ..services.security import HEADERS
from ..services.state import Conditions, State, check_may_change
from ..services.threads import one_by_one, while_wanted, working

Words = Annotated[str, Query(max_length=200)]

router = APIRouter(prefix="/app")


@router.post("/search")
async def search(body: PageSearchRequest, request: Request, state: State) -> JSONResponse:
    """Search by words and media."""

    def found(check: Callable[..., None]) -> JSONResponse:
        results = state.search_page.search(body, check)
        if body.on_map:
            results = replace(results, hits=state.map_page.with_points(results.hits))
        return JSONResponse(
            vars(results)
        )  # written in the thread, and not a dict: FastAPI would validate every number of every hit

    return await while_wanted(request, found)


@router.get("/timeline")
def timeline(state: State, where: Conditions = "") -> dict[str, Any]:
    """Return what is needed to lay out the timeline."""
    return asdict(state.timeline.outline(where))


@router.get("/timeline/items")
def timeline_items(
    state: State,
    first: Annotated[int, Query(ge=0)],
    count: Annotated[int, Query(ge=1, le=1000)],
    where: Conditions = "",
    version: Annotated[str, Query(max_length=64)] = "",
) -> JSONResponse:
    """Return some files of the timeline, as long as it is the version that was laid out."""
    return JSONResponse({"items": state.timeline.items(where, first, count, version)})


@router.get("/places")
def places(state: State, where: Conditions = "") -> JSONResponse:
    """Return the files of which it is known where they were taken."""
    return JSONResponse({"points": state.timeline.places(where)})


@router.get("/map")
def space_map(state: State, where: Conditions = "") -> JSONResponse:
    """Return the map of the space, as far as it meets conditions."""
    return JSONResponse(state.map_page.layout(where))


@router.get("/map/state")
def map_state(state: State) -> dict[str, Any]:
    """Return whether there is a map, or one is being made."""
    return asdict(state.map_page.state)


@router.post("/map", status_code=202, dependencies=[Depends(check_may_change)])
def make_map(state: State) -> dict[str, str]:
    """Begin to lay the library out."""
    state.map_page.start()
    return {"status": "begun"}


@router.get("/folders")
def folders(state: State) -> dict[str, Any]:
    """Return the folders that hold files, and how many each holds."""
    return {"folders": state.timeline.folders()}


@router.get("/stack/{id}")
def stack(id: str, state: State) -> JSONResponse:
    """Return the files of a segment's stack, the newest first."""
    return JSONResponse({"files": [listed_json(hit) for hit in state.library.stack(id)]})


@router.post("/vector")
async def vector(body: WeightedTerm, request: Request, state: State) -> dict[str, Any]:
    """Embed a file that is sent."""
    z = await while_wanted(request, lambda check: state.search_page.vector(body, check))
    return {"z": np.round(z, 5).tolist()}


@router.get("/why/{id}")
async def heatmaps(id: str, words: Words, request: Request, state: State) -> JSONResponse:
    """Return heat maps of a hit, row by row: for the words together, then for each."""

    def found(check: Callable[..., None]) -> JSONResponse:
        maps = state.search_page.heatmaps(id, words, check)
        return JSONResponse({"words": words.split(), "maps": np.round(maps, 4).tolist()})

    return await while_wanted(request, found)


@router.get("/marks/{id}")
def marked_words(id: str, words: Words, state: State) -> dict[str, Any]:
    """Return where words are on a hit's page."""
    return {"boxes": state.search_page.marked_words(id, words)}


@router.post("/draw")
async def draw(body: DrawRequest, state: State) -> StreamingResponse:
    """Stream the steps of drawings."""
    return StreamingResponse(
        one_by_one(await working(state.drawing.events, body)), media_type="text/event-stream", headers=HEADERS
    )


@router.post("/compare")
async def compare(body: CompareRequest, state: State) -> dict[str, Any]:
    """Rank the same pictures by several spaces."""
    return {"spaces": [asdict(await working(state.comparison.rank, name, body.query)) for name in body.spaces]}


@router.post("/index", status_code=202, dependencies=[Depends(check_may_change)])
def index(body: FolderRequest, state: State) -> dict[str, str]:
    """Begin to index a folder."""
    state.indexing.start(body.folder)
    return {"status": "begun"}


@router.get("/index")
async def indexing_events(state: State) -> StreamingResponse:
    """Stream the progress of indexing, until nothing is running."""
    return StreamingResponse(state.indexing.events(), media_type="text/event-stream", headers=HEADERS)


@router.post("/forget", dependencies=[Depends(check_may_change)])
def forget(body: FolderRequest, state: State) -> dict[str, int]:
    """Remove what is indexed of a folder from the library."""
    return {"forgotten": state.library.forget([to_path(body.folder)])}
