"""The course's loop of computer use: over HTTP, and as a reader steps through it."""

import pytest
from chromium import needs_chromium, opened
from fastapi.testclient import TestClient
from serving import serving

import samespace
from samespace.core.errors import OperationStopped
from samespace.course import screen_loop
from samespace.library.library import Library
from samespace.media import ocr
from samespace.server.app import create_app

pytestmark = [needs_chromium[0], pytest.mark.skipif(ocr.reader() is None, reason="no reader of text; install the extra ocr")]
TASK = "Type Ada into Name, check Green tea and press Order"


@pytest.fixture
def app(tmp_path):
    return create_app(Library(tmp_path / "none", samespace.load("starter")))


def test_each_step_is_told(app):
    with TestClient(app, base_url="http://127.0.0.1") as web:
        answer = web.post("/app/lesson/operate", json={"task": TASK}).json()
        refused = web.post("/app/lesson/operate", json={"task": "the weather is fine"})
    first, second, last = answer["steps"]
    assert answer["reached"] and first["screenshot"].startswith("data:image/webp;base64,")
    assert [one["text"] for one in first["actions"]][2] == "type 'Ada'" and "Green tea" in first["thought"]
    assert second["marks"][0]["text"] == "Order" and second["actions"][0]["text"].startswith("click at")
    assert last["actions"] == [{"text": "done: all of it was done", "points": []}]
    assert refused.status_code == 400 and "does not say what to press" in refused.json()["error"]["message"]


def test_one_browser_at_a_time(app):
    with screen_loop._RUNNING, TestClient(app, base_url="http://127.0.0.1") as web:
        response = web.post("/app/lesson/operate", json={"task": TASK})
    assert response.status_code == 400 and "busy with another task" in response.json()["error"]["message"]


def test_without_chromium_one_sentence_says_so(app, monkeypatch):
    def missing():
        raise OperationStopped("Chromium does not start; install it")

    monkeypatch.setattr(screen_loop, "start_chromium", missing)
    with TestClient(app, base_url="http://127.0.0.1") as web:
        response = web.post("/app/lesson/operate", json={"task": TASK})
    assert response.status_code == 503 and "Chromium does not start" in response.json()["error"]["message"]


@needs_chromium[1]
def test_a_reader_steps_through_the_loop(app, browser):
    with serving(app) as address, opened(browser, address, "/learn") as page:
        page.locator("#loop").scroll_into_view_if_needed()
        page.get_by_role("button", name="Let it work").click()
        heading = page.locator("#loop h4")
        heading.wait_for(timeout=60_000)
        assert heading.inner_text() == "Step 1 of 3: Look"
        page.locator("#loop").get_by_role("button", name="Next").click()
        assert heading.inner_text() == "Step 1 of 3: Decide" and page.locator("#loop .scores li").count() >= 2
        for _ in range(7):
            page.locator("#loop").get_by_role("button", name="Next").click()
        assert heading.inner_text() == "Step 3 of 3: Act" and "It says that it is done." in page.locator("#loop").inner_text()
        assert page.locator("#loop").get_by_role("button", name="Next").is_disabled()
        page.locator("#loop").get_by_role("button", name="Previous").click()
        assert heading.inner_text() == "Step 3 of 3: Decide"
