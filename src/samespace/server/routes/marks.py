"""/app: what people say of their files: tags, albums, stars, favourites, hidden files, saved searches, words; and of copies."""

from dataclasses import asdict
from itertools import islice
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from starlette.responses import JSONResponse

from ...core.paths import to_path, to_text
from ...library.duplicates import TrashReport
from ...library.store.marks import Mark
from ..services.schemas import ConceptRequest, MarkRequest, SavedSearchRequest, TrashRequest
from ..services.search_page import hit_json
from ..services.state import Conditions, State, check_may_change

MOST_MARKED, MOST_EXAMPLES = 100_000, 100
"""Most files that are marked at once, and most examples of a word, where conditions say which."""

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
    if body.where.strip():
        paths |= {hit.path for hit in state.library.search("", MOST_MARKED, where=body.where, group_by="file")}
    return {"marked": state.library.mark(paths, body.change)}


@router.get("/albums")
def albums(state: State) -> dict[str, Any]:
    """Return albums, tags and saved searches, and how many favourites and hidden files there are."""
    contents = state.library.marks.read()
    if state.library.exists:
        indexed = state.library.store.of_files(state.library.space.fingerprint, contents.files)
        contents = contents.of({to_path(segment["path"]) for segment in indexed})
    return {
        "albums": contents.albums(),
        "tags": contents.tags(),
        "searches": dict(contents.searches),
        "favourites": sum(mark.favourite for mark in contents.files.values()),
        "hidden": sum(mark.hidden for mark in contents.files.values()),
    }


@router.post("/sidecars", dependencies=[Depends(check_may_change)])
def write_sidecars(state: State, where: Conditions = "") -> dict[str, Any]:
    """Write tags, people and stars into XMP files beside the files that meet conditions."""
    written, problems = state.library.write_sidecars(where)
    return {"written": written, "problems": [f"{to_text(path)}: {reason}" for path, reason in problems]}


@router.post("/searches", dependencies=[Depends(check_may_change)])
def save_search(body: SavedSearchRequest, state: State) -> dict[str, str]:
    """Keep a search under a name, or forget it."""
    state.library.save_search(body.name, body.query)
    return {"status": "saved" if body.query.strip() else "forgotten"}


@router.get("/concepts")
def concepts(state: State) -> dict[str, Any]:
    """Return the words that were taught, and how many examples each has for and against."""
    if not state.library.exists:
        return {"concepts": []}
    found = state.library.concepts.read().concepts.values()
    return {"concepts": [{"name": c.name, "yes": len(c.yes), "no": len(c.no)} for c in found]}


@router.post("/concepts", dependencies=[Depends(check_may_change)])
def learn(body: ConceptRequest, state: State) -> dict[str, Any]:
    """Teach a word by examples."""
    yes, no = ([state.media.segment(id) for id in ids] for ids in (body.yes, body.no))
    if body.where.strip():
        found = state.library.search("", MOST_MARKED, where=body.where)
        yes += [state.media.segment(hit.id) for hit in found[:: max(1, len(found) // MOST_EXAMPLES)]]
    concept = state.library.learn(body.name, yes, no)
    return {"name": concept.name, "yes": len(concept.yes), "no": len(concept.no)}


@router.delete("/concepts/{name:path}", dependencies=[Depends(check_may_change)])
def forget_concept(name: str, state: State) -> dict[str, str]:
    """Forget a word."""
    state.library.concepts.forget(name)
    return {"status": "forgotten"}


@router.get("/duplicates")
def duplicates(
    state: State, where: Conditions = "", first: Annotated[int, Query(ge=0)] = 0, count: Annotated[int, Query(ge=1, le=100)] = 20
) -> JSONResponse:
    """Return some groups of copies, and whether there are more."""
    groups = list(islice(state.library.duplicates(where, first), count + 1)) if state.library.exists else []
    shown = [
        {"id": g.id, "why": g.why, "copies": [hit_json(copy.hit) | {"has": copy.facts} for copy in g.copies]} for g in groups
    ]
    return JSONResponse({"groups": shown[:count], "more": len(shown) > count})


@router.post("/duplicates/{id}/accept", dependencies=[Depends(check_may_change)])
def accept_duplicates(id: str, state: State) -> dict[str, str]:
    """Keep all files of a group: it is not shown again."""
    state.library.review.accept(id)
    return {"status": "accepted"}


@router.post("/trash", dependencies=[Depends(check_may_change)])
def trash(body: TrashRequest, state: State) -> dict[str, Any]:
    """Move copies to the system's trash."""
    return _trashed(state.library.trash({state.media.segment(id).path for id in body.ids}))


@router.post("/trash/undo", dependencies=[Depends(check_may_change)])
def undo_trash(state: State) -> dict[str, Any]:
    """Take back what was moved to the trash last."""
    return _trashed(state.library.restore_trashed())


def _trashed(report: TrashReport) -> dict[str, Any]:
    return {"moved": len(report.moved), "problems": [f"{to_text(path)}: {reason}" for path, reason in report.problems]}
