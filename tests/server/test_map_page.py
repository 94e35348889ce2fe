"""What people do on the map of the space: see it being made, find a query on it, draw around pictures and keep them, open one."""

import io
import re
import zipfile

import pytest
from chromium import expect, needs_chromium, opened
from fastapi.testclient import TestClient
from PIL import Image
from serving import serving

import samespace
from samespace.library.library import Library
from samespace.library.store.marks import Change
from samespace.server.app import create_app

NAMES = ("chelsea.png", "coffee.png", "rocket.jpg", "astronaut.png")


@pytest.fixture(scope="module")
def library(tmp_path_factory, photographs) -> Library:
    """Ten parts of each of four photographs."""
    folder = tmp_path_factory.mktemp("album")
    for name in NAMES:
        picture = Image.open(photographs / name).convert("RGB")
        width, height = picture.size
        for i in range(10):
            part = picture.crop((i * width // 40, i * height // 40, width - (12 - i) * width // 30, height - i * height // 30))
            part.save(folder / f"{name[:-4]} {i}.jpg")
    opened = Library(tmp_path_factory.mktemp("library"), samespace.load("starter"))
    opened.add([folder])
    return opened


@pytest.fixture(scope="module")
def app(library, tiny_folder):
    return create_app(library, str(tiny_folder))


@pytest.fixture(scope="module")
def address(app):
    with serving(app) as address:
        yield address


def test_a_map_is_made_and_what_is_hidden_is_not_on_it(library, app):
    with TestClient(app, base_url="http://127.0.0.1", client=("127.0.0.1", 9)) as client:
        library.map.make()
        assert client.get("/app/map/state").json() == {"exists": True, "running": False, "doing": "", "error": ""}
        answer = client.get("/app/map").json()
        assert answer["count"] == 40 and {label["level"] for label in answer["labels"]} == {0}
        assert client.get("/app/map", params={"where": "name:rocket"}).json()["count"] == 10
        path = library.search("", where="name:rocket", group_by="file")[0].path
        library.mark([path], Change(hidden=True))
        assert client.get("/app/map").json()["count"] == 39
        library.mark([path], Change(hidden=False))


def test_originals_are_taken_along_from_this_machine_only(app):
    with TestClient(app, base_url="http://127.0.0.1", client=("192.0.2.1", 9)) as client:
        refused = client.get("/app/export.zip", params={"where": "name:rocket"})
        assert refused.status_code == 403 and "--api-key" in refused.json()["error"]["message"]


def test_what_meets_conditions_can_be_taken_along(app):
    with TestClient(app, base_url="http://127.0.0.1", client=("127.0.0.1", 9)) as client:
        answer = client.get("/app/export.zip", params={"where": "name:rocket"})
        assert sorted(zipfile.ZipFile(io.BytesIO(answer.content)).namelist()) == [f"rocket {i}.jpg" for i in range(10)]
        assert 'filename="samespace.zip"' in answer.headers["content-disposition"]
        assert client.get("/app/export.m3u", params={"where": "name:rocket"}).text.count(".jpg") == 10
        assert "rocket 3.jpg" in client.get("/app/export.html", params={"where": "name:rocket"}).text
        nothing = client.get("/app/export.zip", params={"where": "year:1900"})
        assert nothing.status_code == 400 and "nothing here meets these conditions" in nothing.json()["error"]["message"]
        assert client.get("/app/export.exe", params={"where": "name:rocket"}).status_code in (400, 404, 422)


@pytest.fixture
def page(browser, address):
    with opened(browser, address, "/map") as page:
        expect(page.locator("#status")).to_have_text("40 pictures and sounds.")
        yield page


def draw_around(page, shape=((0.02, 0.02), (0.98, 0.02), (0.98, 0.98), (0.02, 0.98))) -> None:
    """Draw around a part of the stage, in shares of it, with Shift."""
    box = page.locator("#stage").bounding_box()
    corners = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in shape]
    page.keyboard.down("Shift")
    page.mouse.move(*corners[0])
    page.mouse.down()
    for corner in (*corners[1:], corners[0]):
        page.mouse.move(*corner, steps=4)
    page.mouse.up()
    page.keyboard.up("Shift")


class TestPage:
    pytestmark = needs_chromium

    def test_a_query_falls_where_its_pictures_are(self, page):
        page.fill("#query", "a cat")
        expect(page.locator("#status")).to_contain_text("the ring is where")
        assert page.url.endswith("?q=a%20cat")
        first = page.locator("#found button").first
        expect(first).to_contain_text("chelsea")
        first.press("Enter")
        expect(page.locator("#viewer-name")).to_contain_text("chelsea")
        page.keyboard.press("Escape")
        page.fill("#query", "name:coffee")
        expect(page.locator("#status")).to_have_text("10 found.")
        page.fill("#query", "")
        expect(page.locator("#status")).to_have_text("40 pictures and sounds.")

    def test_what_is_drawn_around_becomes_an_album_a_word_and_a_search(self, page, address, library):
        draw_around(page)
        expect(page.locator("#chosen-count")).to_have_text("40 inside")
        page.fill("#name", "All of it")
        page.get_by_role("button", name="Album", exact=True).click()
        expect(page.locator("#chosen-note")).to_have_text("40 files are in the album “All of it”.")
        assert library.marks.read().albums() == [("All of it", 40)]
        page.get_by_role("button", name="Close").click()
        expect(page.locator("#chosen")).to_be_hidden()
        page.click("#lasso")
        box = page.locator("#stage").bounding_box()
        page.mouse.move(box["x"] + 5, box["y"] + box["height"] / 2)
        page.mouse.down()
        for x, y in ((0.5, 0.02), (0.5, 0.98), (0.02, 0.9)):
            page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=4)
        page.mouse.up()
        expect(page.locator("#chosen-count")).to_have_text(re.compile(r"^[1-9]\d? inside$"))
        count = int(page.inner_text("#chosen-count").split()[0])
        assert 1 < count < 40
        page.fill("#name", "Left")
        page.get_by_role("button", name="Word").click()
        expect(page.locator("#chosen-note")).to_have_text(re.compile(r"^“Left” is taught by \d+ examples\.$"))
        with page.expect_download() as download:
            page.get_by_role("link", name="Playlist").click()
        assert abs(download.value.path().read_text().count(".jpg") - count) <= 1
        page.get_by_role("link", name="Search within").click()
        expect(page.locator("#status")).to_have_text(re.compile(r"^\d+ files, newest first\.$"))
        assert "area%3A" in page.url
        library.concepts.forget("Left")

    def test_a_click_opens_the_picture_and_keys_and_wheel_move_the_map(self, page):
        box = page.locator("#stage").bounding_box()
        page.locator("#stage").focus()
        before = page.locator("#points").screenshot()
        page.keyboard.press("+")
        page.keyboard.press("ArrowLeft")
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.mouse.wheel(0, 300)
        page.wait_for_timeout(200)
        assert page.locator("#points").screenshot() != before
        page.click("#all")
        page.get_by_text("What lies where?").click()
        group = page.locator("#groups button").first
        expect(group).to_contain_text("·")
        group.click()
        for x in range(-200, 201, 20):  # somewhere around the middle there is one
            page.mouse.click(box["x"] + box["width"] / 2 + x, box["y"] + box["height"] / 2 + x / 2)
            if page.locator("#viewer[open]").count():
                break
            page.wait_for_timeout(150)
        expect(page.locator("#viewer-name")).to_contain_text(".jpg")
        page.click("#more")
        expect(page.locator("#terms")).to_contain_text("like this")

    def test_there_is_a_map_on_a_phone_and_it_is_laid_out_anew_when_asked(self, browser, address):
        with opened(browser, address, "/map?q=a+cat", viewport={"width": 390, "height": 800}) as page:
            expect(page.locator("#status")).to_contain_text("the ring is where")
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            page.fill("#query", "")
            page.get_by_text("What lies where?").click()
            page.click("#again")
            expect(page.locator("#status")).to_have_text("40 pictures and sounds.")
