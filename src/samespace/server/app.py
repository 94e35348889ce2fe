"""The routes, and what stands before all of them: the host's name, the key, the size, the counters."""

import hmac
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from .. import __version__
from ..assistant.open import open_assistant
from ..assistant.request import Answers, Outcome
from ..core.errors import RequestError, SamespaceError, UnknownAssistant
from ..core.paths import to_text
from ..library.library import Library
from .chat import complete
from .compare import add_comparison
from .course import add_lesson
from .embeddings import embeddings
from .errors import refusal, refusal_of
from .library_router import Switch
from .pages import COOKIE, add_pages, add_questions
from .schemas import ChatRequest, EmbeddingRequest, SearchRequest

ROUTES = "the routes are /v1/models, embeddings, chat/completions and search, and the pages"
MAX_BODY = 64_000_000
"""Bytes of a request."""
TOO_LARGE = f"the request is over {MAX_BODY // 10**6} MB; send less"


class Answering:
    """The assistant, opened by the first question."""

    def __init__(self, name: str):
        self.name, self.opened, self.lock = name, None, threading.Lock()

    def assistant(self, model: str = "") -> Answers:
        """Raises UnknownAssistant where another model is asked for."""
        with self.lock:
            self.opened = self.opened or open_assistant(self.name)
        if model not in ("", self.opened.name, self.name):
            raise UnknownAssistant(f"the model {model!r} is not served here; ask for {self.opened.name!r}")
        return self.opened


class Counters:
    """What /metrics tells, in a registry of this server's own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("samespace_requests_total", "Requests.", ["route", "status"], registry=self.registry)
        self.seconds = Histogram(
            "samespace_request_seconds", "Seconds to the head of the answer.", ["route"], registry=self.registry
        )
        self.tokens = Counter("samespace_tokens_total", "Tokens.", ["kind"], registry=self.registry)

    def answered(self, outcome: Outcome) -> None:
        for kind in ("prompt", "pictures", "reused", "answer"):
            self.tokens.labels(kind).inc(getattr(outcome, kind))


def create_server(libraries: Sequence[Library], assistant: str = "starter", **settings: Any) -> Any:
    """An ASGI app for one library, or for several with a choice of them on every page; settings as of create_app."""
    answering, names = Answering(assistant), [str(library.home) for library in libraries]
    apps = {name: create_app(one, answering, names=names, **settings) for name, one in zip(names, libraries)}
    return Switch(apps) if len(apps) > 1 else apps[names[0]]


def create_app(
    library: Library,
    assistant: str | Answering = "starter",
    key: str = "",
    allow_urls: bool = False,
    hosts: tuple = (),
    names: Sequence[str] = (),
) -> FastAPI:
    """The server as an ASGI app. With `key`, all routes but /health ask for it as a bearer token.

    `names` are the folders of the libraries that the pages offer, where there are several.
    """
    answering = assistant if isinstance(assistant, Answering) else Answering(assistant)
    app, counters = FastAPI(title="samespace", version=__version__, docs_url=None, redoc_url=None), Counters()
    refuse_in_our_shape(app)
    app.add_middleware(Guard, key=key, hosts=("127.0.0.1", "localhost", "::1", *hosts), counters=counters)

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok", "version": __version__}

    @app.get("/metrics")
    def metrics() -> Response:
        return Response(generate_latest(counters.registry), media_type=CONTENT_TYPE_LATEST)

    @app.get("/v1/models")
    def models() -> dict[str, Any]:
        known = [library.space.handle, answering.name]
        return {
            "object": "list",
            "data": [{"id": n, "object": "model", "created": 0, "owned_by": "samespace"} for n in dict.fromkeys(known)],
        }

    @app.post("/v1/embeddings")
    def embed(said: EmbeddingRequest) -> JSONResponse:
        return JSONResponse(embeddings(said, library.space, allow_urls))

    @app.post("/v1/search")
    def search(said: SearchRequest) -> dict[str, Any]:
        hits = library.search(said.query, said.top, min_relevance=said.min_relevance, files=False)
        return {"object": "list", "data": [asdict(hit) | {"path": to_text(hit.path)} for hit in hits]}

    @app.post("/v1/chat/completions")
    async def chat(said: ChatRequest, http: Request) -> Response:
        opened = await run_in_threadpool(answering.assistant, said.model)
        return await complete(said, opened, http, allow_urls, counters.answered)

    add_pages(app, library, answering.name, names)
    add_questions(app, library, bool(key))
    add_comparison(app, library)
    add_lesson(app, library.space, answering.assistant)
    return app


def refuse_in_our_shape(app: FastAPI) -> None:
    """Handlers that turn every error into OpenAI's shape."""

    @app.exception_handler(SamespaceError)
    async def ours(_: Request, error: SamespaceError) -> Response:
        return refusal_of(error)

    @app.exception_handler(RequestValidationError)
    async def malformed(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        place = ".".join(str(p) for p in first["loc"] if p != "body")
        return refusal(
            400, f"{place or 'the body'}: {first['msg']}; correct the request", "invalid_request_error", param=place or None
        )

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> Response:
        unknown = error.detail == "Not Found"  # Starlette's own word for a path that nothing answers
        reason = f"{error.detail}; {ROUTES}" if unknown else error.detail
        return refusal(error.status_code, reason, "invalid_request_error")

    @app.exception_handler(Exception)
    async def unforeseen(_: Request, error: Exception) -> Response:
        return refusal(500, f"something went wrong here ({type(error).__name__}); the server goes on", "server_error")


class Guard:
    """What stands before every route, as plain ASGI so that a client's leaving reaches them: the host's name, the key, the
    size. After each: the counters."""

    def __init__(self, app: Any, key: str, hosts: tuple[str, ...], counters: Counters):
        self.app, self.key, self.counters = app, key, counters
        self.hosts = {f"[{h}]" if ":" in h and not h.startswith("[") else h for h in hosts}

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status, left = time.perf_counter(), 500, MAX_BODY

        async def counted() -> dict[str, Any]:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:  # of a body that came without its length; the route is given up, whatever it makes of that
                raise RequestError(TOO_LARGE)
            return message

        async def noted(message: dict[str, Any]) -> None:
            nonlocal status
            if left >= 0:
                status = message.get("status", status)
                await send(message)

        try:
            refused = self.refused(Request(scope))
            await (refused or self.app)(scope, counted, noted)
            if left < 0:
                status = 413
                await refusal(status, TOO_LARGE, "invalid_request_error")(scope, receive, send)
        finally:
            route = getattr(scope.get("route"), "path", "none")
            self.counters.requests.labels(route, status).inc()
            self.counters.seconds.labels(route).observe(time.perf_counter() - started)

    def refused(self, http: Request) -> Response | None:
        """The answer to a request that goes no further."""
        host = http.headers.get("host", "")
        if (host if host.endswith("]") else host.rpartition(":")[0] or host) not in self.hosts:
            return refusal(400, f"{host!r} is no name of this server; start it with --allow-host", "invalid_request_error")
        origin = http.headers.get("origin")
        if origin and http.method not in ("GET", "HEAD") and origin.partition("://")[2] != host:
            return refusal(
                403, f"requests from pages of {origin!r} are refused; ask from a page of this server", "permission_error"
            )
        if self.key and http.scope["path"] != "/health" and not hmac.compare_digest(told_key(http), self.key.encode()):
            reason = "the key is missing or wrong; send it as a bearer token, or open the page once as /?key=KEY"
            return refusal(401, reason, "authentication_error", "invalid_api_key")
        if int(http.headers.get("content-length") or 0) > MAX_BODY:
            return refusal(413, TOO_LARGE, "invalid_request_error")
        return None


def told_key(http: Request) -> bytes:
    """The key a client gives: a bearer token; a browser opens /?key=KEY once, and has it as a cookie from then on."""
    bearer = http.headers.get("authorization", "").removeprefix("Bearer ")
    asked = http.query_params.get("key", "") if http.scope["path"] == "/" else ""
    return (bearer or asked or http.cookies.get(COOKIE, "")).encode()
