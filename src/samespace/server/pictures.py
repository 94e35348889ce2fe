"""Pictures out of requests: data URIs, and http URLs where they are allowed, but never from inside the network."""

import base64
import binascii
import http.client
import ipaddress
import re
import socket
import ssl
from urllib.parse import unquote_to_bytes, urljoin, urlsplit

from ..assistant.request import Picture
from ..errors import RequestError

MAX_BYTES = 32_000_000
"""Of one picture."""
SECONDS, REDIRECTS = 10, 3
DATA = re.compile(r"data:(?P<kind>[\w.+-]+/[\w.+-]+)?(?:;[\w=.+-]+)*?(?P<base64>;base64)?,", re.ASCII)


def picture(url: str, urls_allowed: bool) -> Picture:
    """`data:image/png;base64,…`, or an http URL → a picture's bytes. Raises RequestError."""
    if url.startswith("data:"):
        return Picture(data_of(url), "the picture in the request")
    if not url.startswith(("http://", "https://")):
        raise RequestError("a picture is given as a data URI (data:image/png;base64,…) or an http URL; correct image_url")
    if not urls_allowed:
        raise RequestError(
            "http URLs are not fetched here; send the picture as a data URI, or start: samespace serve --allow-urls"
        )
    return Picture(fetch(url), "the picture behind the URL")


def data_of(url: str) -> bytes:
    """The bytes of a data URI. RFC 2397."""
    match = DATA.match(url)
    if match is None:
        raise RequestError("the data URI cannot be understood; write data:image/png;base64, and then the picture in base64")
    body = url[match.end() :]
    if len(body) > 4 * MAX_BYTES / 3 + 4:
        raise RequestError(f"the picture is over {MAX_BYTES // 10**6} MB; send a smaller one")
    try:
        return base64.b64decode(body, validate=True) if match["base64"] else unquote_to_bytes(body)
    except (binascii.Error, ValueError) as error:
        raise RequestError(f"the picture is not valid base64 ({error}); encode the file's bytes") from None


def fetch(url: str) -> bytes:
    """The bytes behind a URL, from public addresses only, redirects included. Raises RequestError."""
    for _ in range(REDIRECTS + 1):
        parts = urlsplit(url)
        try:
            connection = connect(parts.scheme, parts.hostname or "", parts.port)
            connection.request(
                "GET", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""), headers={"Accept": "image/*"}
            )
            response = connection.getresponse()
            if response.status in (301, 302, 303, 307, 308) and response.getheader("Location"):
                url = urljoin(url, response.getheader("Location"))
                continue
            data = response.read(MAX_BYTES + 1)
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise RequestError(
                f"{parts.hostname} does not give the picture ({error}); check the URL, or send a data URI"
            ) from None
        if response.status != 200:
            raise RequestError(f"{parts.hostname} answers {response.status}; check the URL, or send a data URI")
        if len(data) > MAX_BYTES:
            raise RequestError(f"the picture is over {MAX_BYTES // 10**6} MB; send a smaller one")
        return data
    raise RequestError(f"the URL leads through more than {REDIRECTS} redirects; give the last one")


def connect(scheme: str, host: str, port: int | None) -> http.client.HTTPConnection:
    """A connection to the very address that was checked: a name that resolves anew cannot turn it inwards."""
    if scheme not in ("http", "https"):
        raise RequestError("only http and https URLs are fetched; send the picture as a data URI")
    port = port or {"http": 80, "https": 443}[scheme]
    found = {info[4][0] for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    if not all(ipaddress.ip_address(address.partition("%")[0]).is_global for address in found):
        raise RequestError(f"{host} is an address inside this network, and is not fetched from; send the picture as a data URI")
    sock = socket.create_connection((found.pop(), port), timeout=SECONDS)
    if scheme == "https":
        sock = ssl.create_default_context().wrap_socket(sock, server_hostname=host)
    connection = http.client.HTTPConnection(host, port, timeout=SECONDS)
    connection.sock = sock
    return connection
