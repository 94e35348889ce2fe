"""Through which doors nobody gets in: other sites, other names, other files, addresses inside the network, names that are scripts."""

import socket
import urllib.request

import numpy as np
import pytest
from chromium import needs_chromium, opened
from fastapi.testclient import TestClient
from PIL import Image
from serving import serving

import samespace
from samespace.core.errors import RequestError
from samespace.library.contact_sheet import write_contact_sheet
from samespace.library.library import Library
from samespace.server.app import create_app
from samespace.server.services import urls
from samespace.server.services.schemas import MOST_PARTS, MOST_PICTURES, ChatRequest

HERE = "http://127.0.0.1"
SCRIPT = "<img src=x onerror=\"window.hacked=1\">&'x'.png"
"""A file's name, and a caption, that would run in a page that trusted it."""


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    folder = tmp_path_factory.mktemp("doors") / "album"
    folder.mkdir()
    exif = Image.Exif()
    exif[0x010E] = f"</script><script>window.hacked=2</script>{SCRIPT}"
    for i, name in enumerate((SCRIPT, "javascript:window.hacked=3.png", "plain.png")):
        pixels = np.random.default_rng(i).integers(0, 255, (120, 160, 3), np.uint8)
        Image.fromarray(pixels).save(folder / name, exif=exif)
    (folder.parent / "secret.txt").write_text("secret", "utf-8")
    library = Library(folder.parent / "library", samespace.load("starter"))
    library.add([folder])
    return library


@pytest.fixture(scope="module")
def app(library):
    return create_app(library)


def test_a_key_of_any_letters_opens_the_page(library):
    """As a cookie it may have neither of these characters; without a key on the server, none is set."""
    key = "ключ; €\r\nSet-Cookie: x=1"
    locked, free = (TestClient(create_app(library, key=key), base_url=HERE) for key in (key, ""))
    assert locked.get("/").status_code == 401
    assert locked.get("/", params={"key": key}).status_code == 200 and locked.get("/").status_code == 200
    assert "x" not in locked.cookies
    assert free.get("/", params={"key": key}).status_code == 200 and not free.cookies


@pytest.fixture
def web(app):
    return TestClient(app, base_url=HERE, client=("127.0.0.1", 50_000))


def changing(app):
    """Return every route that is not a mere question: its method and a path."""
    for path, methods in app.openapi()["paths"].items():
        for method in set(methods) - {"get", "head"}:
            yield method, path.format(id="x", name="x", size="x")


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", "http://127.0.0.1:81", "http://127.0.0.1.evil.example", "http://localhost", "http://["],
)
def test_no_page_of_another_site_changes_anything(app, web, origin):
    routes = list(changing(app))
    assert len(routes) > 25
    for method, path in routes:
        response = web.request(method, path, headers={"Origin": origin, "Content-Type": "text/plain"}, content="{}")
        assert response.status_code == 403 and "refused" in response.json()["error"]["message"], (method, path)


def test_no_other_machine_changes_anything_without_a_key(app):
    """Whatever is no question is refused; a new route is one or the other."""
    other = TestClient(app, base_url=HERE, client=("192.0.2.1", 50_000))
    asking = ("/v1/", "/app/lesson/", "/app/lab/", "/app/search", "/app/vector", "/app/compare", "/app/draw")
    routes = [(method, path) for method, path in changing(app) if not path.startswith(asking) or path == "/app/searches"]
    assert len(routes) >= 10
    for method, path in routes:
        response = other.request(method, path, json={})
        assert response.status_code == 403 and "--api-key" in response.json()["error"]["message"], (method, path)


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_no_page_of_another_site_makes_it_work(web, site):
    """A picture in a page is asked for without an origin."""
    for path in (
        "/app/export.zip?where=kind:image",
        "/app/lab/costs",
        "/app/duplicates",
        "/v1/models",
        "/pictures/x/small",
        "/media/x",
    ):
        response = web.get(path, headers={"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors"})
        assert response.status_code == 403 and "other sites" in response.json()["error"]["message"], path
    assert web.get("/", headers={"Sec-Fetch-Site": site}).status_code == 200  # a link may lead here
    assert web.get("/v1/models", headers={"Sec-Fetch-Site": "same-origin"}).status_code == 200


@pytest.mark.parametrize("part, count", [
    ({"type": "image_url", "image_url": "data:image/png;base64,AA"}, MOST_PICTURES + 1), ({"type": "text", "text": "x"}, MOST_PARTS + 1),
])  # fmt: skip
def test_a_conversation_is_bounded_before_anything_of_it_is_read(part, count):
    half = {"role": "user", "content": [part] * (count // 2)}
    request = ChatRequest(model="any", messages=[half, {"role": "user", "content": [part] * (count - count // 2)}])
    with pytest.raises(RequestError, match=f"has {count} parts, .* send {MOST_PARTS} and {MOST_PICTURES} at most"):
        request.request(False)


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "127.0.0.1@evil.example", "localhost.evil.example:80", "evil.example#127.0.0.1", "0.0.0.0", "2130706433", "127.1", "[::ffff:127.0.0.1]"]
)  # fmt: skip
def test_no_other_name_leads_here(web, host):
    response = web.get("/library", headers={"Host": host})
    assert response.status_code == 400 and "is not a name of this server" in response.json()["error"]["message"]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8077", "localhost", "localhost:1", "[::1]", "[::1]:8077"])
def test_its_own_names_do(web, host):
    assert web.get("/health", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py", "/static/..%2fapp.py", "/static/%2e%2e/app.py", "/static/..%5capp.py", "/static//etc/passwd", "/static/%2fetc%2fpasswd",
        "/static/....//app.py", "/static/..%252fapp.py", "/static/x%00.js", "/media/../../etc/passwd", "/media/%2fetc%2fpasswd",
        "/media/..%2f..%2fsecret.txt", "/pictures/..%2fsecret.txt/small", "/pictures/x/..%2f..", "/app/export.%2e%2e%2fx",
        "/app/lesson/photographs/..%2f..%2fapp.py", "/app/lesson/photographs/%2fetc%2fpasswd", "/v1/models/..%2f..%2fetc%2fpasswd",
    ],
)  # fmt: skip
def test_no_path_leads_out(web, path):
    response = web.get(path)
    assert response.status_code in (400, 404, 422), response.status_code
    assert b"root:" not in response.content and b"secret" not in response.content and b"def create_app" not in response.content


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.1", "0x7f.1", "0x7f000001", "2130706433", "017700000001", "0", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1",
        "169.254.169.254", "100.64.0.1", "localhost", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]",
        "[fe80::1]", "[fd00::1]", "224.0.0.1", "255.255.255.255",
    ],
)  # fmt: skip
def test_no_address_inside_the_network_is_fetched_from(host, monkeypatch):
    monkeypatch.setattr(urls.socket, "create_connection", lambda *_, **__: pytest.fail("it connects"))
    with pytest.raises(RequestError, match="inside this network"):
        urls.fetch(f"http://{host}:9/x.png")


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "ftp://example.org/x", "gopher://example.org/", "data:text/html,x", "javascript:1", "//127.0.0.1/x"],
)
def test_no_other_scheme_is_fetched(url):
    with pytest.raises(RequestError, match="only http and https URLs are fetched"):
        urls.fetch(url)


def test_names_and_captions_are_texts_in_a_contact_sheet(library, tmp_path):
    write_contact_sheet(tmp_path / "sheet.html", SCRIPT, library.search("a picture", top=10))
    text = (tmp_path / "sheet.html").read_text("utf-8")
    assert "<img src=x" not in text and "<script>window" not in text


@needs_chromium[0]
@needs_chromium[1]
def test_names_and_captions_run_nowhere_on_the_page(app, browser):
    with serving(app) as address:
        for where in ("/", "/library", "/map", "/places", "/duplicates"):
            with opened(browser, address, where) as page:
                page.wait_for_timeout(700)
                for tile in page.locator("main img").all()[:3]:
                    if tile.is_visible():
                        tile.click()
                        page.wait_for_timeout(200)
                        page.keyboard.press("Escape")
                assert page.evaluate("window.hacked") is None, where


def test_clients_that_never_read_hold_nobody_up(app):
    """They ask for as much as they can, and leave it lying."""
    with serving(app) as base:
        host, port = base.removeprefix("http://").split(":")
        waiting = []
        for _ in range(60):
            client = socket.create_connection((host, int(port)))
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            client.sendall(f"GET /static/vendor/countries-50m.json HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode() * 20)
            waiting.append(client)
        for path in ("/", "/app/timeline", "/health"):
            with urllib.request.urlopen(base + path, timeout=30) as answer:
                assert answer.status == 200
        for client in waiting:
            client.close()
