"""Who may ask what: the key, the headers of pages, and whether a request comes from this machine."""

import hashlib
import hmac
from collections.abc import Collection
from ipaddress import ip_address

from starlette.requests import Request

LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""Names of this machine, which only it reaches."""
KEY_COOKIE = "samespace-key-{port}"
"""Cookie that stands for the key in a browser; other servers of this machine are sent it too, whatever their port."""
FORWARDED = {"forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip"}
"""Headers that proxies add."""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "media-src 'self' blob:; connect-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Headers of every page and media file: no script but ours, no request to anywhere else."""


def key_in(request: Request) -> bytes:
    """Return the key that a client sends: a bearer token, or `?key=` of the first page, which sets a cookie in its place."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    bearer = token.strip() if scheme.lower() == "bearer" else ""  # RFC 9110, §11.1: in any case of letters
    parameter = request.query_params.get("key", "") if request.scope["path"] == "/" else ""
    return (bearer or parameter).encode()


def cookie_of(request: Request, key: str) -> tuple[str, str]:
    """Return the name and the value of the cookie that stands for a key: nobody who is sent it learns the key."""
    port = (request.scope.get("server") or ("", 0))[1]
    return KEY_COOKIE.format(port=port), hmac.new(key.encode(), b"samespace cookie", "sha256").hexdigest()


def library_cookie(locations: Collection[str]) -> str:
    """Return the name of the cookie that says which of some libraries the pages show: other servers of this machine have others."""
    return f"samespace-library-{hashlib.sha256(repr(sorted(locations)).encode()).hexdigest()[:8]}"


def has_key(request: Request, key: str) -> bool:
    """Whether a request has the key, or the cookie that stands for it."""
    name, value = cookie_of(request, key)
    return hmac.compare_digest(key_in(request), key.encode()) or hmac.compare_digest(
        request.cookies.get(name, "").encode(), value.encode()
    )


def host_name(request: Request) -> str:
    """Return the name by which a request calls this server, without brackets and port, in lower case."""
    host = request.headers.get("host", "").lower()
    return (host if host.endswith("]") else host.rpartition(":")[0] or host).strip("[]")


def is_loopback(request: Request) -> bool:
    """Whether a request comes from this machine, and not through a proxy that says so, or is called by another name."""
    try:
        is_local = request.client is not None and ip_address(request.client.host).is_loopback
    except ValueError:
        return False
    return is_local and host_name(request) in LOOPBACK and not FORWARDED & set(request.headers)
