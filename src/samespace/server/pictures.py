"""Pictures out of requests: data URIs, and http URLs where they are allowed, but never from inside the network."""

import base64
import binascii
import contextlib
import http.client
import ipaddress
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from urllib.parse import unquote_to_bytes, urljoin, urlsplit

from ..assistant.request import Picture
from ..core.errors import RequestError

MAX_BYTES = 32_000_000
"""Of one picture."""
SECONDS, REDIRECTS = 10, 3
NAT64 = ipaddress.ip_network("64:ff9b::/96")
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
        raise RequestError(f"what is sent is over {MAX_BYTES // 10**6} MB; send a smaller one")
    try:
        return base64.b64decode(body, validate=True) if match["base64"] else unquote_to_bytes(body)
    except (binascii.Error, ValueError) as error:
        raise RequestError(f"the picture is not valid base64 ({error}); encode the file's bytes") from None


def fetch(url: str) -> bytes:
    """The bytes behind a URL, from public addresses only, redirects included. Raises RequestError."""
    deadline, host = time.monotonic() + SECONDS, url
    for _ in range(REDIRECTS + 1):
        try:
            parts = urlsplit(url)
            host = parts.hostname or ""
            with contextlib.closing(connect(parts.scheme, host, parts.port)) as connection, ended(connection.sock, deadline):
                path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
                connection.request("GET", path, headers={"Accept": "image/*"})
                response = connection.getresponse()
                if response.status in (301, 302, 303, 307, 308) and response.getheader("Location"):
                    url = urljoin(url, response.getheader("Location"))
                    continue
                if response.status != 200:
                    raise RequestError(f"{host} answers {response.status}; check the URL, or send a data URI")
                return received(response, deadline)
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise RequestError(f"{host} does not give the picture ({error}); check the URL, or send a data URI") from None
    raise RequestError(f"the URL leads through more than {REDIRECTS} redirects; give the last one")


def received(response: http.client.HTTPResponse, deadline: float) -> bytes:
    """The whole body, of bearable size, in bearable time."""
    data, part = b"", b" "
    while part:
        part = response.read1(1 << 16)
        data += part
        if len(data) > MAX_BYTES:
            raise RequestError(f"the picture is over {MAX_BYTES // 10**6} MB; send a smaller one")
        if time.monotonic() > deadline:
            raise TimeoutError(f"it took more than {SECONDS} seconds")
    return data


@contextlib.contextmanager
def ended(sock: socket.socket, deadline: float) -> Iterator[None]:
    """A connection that is shut at the deadline, whatever is still coming: a head may drip for hours."""
    timer = threading.Timer(deadline - time.monotonic(), shut, [sock])
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def shut(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def connect(scheme: str, host: str, port: int | None) -> http.client.HTTPConnection:
    """A connection to the very address that was checked: a name that resolves anew cannot turn it inwards."""
    if scheme not in ("http", "https"):
        raise RequestError("only http and https URLs are fetched; send the picture as a data URI")
    port = port or {"http": 80, "https": 443}[scheme]
    infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    found = sorted({info[4][0].partition("%")[0] for info in infos}, key=lambda a: ":" in a)  # IPv4 first
    if not found or not all(map(is_public, found)):
        raise RequestError(f"{host} is an address inside this network, and is not fetched from; send the picture as a data URI")
    sock = socket.create_connection((found[0], port), timeout=SECONDS)
    if scheme == "https":
        sock = ssl.create_default_context().wrap_socket(sock, server_hostname=host)
    connection = http.client.HTTPConnection(host, port, timeout=SECONDS)
    connection.sock = sock
    return connection


def is_public(address: str) -> bool:
    """Whether an address is of the open internet, and so is an IPv4 address that it may carry inside."""
    ip = ipaddress.ip_address(address)
    inside = [ip]
    if isinstance(ip, ipaddress.IPv6Address):
        inside += [v4 for v4 in (ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())) if v4]
        inside += [ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)] if ip in NAT64 else []
    return all(part.is_global for part in inside)
