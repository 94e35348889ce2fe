"""Every refusal in OpenAI's shape."""

from typing import Any

from starlette.responses import JSONResponse

from ..core.errors import (
    LibraryBusy,
    MissingExtra,
    MissingLibrary,
    QueryError,
    RequestError,
    SamespaceError,
    UnknownAssistant,
    UnknownSpace,
    UnreadableMedia,
    as_utf8,
)

STATUS: list[tuple[tuple[type[SamespaceError], ...], int, str]] = [
    ((RequestError, QueryError, UnreadableMedia), 400, "invalid_request_error"),
    ((UnknownAssistant, UnknownSpace, MissingLibrary), 404, "not_found_error"),
    ((LibraryBusy,), 409, "conflict_error"),
    ((MissingExtra,), 501, "server_error"),
]


def error_body(message: str, kind: str, code: str | None = None, param: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def refusal(status: int, message: str, kind: str, code: str | None = None, param: str | None = None) -> JSONResponse:
    return JSONResponse(error_body(as_utf8(message), kind, code, param), status)


def refusal_of(error: SamespaceError) -> JSONResponse:
    """The answer to an error raised on purpose."""
    status, kind = next(((s, k) for kinds, s, k in STATUS if isinstance(error, kinds)), (500, "server_error"))
    return refusal(status, str(error), kind)
