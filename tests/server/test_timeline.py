"""The start page: one's own files by day, scrubbed, filtered and opened; what the server sends for it."""

import base64
import re
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from chromium import expect, needs_chromium, opened
from fastapi.testclient import TestClient
from PIL import Image
from serving import serving

import samespace
from samespace.library.library import Library
from samespace.media.metadata.xmp import parse
from samespace.server.app import create_app
from samespace.server.services.timeline import _days


def on_the_page(test):
    """Mark a test that needs Chromium."""
    for mark in needs_chromium:
        test = mark(test)
    return test


DAYS = ["2024:08:11", "2024:08:10", "2021:01:02", "2019:07:05", "2019:07:04", "2012:03:04"]


def dated(folder: Path, photographs: Path) -> Path:
    """Pictures of six days in two folders: one, two, three … of each."""
    source = Image.open(photographs / "coffee.png").convert("RGB").resize((300, 200))
    for n, day in enumerate(DAYS, 1):
        for i in range(n):
            exif = Image.Exif()
            exif[0x0110] = "X100V"  # one camera at other times: some of these are others, turned by quarters
            exif.get_ifd(0x8769)[0x9003] = f"{day} {10 + i}:00:00"
            if "2019" in day:
                exif.get_ifd(0x8825).update({1: "N", 2: (41.0, 53.0, i), 3: "E", 4: (12.0, 29.0, 32.0)})
            elif "2012" in day:
                exif.get_ifd(0x8825).update({1: "N", 2: (45.0, 4.0, i), 3: "E", 4: (7.0, 41.0, 12.0)})
            where = folder / ("Rome 2019" if "2019" in day else "Home")
            where.mkdir(parents=True, exist_ok=True)
            picture = source.rotate(10 * i + 60 * n)
            (picture.resize((200, 300)) if i % 2 else picture).save(where / f"IMG_{n}{i}.jpg", exif=exif)
    return folder


@pytest.fixture(scope="module")
def app(tmp_path_factory, photographs):
    folder = tmp_path_factory.mktemp("timeline")
    library = Library(folder / "library", samespace.load("starter"))
    library.add([dated(folder / "photos", photographs)])
    return create_app(library)


@pytest.fixture(scope="module")
def client(app):
    with TestClient(app, base_url="http://127.0.0.1", client=("127.0.0.1", 9)) as client:
        yield client


def test_the_outline_has_every_day_and_shape(client):
    outline = client.get("/app/timeline").json()
    assert outline["days"] == [[day.replace(":", "-"), n] for n, day in enumerate(DAYS, 1)]
    ratios = np.frombuffer(base64.b64decode(outline["ratios"]), np.uint8) / 50
    # within a day the last comes first
    assert ratios.tolist() == pytest.approx(
        [1.5 if i % 2 == 0 else 0.66 for n in range(1, 7) for i in reversed(range(n))], abs=0.01
    )


def test_items_are_those_of_the_outline(client):
    items = client.get("/app/timeline/items?first=1&count=3").json()["items"]
    assert [item["name"] for item in items] == ["IMG_21.jpg", "IMG_20.jpg", "IMG_32.jpg"]
    assert items[0]["score"] is None and datetime.fromisoformat(items[0]["taken_at"]).year == 2024
    assert client.get("/app/timeline/items?first=1000&count=3").json()["items"] == []


def test_conditions_filter_the_timeline(client):
    outline = client.get("/app/timeline", params={"where": "year:2019"}).json()
    assert [day for day, _ in outline["days"]] == ["2019-07-05", "2019-07-04"]
    refused = client.get("/app/timeline", params={"where": "yeer:2019"})
    assert refused.status_code == 400 and "no field 'yeer'" in refused.json()["error"]["message"]


def test_folders_say_how_many_files_they_hold(client):
    folders = client.get("/app/folders").json()["folders"]
    assert [(folder["name"], folder["count"]) for folder in folders] == [("Home", 12), ("Rome 2019", 9)]


def test_places_are_those_of_the_files_that_have_one(client):
    points = client.get("/app/places").json()["points"]
    assert len(points) == 15 and {point["place"].split(", ")[-2] for point in points} == {"Lazio", "Piedmont"}
    assert len(client.get("/app/places", params={"where": "place:rome"}).json()["points"]) == 9


def test_a_library_that_is_not_there_has_an_empty_timeline(tmp_path):
    with TestClient(create_app(Library(tmp_path / "none", samespace.load("starter"))), base_url="http://127.0.0.1") as client:
        assert client.get("/app/timeline").json()["days"] == [] and client.get("/app/folders").json()["folders"] == []


def test_marks_over_http(client):
    ids = [item["id"] for item in client.get("/app/timeline/items?first=0&count=2").json()["items"]]
    body = {"ids": ids, "tags": ["sunny"], "albums": ["Summer"], "favourite": True, "rating": 4}
    assert client.post("/app/mark", json=body).json() == {"marked": 2}
    mark = client.get(f"/app/mark/{ids[0]}").json()
    assert (mark["tags"], mark["albums"], mark["rating"], mark["favourite"], mark["hidden"]) == (
        ["sunny"],
        ["Summer"],
        4,
        True,
        False,
    )
    assert client.get("/app/albums").json() | {"searches": {}} == {
        "albums": [["Summer", 2]], "tags": [["sunny", 2]], "searches": {}, "favourites": 2, "hidden": 0,
    }  # fmt: skip
    found = client.post("/v1/search", json={"where": "album:summer tag:sunny is:favourite rating:>3"}).json()["data"]
    assert len(found) == 2
    client.post("/app/mark", json={"ids": ids[:1], "hidden": True})
    assert sum(n for _, n in client.get("/app/timeline").json()["days"]) == 20
    undone = {
        "ids": ids,
        "hidden": False,
        "favourite": False,
        "rating": 0,
        "without_tags": ["sunny"],
        "without_albums": ["Summer"],
    }
    assert client.post("/app/mark", json=undone).json() == {"marked": 2}
    assert client.get("/app/albums").json()["albums"] == [] and len(client.get(f"/app/mark/{ids[0]}").json()["tags"]) == 0
    refused = client.post("/app/mark", json={"ids": ids, "rating": 9})
    assert refused.status_code == 400 and "stars" in refused.json()["error"]["message"]
    assert client.post("/app/mark", json={"ids": ["0" * 32], "rating": 1}).status_code == 404


def test_searches_are_saved_over_http(client):
    assert client.post("/app/searches", json={"name": "Old", "query": "coffee year:2012"}).json() == {"status": "saved"}
    assert client.get("/app/albums").json()["searches"] == {"Old": "coffee year:2012"}
    assert client.post("/app/searches", json={"name": "Bad", "query": "coffee year:20x2"}).status_code == 400
    assert client.post("/app/searches", json={"name": "Old"}).json() == {"status": "forgotten"}


def test_only_this_machine_marks_without_a_key(app):
    with TestClient(app, base_url="http://127.0.0.1", client=("192.0.2.1", 9)) as client:
        assert client.post("/app/mark", json={"ids": ["0" * 32], "rating": 1}).status_code == 403


def test_the_same_filters_over_http(client):
    found = client.post("/v1/search", json={"where": "year:2019 -date:2019-07-04"}).json()["data"]
    assert {Path(hit["path"]).name[:5] for hit in found} == {"IMG_4"} and len(found) == 4
    found = client.post("/v1/search", json={"query": "coffee year:2012", "top": 100}).json()["data"]
    assert len(found) == 6


@pytest.fixture(scope="module")
def address(app):
    with serving(app) as address:
        yield address


def test_items_are_of_the_version_that_was_laid_out(client):
    version = client.get("/app/timeline").json()["version"]
    asked = {"first": 0, "count": 3, "version": version}
    assert len(client.get("/app/timeline/items", params=asked).json()["items"]) == 3
    answer = client.get("/app/timeline/items", params=asked | {"where": "year:2019"})
    assert answer.status_code == 409 and "load it again" in answer.json()["error"]["message"]


def test_times_beyond_any_calendar_have_a_day():
    days, counts = _days(np.array([260_000_000_000_000_000, 0, -80_000_000_000_000_000]))
    assert [day[:4] for day in days] == ["9999", "1970", "0002"] and counts == [1, 1, 1]


def test_folders_count_what_a_click_on_them_shows(client):
    for folder in client.get("/app/folders").json()["folders"]:
        shown = client.get("/app/timeline", params={"where": f'folder:"{folder["path"]}"'}).json()
        assert sum(count for _, count in shown["days"]) == folder["count"]


@pytest.fixture
def page(browser, address):
    with opened(browser, address, viewport={"width": 900, "height": 500}) as page:
        yield page


@on_the_page
def test_ones_own_pictures_are_there_at_once(page):
    expect(page.locator(".day").first).to_contain_text("2024")
    expect(page.locator(".tile img").first).to_be_visible()
    picture = page.locator(".tile img").first
    expect(picture).to_have_js_property("complete", True)
    assert picture.evaluate("image => image.naturalWidth") > 0


@on_the_page
def test_scrubbing_to_2019_and_opening_a_picture(page):
    scrubber = page.locator("#scrubber")
    expect(scrubber.locator(".years")).to_contain_text("2019")
    box = scrubber.bounding_box()
    page.mouse.move(box["x"] + 10, box["y"] + 5)
    page.mouse.down()
    for share in (0.3, 0.5, 0.6):
        page.mouse.move(box["x"] + 10, box["y"] + share * box["height"])
    page.mouse.up()
    expect(page.locator(".day", has_text=re.compile("2019")).first).to_be_visible()
    scrubber.focus()
    page.keyboard.press("End")
    expect(scrubber).to_have_attribute("aria-valuetext", re.compile("2012|2019"))
    page.locator(".tile button").last.click()
    expect(page.locator("#viewer-facts")).to_contain_text("2012")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#viewer-name")).to_have_text("IMG_61.jpg")
    page.keyboard.press("Escape")
    expect(page.locator("#viewer")).to_be_hidden()


@on_the_page
def test_only_what_is_near_the_window_is_in_the_page(page):
    expect(page.locator(".tile").first).to_be_visible()
    shown = page.locator(".tile").count()
    assert 3 <= shown <= 21
    heights = page.evaluate("[document.querySelector('#timeline').offsetHeight, document.body.scrollHeight]")
    assert heights[0] > 500 and heights[1] > heights[0]


@on_the_page
def test_a_folder_and_conditions_filter_it(page, address):
    page.set_viewport_size({"width": 1200, "height": 700})
    page.click(".folder:has-text('Rome 2019')")
    expect(page.locator("#status")).to_contain_text("9 files")
    expect(page.locator(".day").first).to_contain_text("2019")
    page.fill("#query", "year:2012")
    expect(page.locator("#status")).to_contain_text("6 files")
    page.fill("#query", "")
    expect(page.locator(".day").first).to_contain_text("2024")


@on_the_page
def test_a_time_in_words_is_offered_and_applied_when_chosen(page):
    page.fill("#query", "coffee in 2019")
    chip = page.locator(".chip")
    expect(chip).to_have_text("in 2019 → year:2019")
    chip.click()
    expect(page.locator("#query")).to_have_value("coffee year:2019")
    expect(page.locator(".hit")).to_have_count(9)


@on_the_page
def test_the_keyboard_moves_through_it(page):
    expect(page.locator(".tile img").first).to_be_visible()
    page.focus("#query")
    for key in ("ArrowDown", "ArrowUp", "ArrowRight", "End", "ArrowDown", "ArrowDown", "ArrowUp"):  # beyond its edges, too
        page.keyboard.press(key)
    page.keyboard.press("Enter")
    expect(page.locator("#viewer-name")).to_contain_text("IMG_")


@on_the_page
def test_a_picture_is_tagged_rated_and_put_into_an_album(page):
    page.on("dialog", lambda dialog: dialog.accept())
    page.set_viewport_size({"width": 1200, "height": 700})
    page.locator(".tile button").nth(1).click()
    page.click("[aria-label='Favourite']")
    expect(page.locator("[aria-label='Favourite']")).to_have_attribute("aria-pressed", "true")
    page.click("[aria-label='4 stars']")
    for label, name in (("tag", "sunny"), ("album", "Summer 2024")):
        page.fill(f"[aria-label='Add a {label}']", name)
        page.keyboard.press("Enter")
        expect(page.locator(".names .term", has_text=name)).to_be_visible()
    page.keyboard.press("Escape")
    page.click(".folder:has-text('Summer 2024')")
    expect(page.locator("#status")).to_contain_text("1 file,")
    page.fill("#save-name", "My summer")
    page.keyboard.press("Enter")
    page.click(".folder:has-text('My summer')")
    expect(page.locator("#query")).to_have_value('album:"Summer 2024"')
    page.click("[aria-label='Forget My summer']")
    expect(page.locator(".folder:has-text('My summer')")).to_have_count(0)
    page.fill("#query", "")
    expect(page.locator("#status")).to_have_text("")
    page.locator(".tile button").nth(1).click()
    expect(page.locator("[aria-label='Favourite']")).to_have_attribute("aria-pressed", "true")
    page.click("[aria-label='Favourite']")
    page.click("[aria-label='4 stars']")
    for name in ("sunny", "Summer 2024"):
        page.click(f".names .term:has-text('{name}')")
        expect(page.locator(".names .term", has_text=name)).to_have_count(0)
    page.keyboard.press("Escape")
    expect(page.locator("#own")).not_to_contain_text("Summer 2024")


@on_the_page
def test_the_map_is_dragged_zoomed_and_searched(browser, address):
    with opened(browser, address, "/places") as page:
        expect(page.locator("#status")).to_have_text("15 files have a place.")
        expect(page.locator(".cluster")).to_have_count(2)
        stage = page.locator("#stage").bounding_box()
        before = page.locator(".cluster").first.bounding_box()
        page.mouse.move(stage["x"] + 40, stage["y"] + 300)
        page.mouse.down()
        page.mouse.move(stage["x"] + 140, stage["y"] + 250, steps=4)
        page.mouse.up()
        after = page.locator(".cluster").first.bounding_box()
        assert (after["x"] - before["x"], after["y"] - before["y"]) == pytest.approx((100, -50), abs=1)
        page.locator(".cluster[aria-label^='9 files']").click()  # nearer
        expect(page.locator(".cluster[aria-label^='9 files']")).to_have_count(1)
        expect(page.locator(".cluster")).to_have_count(1)
        page.click("#here")
        expect(page.locator("#query")).to_have_value(re.compile(r"near:41\.\d+,12\.\d+,\d+km"))
        expect(page.locator("#status")).to_contain_text("9 files")


@on_the_page
def test_an_older_answer_does_not_overwrite_the_filtered_map(browser, address):
    """The first request, for everything, is answered last."""
    page, held = browser.new_page(), []
    page.route(re.compile(r"/app/places\?where=$"), lambda route: held.append(route))
    page.goto(f"{address}/places")
    page.fill("#where", "year:2012")
    page.keyboard.press("Enter")
    expect(page.locator("#status")).to_have_text("6 files have a place.")
    assert held
    for route in held:
        with suppress(Exception):  # the page has given it up
            route.continue_()
    page.wait_for_timeout(1000)
    expect(page.locator("#status")).to_have_text("6 files have a place.")
    page.close()


@on_the_page
def test_the_map_is_filtered(browser, address):
    page = browser.new_page()  # whose console names the request that is refused
    page.goto(f"{address}/places")
    page.fill("#where", "year:2012")
    page.keyboard.press("Enter")
    expect(page.locator("#status")).to_have_text("6 files have a place.")
    page.fill("#where", "yeer:2012")
    page.keyboard.press("Enter")
    expect(page.locator("#status")).to_contain_text("there is no field 'yeer'")
    page.close()


def test_marks_are_written_beside_the_files_over_http(client):
    ids = [item["id"] for item in client.get("/app/timeline/items", params={"first": 0, "count": 1}).json()["items"]]
    client.post("/app/mark", json={"ids": ids, "tags": ["beside"]})
    assert client.post("/app/sidecars", params={"where": "tag:nothing"}).json() == {"written": 0, "problems": []}
    assert client.post("/app/sidecars", params={"where": "tag:beside"}).json() == {"written": 1, "problems": []}
    client.post("/app/mark", json={"ids": ids, "without_tags": ["beside"]})


@on_the_page
def test_marks_are_written_beside_the_files_from_the_page(browser, address, client, app):
    ids = [item["id"] for item in client.get("/app/timeline/items", params={"first": 0, "count": 1}).json()["items"]]
    client.post("/app/mark", json={"ids": ids, "tags": ["written"]})
    with opened(browser, address, viewport={"width": 1280, "height": 700}) as page:
        page.on("dialog", lambda dialog: dialog.accept())
        page.get_by_role("button", name="Write to XMP files").click()
        expect(page.locator("#status")).to_have_text(re.compile(r"^[1-9] XMP files? written\.$"))
    picture = Path(app.state.server.library.segment(ids[0]).path)
    assert "written" in parse(picture.with_name(f"{picture.name}.xmp").read_bytes()).keywords
    client.post("/app/mark", json={"ids": ids, "without_tags": ["written"]})


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="this system has one time zone")
@pytest.mark.parametrize("zone", ["Asia/Kolkata", "Asia/Kathmandu", "America/St_Johns", "Europe/Berlin", "UTC"])
def test_a_day_begins_at_midnight_in_every_zone(monkeypatch, zone):
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        early, late = datetime(2019, 7, 4, 0, 10), datetime(2019, 7, 3, 23, 50)
        times = np.array([round(when.timestamp() * 1e6) for when in (early, late)])
        assert _days(times) == (["2019-07-04", "2019-07-03"], [1, 1])
    finally:
        monkeypatch.undo()
        time.tzset()
