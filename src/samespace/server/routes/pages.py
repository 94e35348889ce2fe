"""The pages. They load nothing from anywhere but this server."""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Request
from jinja2 import Environment, FileSystemLoader
from starlette.responses import HTMLResponse, RedirectResponse, Response

from ...course.outline import MINUTES, PARTS
from ...library.demo import PHOTOGRAPHS
from ...library.search.where import FIELDS
from ...spaces.registry import SPACES
from ..services.installed import installed_models
from ..services.security import HEADERS, cookie_of, library_cookie
from ..services.state import ServerState, State

TEMPLATES = Environment(loader=FileSystemLoader(Path(__file__).parents[1] / "templates"), autoescape=True)

router = APIRouter()


def page(state: ServerState, template: str, **values: Any) -> HTMLResponse:
    """Render a page."""
    store = state.library.store
    values |= {"count": store.count() if store.exists else 0, "space": state.library.space.handle}
    values |= {
        "location": str(state.library.location),
        "locations": state.locations,
        "library_cookie": library_cookie(state.locations),
        "assistant": state.assistant.name,
    }
    fresh = HEADERS | {"Cache-Control": "no-store"}  # a page says how many files there are, and which library it is
    return HTMLResponse(TEMPLATES.get_template(template).render(page=template, **values), headers=fresh)


def missing_page(request: Request) -> HTMLResponse:
    """Return the page of an address that is none."""
    response = page(request.app.state.server, "missing.html")
    response.status_code = 404
    return response


@router.get("/")
def search_page(request: Request, state: State, key: str = "") -> Response:
    """Return the search page; with `key`, set it as a cookie first."""
    if key:
        response = RedirectResponse("/", headers=HEADERS)
        if state.key:  # it is the right one: the middleware has checked it
            response.set_cookie(*cookie_of(request, state.key), httponly=True, samesite="strict")
        return response
    return page(state, "search.html", fields=list(FIELDS))


@router.get("/places")
def places_page(state: State) -> HTMLResponse:
    """Return the map of the world, with where pictures were taken."""
    return page(state, "places.html")


@router.get("/map")
def map_page(state: State) -> HTMLResponse:
    """Return the map of the space."""
    return page(state, "map.html")


@router.get("/duplicates")
def duplicates_page(state: State) -> HTMLResponse:
    """Return the page to review copies."""
    return page(state, "duplicates.html")


@router.get("/ask")
def ask_page(state: State) -> HTMLResponse:
    """Return the page to ask about a picture."""
    return page(state, "ask.html", endpoint=urlsplit(state.assistant.name).hostname)


@router.get("/draw")
def draw_page(state: State) -> HTMLResponse:
    """Return the page to draw."""
    return page(state, "draw.html")


@router.get("/learn")
def course_page(state: State) -> HTMLResponse:
    """Return the course."""
    return page(state, "learn.html", photographs=PHOTOGRAPHS, parts=PARTS, minutes=MINUTES, generator=state.drawing.installed)


@router.get("/lab")
def lab_page(state: State) -> HTMLResponse:
    """Return the lab of long context, which follows the course."""
    return page(state, "lab.html")


@router.get("/spaces")
def spaces_page(state: State) -> HTMLResponse:
    """Return the installed spaces and assistants."""
    return page(state, "spaces.html", installed=installed_models(), names=list(SPACES.installed()))


@router.get("/library")
def library_page(state: State) -> HTMLResponse:
    """Return the library's folders."""
    store = state.library.store
    return page(state, "library.html", folders=store.folders() if store.exists else [])
