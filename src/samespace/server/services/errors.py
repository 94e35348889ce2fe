"""Every error response in OpenAI's shape."""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from ...core.errors import (
    EndpointFailed,
    LibraryBusy,
    MissingExtra,
    MissingLibrary,
    OperationStopped,
    QueryError,
    RequestError,
    SamespaceError,
    UnknownAssistant,
    UnknownGenerator,
    UnknownSpace,
    UnreadableMedia,
    WrongSpace,
    as_utf8,
)

STATUS: list[tuple[tuple[type[SamespaceError], ...], int, str]] = [
    ((EndpointFailed,), 502, "server_error"),
    ((RequestError, QueryError, UnreadableMedia), 400, "invalid_request_error"),
    ((UnknownAssistant, UnknownGenerator, UnknownSpace, MissingLibrary), 404, "not_found_error"),
    ((LibraryBusy, WrongSpace), 409, "conflict_error"),
    ((MissingExtra,), 501, "server_error"),
    ((OperationStopped,), 503, "server_error"),
]
"""Errors, the status they are answered with, and OpenAI's type of error; others are 500."""
ROUTES = "the routes are /v1/models, embeddings, rerank, chat/completions and search, and the pages"


def error_body(message: str, kind: str, code: str | None = None, param: str | None = None) -> dict[str, Any]:
    """Return the body of an error response; `kind` is OpenAI's type of error."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def error_response(status: int, message: str, kind: str, code: str | None = None, param: str | None = None) -> JSONResponse:
    """Return an error response."""
    return JSONResponse(error_body(as_utf8(message), kind, code, param), status)


def sentence(error: Exception) -> str:
    """Return what a person reads of an error: its own sentence, or that something unforeseen happened."""
    return (
        str(error)
        if isinstance(error, SamespaceError)
        else f"something went wrong here ({type(error).__name__}); the server goes on"
    )


def add_error_handlers(app: FastAPI, missing_page: Callable[[Request], Response]) -> None:
    """Answer every error in OpenAI's shape, and browsers that ask for a page that is not there with `missing_page`."""

    @app.exception_handler(SamespaceError)
    async def on_samespace_error(_: Request, error: SamespaceError) -> Response:
        status, kind = next(((s, k) for kinds, s, k in STATUS if isinstance(error, kinds)), (500, "server_error"))
        return error_response(status, str(error), kind)

    @app.exception_handler(RequestValidationError)
    async def on_invalid_request(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        where = () if first["type"] == "json_invalid" else first["loc"]  # else a position in the text
        field = ".".join(str(part) for part in where if part != "body")
        message = f"{field or 'the body'}: {first['msg']}; correct the request"
        return error_response(400, message, "invalid_request_error", param=field or None)

    @app.exception_handler(HTTPException)
    async def on_http_error(request: Request, error: HTTPException) -> Response:
        if isinstance(error.__cause__, SamespaceError):  # raised while the body was read
            return await on_samespace_error(request, error.__cause__)
        no_route = error.detail == "Not Found"  # Starlette's detail where no route matches
        if no_route and "text/html" in request.headers.get("accept", "") and not request.url.path.startswith("/v1/"):
            return await run_in_threadpool(missing_page, request)
        message = f"{error.detail}; {ROUTES}" if no_route else error.detail
        response = error_response(error.status_code, message, "invalid_request_error")
        response.headers.update(error.headers or {})
        return response

    @app.exception_handler(Exception)
    async def on_unexpected_error(_: Request, error: Exception) -> Response:
        return error_response(500, sentence(error), "server_error")
