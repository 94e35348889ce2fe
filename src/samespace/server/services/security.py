"""Who may ask what: the key, the headers of pages, and whether a request comes from this machine."""

from ipaddress import ip_address
from urllib.parse import unquote

from starlette.requests import Request

LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""Names of this machine, which only it reaches."""
KEY_COOKIE = "samespace-key"
"""Cookie that holds the key in a browser."""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "media-src 'self' blob:; connect-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Headers of every page and media file: no script but ours, no request to anywhere else."""


def key_in(request: Request) -> bytes:
    """Return the key that a client sends: a bearer token, `?key=` of the first page, or the cookie that this page sets."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    bearer = token.strip() if scheme.lower() == "bearer" else ""  # RFC 9110, §11.1: in any case of letters
    parameter = request.query_params.get("key", "") if request.scope["path"] == "/" else ""
    return (bearer or parameter or unquote(request.cookies.get(KEY_COOKIE, ""))).encode()


def is_loopback(request: Request) -> bool:
    """Whether a request comes from this machine, and not through a proxy."""
    try:
        is_local = request.client is not None and ip_address(request.client.host).is_loopback
    except ValueError:
        return False
    return is_local and not {"forwarded", "x-forwarded-for"} & set(request.headers)
