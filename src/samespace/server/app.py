"""The server as an ASGI app: its routes, and what stands before all of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles
from starlette.responses import Response
from starlette.types import ASGIApp

from .. import __version__
from ..library.library import Library
from .library_router import LibraryRouter
from .middleware import AccessMiddleware, BodyLimitMiddleware, HeadMiddleware, MetricsMiddleware
from .routes import api, course, health, lab, marks, media, pages, search
from .services.errors import add_error_handlers
from .services.lazy_assistant import LazyAssistant
from .services.state import ServerState, Shared

STATIC = Path(__file__).with_name("static")
"""Scripts and styles of the pages."""


class CurrentFiles(StaticFiles):
    """Files that a browser asks for again each time, and is told when they are the same: scripts fit the pages of one version."""

    def file_response(self, *args: Any, **settings: Any) -> Response:
        """Return a file, or that it has not changed."""
        response = super().file_response(*args, **settings)
        response.headers["Cache-Control"] = "no-cache"
        return response


def create_server(
    libraries: Sequence[Library],
    assistant: str = "starter",
    key: str = "",
    allow_urls: bool = False,
    hosts: Sequence[str] = (),
) -> ASGIApp:
    """Build an app for one library, or for several with a choice of them on every page; settings as of create_app."""
    lazy_assistant, shared, locations = LazyAssistant(assistant), Shared(), [str(library.location) for library in libraries]
    apps = {
        location: create_app(library, lazy_assistant, key, allow_urls, hosts, locations, shared)
        for location, library in zip(locations, libraries)
    }
    return LibraryRouter(apps) if len(apps) > 1 else apps[locations[0]]


def create_app(
    library: Library,
    assistant: str | LazyAssistant = "starter",
    key: str = "",
    allow_urls: bool = False,
    hosts: Sequence[str] = (),
    locations: Sequence[str] = (),
    shared: Shared | None = None,
) -> FastAPI:
    """Build the app of one library.

    With `key`, all routes but /health require it as a bearer token. `allow_urls` lets requests name images by http URLs.
    `hosts` are names of this machine in addition to localhost. `locations` are the libraries that the pages offer, if several.
    """
    lazy_assistant = assistant if isinstance(assistant, LazyAssistant) else LazyAssistant(assistant)
    state = ServerState(library, lazy_assistant, shared or Shared(), key, allow_urls, tuple(locations))
    app = FastAPI(title="samespace", version=__version__, docs_url=None, redoc_url=None)
    app.state.server = state
    add_error_handlers(app, pages.missing_page)
    app.add_middleware(HeadMiddleware)  # the one added last is passed first
    app.add_middleware(BodyLimitMiddleware)
    app.add_middleware(AccessMiddleware, key=key, hosts=tuple(hosts))
    app.add_middleware(MetricsMiddleware, metrics=state.metrics)
    for routes in (health, api, pages, search, marks, media, course, lab):
        app.include_router(routes.router)
    app.mount("/static", CurrentFiles(directory=STATIC))
    return app
