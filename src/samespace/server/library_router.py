"""Several libraries behind one address: which of them a request is about, the page keeps in a cookie."""

from typing import Any
from urllib.parse import unquote

from starlette.requests import Request

COOKIE = "samespace-library"


class Switch:
    """One app for each library, by the library's folder; the first where none, or one that is not here, is chosen."""

    def __init__(self, apps: dict[str, Any]):
        self.apps, self.first = apps, next(iter(apps.values()))

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        chosen = unquote(Request(scope).cookies.get(COOKIE, "")) if scope["type"] == "http" else ""
        await self.apps.get(chosen, self.first)(scope, receive, send)
