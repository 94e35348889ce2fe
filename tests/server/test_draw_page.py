"""The Draw page, in a real browser: drawings as they come into being, words, and the nearest training pictures."""

import json

import pytest
from chromium import needs_chromium, opened
from fastapi.testclient import TestClient
from serving import serving

import samespace
from samespace.library.library import Library
from samespace.server.app import create_app


@pytest.fixture
def app(tmp_path, tiny_generator, monkeypatch):
    monkeypatch.setenv("SAMESPACE_GENERATOR", str(tiny_generator))
    return create_app(Library(tmp_path / "none", samespace.load("starter")))


def test_steps_are_streamed_and_then_words_and_training_pictures(app):
    with TestClient(app, base_url="http://127.0.0.1") as client:
        text = client.post("/app/draw", json={"query": "a red apple - snow", "steps": 3, "number": 2}).text
        events = [json.loads(part.removeprefix("data: ")) for part in text.strip().split("\n\n")]
        assert [event.get("step") for event in events] == [1, 2, 3, None]
        assert all(
            len(event["pictures"]) == 2 and event["pictures"][0].startswith("data:image/png;base64,") for event in events[:3]
        )
        last = events[-1]
        assert last["tokens"] == ["[CLS]", "a", "red", "apple", "[SEP]"] and len(last["nearest"]) == 2
        assert len(last["attention"]) == 2 and len(last["attention"][0]) == 5 and len(last["attention"][0][0]) == 2
        assert last["nearest"][0]["name"].startswith("colour ") and 0 <= last["nearest"][0]["distance"] <= 1


@pytest.mark.parametrize(
    "change", [{"query": ""}, {"query": "灯塔"}, {"steps": 0}, {"number": 99}, {"media": "data:image/png;base64,AAAA"}]
)
def test_what_cannot_be_drawn_is_refused(app, change):
    with TestClient(app, base_url="http://127.0.0.1") as client:
        response = client.post("/app/draw", json={"query": "a cat"} | change)
        assert response.status_code == 400 and response.json()["error"]["message"]


def test_without_a_generator_it_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("SAMESPACE_GENERATOR", str(tmp_path / "none"))
    with TestClient(create_app(Library(tmp_path / "l", samespace.load("starter"))), base_url="http://127.0.0.1") as client:
        response = client.post("/app/draw", json={"query": "a cat"})
        assert response.status_code == 404 and "no generator" in response.json()["error"]["message"]
        assert "guide a drawing" not in client.get("/learn").text


@needs_chromium[0]
@needs_chromium[1]
def test_a_person_draws_points_at_a_word_and_steers_with_a_picture(app, browser, photographs):
    with serving(app) as address, opened(browser, address, "/draw") as page:
        page.get_by_label("What to draw").fill("a red apple")
        page.get_by_role("button", name="Draw", exact=True).click()
        page.locator(".drawings .note a").nth(3).wait_for()
        assert page.locator(".drawings li").count() == 4 and page.locator(".drawings .note span").first.inner_text().startswith(
            "nearest in training: colour"
        )
        words = page.locator("#words button")
        assert words.all_inner_texts() == ["a", "red", "apple"]
        words.nth(2).hover()
        assert page.locator(".drawing canvas.on").count() == 4
        before = page.locator(".drawing img").first.get_attribute("src")
        page.get_by_role("button", name="Other drawings").click()
        page.wait_for_function(
            "before => document.querySelector('.drawings .note a') && document.querySelector('.drawing img').src !== before",
            arg=before,
        )
        assert page.get_by_label("Seed").input_value() == "1"
        page.locator("#file").set_input_files(str(photographs / "chelsea.png"))
        page.get_by_role("button", name="Leave out chelsea.png").wait_for()
        page.locator(".drawings .note a").nth(3).wait_for()
        page.get_by_label("What to draw").fill("")
        page.get_by_role("button", name="Leave out chelsea.png").click()
        page.get_by_role("button", name="Leave out chelsea.png").wait_for(state="detached")


@needs_chromium[0]
@needs_chromium[1]
def test_in_the_lesson_the_same_noise_is_guided_more_and_more(app, browser):
    with serving(app) as address, opened(browser, address, "/learn#vectors") as page:
        page.locator("#guide").scroll_into_view_if_needed()
        page.locator("#guide").get_by_label("What to draw").fill("a blue bird")
        page.locator("#guide").get_by_role("button", name="Draw").click()
        page.get_by_text("The same noise each time").wait_for()
        sources = page.locator("#guide img").evaluate_all("images => images.map((image) => image.src)")
        assert len(set(sources)) == 4 and all(source.startswith("data:image/png") for source in sources)
