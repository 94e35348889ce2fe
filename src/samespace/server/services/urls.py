"""URLs in requests → bytes: data URIs, and http URLs where they are allowed, but never from inside the network."""

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

from ...assistant.request import Picture
from ...core.errors import RequestError

MAX_BYTES = 32_000_000
"""Bytes of one file."""
SECONDS, REDIRECTS = 10, 3
"""Time for a download, and how many redirects are followed."""
NAT64 = ipaddress.ip_network("64:ff9b::/96")
"""IPv6 addresses that carry an IPv4 address in their last 32 bits. RFC 6052."""
DATA_URI = re.compile(
    r"data:(?P<kind>[\w.+-]+/[\w.+-]+)?(?:;\s*[\w=.+\"-]+)*?(?P<base64>;\s*base64)?\s*,", re.ASCII | re.IGNORECASE
)

URL_ALPHABET = str.maketrans("-_", "+/")
"""RFC 4648, §5 → §4."""


def read_picture(url: str, urls_allowed: bool) -> Picture:
    """Return the image behind a data URI, or behind an http URL where `urls_allowed`. Raises RequestError."""
    if url[:5].lower() == "data:":
        return Picture(decode_data_uri(url), "the picture in the request")
    if not url.startswith(("http://", "https://")):
        raise RequestError("a picture is given as a data URI (data:image/png;base64,…) or an http URL; correct image_url")
    if not urls_allowed:
        raise RequestError(
            "http URLs are not fetched here; send the picture as a data URI, or start: samespace serve --allow-urls"
        )
    return Picture(fetch(url), "the picture behind the URL")


def decode_data_uri(url: str) -> bytes:
    """Return the bytes of a data URI (RFC 2397). Raises RequestError."""
    match = DATA_URI.match(url)
    if match is None:
        raise RequestError("the data URI cannot be understood; write data:image/png;base64, and then the picture in base64")
    body = url[match.end() :]
    if len(body) > 4 * MAX_BYTES / 3 + 4:
        raise RequestError(f"what is sent is over {MAX_BYTES // 10**6} MB; send a smaller one")
    try:
        return from_base64(body) if match["base64"] else unquote_to_bytes(body)
    except (binascii.Error, ValueError) as error:
        raise RequestError(f"the picture is not valid base64 ({error}); encode the file's bytes") from None


def from_base64(text: str) -> bytes:
    """Return the bytes of base64 in lines, without padding, or in the alphabet of URLs. RFC 4648, §4 and §5. Raises ValueError."""
    text = unquote_to_bytes("".join(text.split())).decode("ascii").translate(URL_ALPHABET).rstrip("=")
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)


def fetch(url: str) -> bytes:
    """Return the bytes behind a URL, from public addresses only, redirects included. Raises RequestError."""
    deadline, host = time.monotonic() + SECONDS, url
    for _ in range(REDIRECTS + 1):
        try:
            parts = urlsplit(url)
            host = parts.hostname or ""
            connection, sock = connect(parts.scheme, host, parts.port)
            with contextlib.closing(connection), closed_at(sock, deadline):
                path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
                connection.request("GET", path, headers={"Accept": "image/*"})
                response = connection.getresponse()
                location = response.getheader("Location")
                if response.status in (301, 302, 303, 307, 308) and location:
                    url = urljoin(url, location)
                    continue
                if response.status != 200:
                    raise RequestError(f"{host} answers {response.status}; check the URL, or send a data URI")
                return read_body(response, deadline)
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise RequestError(f"{host} does not give the picture ({error}); check the URL, or send a data URI") from None
    raise RequestError(f"the URL leads through more than {REDIRECTS} redirects; give the last one")


def read_body(response: http.client.HTTPResponse, deadline: float) -> bytes:
    """Return the whole body. Raises RequestError where it is over MAX_BYTES, TimeoutError after the deadline."""
    data = b""
    while part := response.read1(1 << 16):
        data += part
        if len(data) > MAX_BYTES:
            raise RequestError(f"the picture is over {MAX_BYTES // 10**6} MB; send a smaller one")
        if time.monotonic() > deadline:
            break
    if time.monotonic() > deadline:  # a connection that was shut looks like a body that has ended
        raise TimeoutError(f"it took more than {SECONDS} seconds")
    return data


@contextlib.contextmanager
def closed_at(sock: socket.socket, deadline: float) -> Iterator[None]:
    """Shut a connection at the deadline: response headers may come a byte at a time for hours."""
    timer = threading.Timer(deadline - time.monotonic(), shut, [sock])
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def shut(sock: socket.socket) -> None:
    """Shut a connection; do nothing where it is closed already."""
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def connect(scheme: str, host: str, port: int | None) -> tuple[http.client.HTTPConnection, socket.socket]:
    """Connect to a public host; return the connection and its socket. Raises RequestError, OSError.

    The address that was checked is the one connected to: a name that resolves differently the second time leads nowhere.
    """
    if scheme not in ("http", "https"):
        raise RequestError("only http and https URLs are fetched; send the picture as a data URI")
    port = port or {"http": 80, "https": 443}[scheme]
    infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = sorted({str(info[4][0]).partition("%")[0] for info in infos}, key=lambda a: ":" in a)  # IPv4 first
    if not addresses or not all(map(is_public, addresses)):
        raise RequestError(f"{host} is an address inside this network, and is not fetched from; send the picture as a data URI")
    sock = socket.create_connection((addresses[0], port), timeout=SECONDS)
    if scheme == "https":
        sock = ssl.create_default_context().wrap_socket(sock, server_hostname=host)
    connection = http.client.HTTPConnection(host, port, timeout=SECONDS)
    connection.sock = sock
    return connection, sock


def is_public(address: str) -> bool:
    """Whether an address is of the public internet, and so is an IPv4 address embedded in it."""
    ip = ipaddress.ip_address(address)
    addresses: list[ipaddress.IPv4Address | ipaddress.IPv6Address] = [ip]
    if isinstance(ip, ipaddress.IPv6Address):
        addresses += [v4 for v4 in (ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())) if v4]
        addresses += [ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)] if ip in NAT64 else []
    return all(part.is_global and not part.is_multicast for part in addresses)
