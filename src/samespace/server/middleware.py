"""What every request passes before a route: metrics, access, and the limit on its size.

Plain ASGI rather than Starlette's BaseHTTPMiddleware, so that a route still notices when its client disconnects.
"""

import asyncio
import time

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..core.errors import RequestError
from .services.errors import error_response
from .services.metrics import Metrics
from .services.security import LOOPBACK, has_key, host_name

MAX_BODY = 64_000_000
"""Bytes of a request."""
BODY_SECONDS = 300.0
"""In which all of a request has to arrive."""
WORKING = ("/app/", "/v1/", "/pictures/", "/media/")
"""Beginnings of the routes that do some work or show what is in a library; pages may be linked to from anywhere."""


class MetricsMiddleware:
    """Counts each request with its route, status and time."""

    def __init__(self, app: ASGIApp, metrics: Metrics):
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def send_and_note(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self.app(scope, receive, send_and_note)
        finally:
            route = getattr(scope.get("route"), "path", "none")
            self.metrics.count_request(route, status, time.perf_counter() - started)


class AccessMiddleware:
    """Refuses requests to other host names, from other sites' pages, and without the key."""

    # Starlette's TrustedHostMiddleware is not used: it answers in plain text, and cannot name --allow-host.

    def __init__(self, app: ASGIApp, key: str, hosts: tuple[str, ...]):
        """`key` is empty where none is needed; `hosts` are allowed in addition to LOOPBACK."""
        self.app, self.key = app, key
        self.hosts = {host.lower().strip("[]") for host in (*LOOPBACK, *hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self.refusal(Request(scope)) if scope["type"] == "http" else None
        await (refusal or self.app)(scope, receive, send)

    def refusal(self, request: Request) -> Response | None:
        """Return the response to a request that is refused, or None."""
        host = request.headers.get("host", "").lower()
        if host_name(request) not in self.hosts:
            message = f"{host!r} is not a name of this server; start it with --allow-host"
            return error_response(400, message, "invalid_request_error")
        origin = request.headers.get("origin")
        if origin and request.method not in ("GET", "HEAD") and origin.partition("://")[2].lower() != host:
            message = f"requests from pages of {origin!r} are refused; ask from a page of this server"
            return error_response(403, message, "permission_error")
        elsewhere = request.headers.get("sec-fetch-site") in ("cross-site", "same-site")  # a picture in a page has no origin
        if elsewhere and request.scope["path"].startswith(WORKING):
            message = "requests from pages of other sites are refused; ask from a page of this server"
            return error_response(403, message, "permission_error")
        needs_key = self.key and request.scope["path"] != "/health"
        if needs_key and not has_key(request, self.key):
            message = "the key is missing or wrong; send it as a bearer token, or open the page once as /?key=KEY"
            refusal = error_response(401, message, "authentication_error", "invalid_api_key")
            refusal.headers["WWW-Authenticate"] = "Bearer"
            return refusal
        return None


class HeadMiddleware:
    """Answers HEAD as GET, without the body: monitors, players and download programs ask so. /app streams, and has none."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD" or scope["path"].startswith("/app/"):
            await self.app(scope, receive, send)
            return

        async def send_without_body(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        await self.app({**scope, "method": "GET"}, receive, send_without_body)


class BodyLimitMiddleware:
    """Refuses requests that are too large, whether they announce their length or not, or do not come to their end."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        message = f"the request is over {MAX_BODY // 10**6} MB; send less"
        too_large = error_response(413, message, "invalid_request_error")
        if int(Headers(scope=scope).get("content-length") or 0) > MAX_BODY:
            await too_large(scope, receive, send)
            return
        received, complete, due = 0, False, asyncio.get_running_loop().time() + BODY_SECONDS

        async def receive_limited() -> Message:
            nonlocal received, complete
            try:
                async with asyncio.timeout_at(None if complete else due):
                    part = await receive()
            except TimeoutError:
                raise RequestError(
                    f"the request did not arrive within {BODY_SECONDS:g} seconds; send less, or in a faster way"
                ) from None
            complete = complete or not part.get("more_body")
            received += len(part.get("body", b""))
            if received > MAX_BODY:
                raise RequestError(message)
            return part

        async def send_unless_too_large(part: Message) -> None:
            if received <= MAX_BODY:
                await send(part)

        await self.app(scope, receive_limited, send_unless_too_large)
        if received > MAX_BODY:  # whatever the route made of that error, this is the response
            await too_large(scope, receive, send)
