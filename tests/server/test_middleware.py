"""Which requests are refused before they reach a route."""

import asyncio
import hmac
import threading

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from samespace.core.errors import OperationStopped
from samespace.server.middleware import AccessMiddleware, HeadMiddleware, MetricsMiddleware
from samespace.server.services.metrics import Metrics
from samespace.server.services.security import is_loopback
from samespace.server.services.threads import LOOK_SECONDS, while_wanted


def app_with(key: str = "", hosts: tuple[str, ...] = ()):
    inner = Starlette(routes=[Route("/{path:path}", lambda _: PlainTextResponse("passed"), methods=["GET", "POST"])])
    return AccessMiddleware(inner, key, hosts)


@pytest.mark.parametrize(
    ("host", "status"),
    [("127.0.0.1", 200), ("localhost:8077", 200), ("[::1]", 200), ("[::1]:8077", 200), ("[fe80::1]:80", 200), ("nas:80", 200),
     ("[::2]", 400), ("evil.example", 400), ("localhost.evil.example", 400), ("", 400)],
)  # fmt: skip
def test_host_names(host, status):
    client = TestClient(app_with(hosts=("nas", "fe80::1")))
    response = client.get("/", headers={"Host": host})
    assert response.status_code == status
    assert status == 200 or "--allow-host" in response.json()["error"]["message"]


def test_a_key_is_accepted_in_three_ways():
    client = TestClient(app_with("sesame"), base_url="http://localhost")
    assert client.get("/").json()["error"]["code"] == "invalid_api_key"
    assert client.get("/health").text == "passed"
    assert client.get("/x", headers={"Authorization": "Bearer sesame"}).text == "passed"
    assert client.get("/?key=sesame").text == "passed" and client.get("/x?key=sesame").status_code == 401
    client.cookies.set("samespace-key-80", "sesame")  # whoever is sent a cookie does not learn the key
    assert client.get("/x").status_code == 401
    client.cookies.set("samespace-key-80", hmac.new(b"sesame", b"samespace cookie", "sha256").hexdigest())
    assert client.get("/x").text == "passed"


def test_refused_requests_are_counted_too():
    metrics = Metrics()
    client = TestClient(MetricsMiddleware(app_with(), metrics), base_url="http://localhost")
    client.get("/x", headers={"Host": "evil.example"})
    assert 'samespace_requests_total{route="none",status="400"} 1.0' in metrics.text().decode()


@pytest.mark.parametrize(
    ("client", "headers", "local"),
    [("127.0.0.1", [], True), ("::1", [], True), ("192.168.0.7", [], False), ("no address", [], False),
     ("127.0.0.1", [(b"x-forwarded-for", b"192.168.0.7")], False), ("127.0.0.1", [(b"forwarded", b"for=x")], False),
     ("127.0.0.1", [(b"via", b"1.1 proxy")], False), ("127.0.0.1", [(b"host", b"photos.example.org")], False),
     ("::1", [(b"host", b"[::1]:8077")], True), ("127.0.0.1", [(b"host", b"LocalHost:8077")], True)],
)  # fmt: skip
def test_requests_from_this_machine(client, headers, local):
    headers = headers if any(name == b"host" for name, _ in headers) else [*headers, (b"host", b"127.0.0.1:8077")]
    assert is_loopback(Request({"type": "http", "client": (client, 50000), "headers": headers})) == local


def test_names_of_this_server_have_no_case():
    client = TestClient(app_with(hosts=("MyMac.local",)), base_url="http://mymac.local:8077")
    assert client.get("/x").status_code == 200
    assert client.post("/x", headers={"Origin": "http://MyMac.local:8077"}).status_code != 403


def test_head_is_get_without_its_body():
    async def hello(request):
        return PlainTextResponse("hello")

    client = TestClient(
        HeadMiddleware(Starlette(routes=[Route("/x", hello, methods=["GET"]), Route("/app/x", hello, methods=["POST"])]))
    )
    response = client.head("/x")
    assert (response.status_code, response.text, response.headers["content-length"]) == (200, "", "5")
    refused = client.head("/app/x")
    assert refused.status_code == 405 and refused.headers["allow"] == "POST"


def test_what_nobody_waits_for_is_not_done():
    """A request whose client has gone while another held the lock does not begin when its turn comes."""
    lock, done = threading.Lock(), []

    class Left:
        async def is_disconnected(self):
            return True

    def work(check):
        with lock:
            check()
            done.append(1)

    async def main():
        with lock:
            waiting = asyncio.ensure_future(while_wanted(Left(), work))
            await asyncio.sleep(2 * LOOK_SECONDS)
        with pytest.raises(OperationStopped):
            await waiting

    asyncio.run(main())
    assert not done


def test_a_request_without_an_address_is_not_from_this_machine():
    assert not is_loopback(Request({"type": "http", "client": None, "headers": []}))
