"""Several libraries behind one address: a cookie of the pages says which of them a request is about."""

from collections.abc import Mapping
from urllib.parse import unquote

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from .services.security import library_cookie


class LibraryRouter:
    """Passes each request to the app of the library in its cookie; to the first where there is none, or an unknown one."""

    def __init__(self, apps: Mapping[str, ASGIApp]):
        """`apps` are keyed by their library's location."""
        self.apps, self.first, self.cookie = apps, next(iter(apps.values())), library_cookie(apps)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        chosen = unquote(Request(scope).cookies.get(self.cookie, "")) if scope["type"] == "http" else ""
        await self.apps.get(chosen, self.first)(scope, receive, send)
