"""The lab of long context: what it computes over HTTP, and in a real browser."""

import base64
import json

import pytest
import torch
from chromium import needs_chromium, opened
from fastapi.testclient import TestClient
from media_files import write_video
from PIL import Image
from serving import serving

import samespace
from samespace.assistant.language import Language
from samespace.assistant.open import open_assistant
from samespace.explain.attention import KINDS
from samespace.explain.lab_video import video_as_stream
from samespace.explain.long_text import read_stream_with
from samespace.library.library import Library
from samespace.server.app import create_app

TEXT = "The quick brown fox jumps over the lazy dog, and the dog does not mind at all. " * 2


@pytest.fixture
def app(tmp_path, tiny_folder):
    return create_app(Library(tmp_path / "none", samespace.load("starter")), str(tiny_folder))


@pytest.fixture
def web(app):
    with TestClient(app, base_url="http://127.0.0.1") as client:
        yield client


def events(response) -> list[dict]:
    return [json.loads(part.removeprefix("data: ")) for part in response.text.strip().split("\n\n")]


def test_a_text_is_read_with_each_kind_of_attention(web):
    rows = events(web.post("/app/lab/read", json={"text": TEXT, "size": 16}))
    assert [row["kind"] for row in rows] == list(KINDS) and all(row["perplexity"] > 1 for row in rows)
    assert rows[0]["pairs"] > rows[1]["pairs"] and len(rows[0]["seen"]) == 64


@pytest.fixture
def clip(tmp_path, photographs):
    pictures = [Image.open(photographs / name).convert("RGB").resize((160, 120)) for name in ("chelsea.png", "coffee.png")]
    return write_video(tmp_path / "clip.mp4", [(picture, 2.0) for picture in pictures])


def test_a_video_is_read_in_one_stream_with_its_question(web, clip):
    media = f"data:video/mp4;base64,{base64.b64encode(clip.read_bytes()).decode()}"
    full, *others = events(web.post("/app/lab/video", json={"media": media, "size": 16}))
    assert [full["kind"], *(row["kind"] for row in others)] == list(KINDS)
    assert full["change"] == 0 and all(row["change"] > 0 for row in others) and len(full["words"]) == 3
    assert len(full["frames"]) >= 2 and len({end - begin for begin, end in full["frames"]}) == 1 and full["tokens"] <= 512
    text = f"data:video/mp4;base64,{base64.b64encode(b'this is no video').decode()}"
    refused = web.post("/app/lab/video", json={"media": text})
    assert refused.status_code == 400


def test_full_attention_over_a_video_is_the_models_own(tiny_folder, clip):
    assistant = open_assistant(str(tiny_folder))
    x, _ = video_as_stream(assistant, samespace.load("starter"), clip)
    language = Language(assistant.model.lm, assistant.chat.tokenizer, "", {})
    full = next(read_stream_with(language, x, [], 16))
    with torch.inference_mode():
        odds = torch.softmax(assistant.model.lm.logits(assistant.model.lm(x)[0, -1]), dim=-1)
    assert full.words[0][1] == pytest.approx(float(odds.max()), abs=2e-3)


def test_the_other_exercises_answer(web):
    head = web.post("/app/lab/head", json={"text": TEXT, "layer": 2, "head": 5}).json()
    assert len(head["q"]) == len(head["k"]) == len(head["v"]) == 128 and len(head["q"][0]) == 8
    found = web.get("/app/lab/context", params={"tokens": 4096}).json()
    assert found["changed"]["context"]["stretched"] == 4096 and len(found["waves"]) == len(found["stretched"]) == 4
    rows = events(web.post("/app/lab/needles", json={"text": TEXT, "lengths": [64]}))
    assert [row["depth"] for row in rows] == [0, 0.25, 0.5, 0.75, 1]


@pytest.mark.parametrize(
    ("path", "body", "status", "sentence"),
    [
        ("head", {"text": TEXT, "layer": 99}, 400, "there is no head 0 in layer 99"),
        ("head", {"text": "hi"}, 400, "give at least 16"),
        ("read", {"text": ""}, 400, "text"),
        ("needles", {"text": TEXT, "lengths": [10**6]}, 400, "lengths"),
    ],
)
def test_what_cannot_be_computed_is_refused(web, path, body, status, sentence):
    response = web.post(f"/app/lab/{path}", json=body)
    assert response.status_code == status and sentence in response.json()["error"]["message"]
    assert events(web.post("/app/lab/read", json={"text": "hi"}))[-1]["error"]["message"].endswith("give at least 16")
    assert "16 times as many" in web.get("/app/lab/context", params={"tokens": 10**7}).json()["error"]["message"]


def test_an_assistant_elsewhere_is_not_looked_into(tmp_path, monkeypatch):
    class Elsewhere:
        name = "elsewhere"

    monkeypatch.setattr("samespace.server.services.lazy_assistant.open_assistant", lambda name: Elsewhere())
    with TestClient(create_app(Library(tmp_path / "l", samespace.load("starter"))), base_url="http://127.0.0.1") as client:
        response = client.post("/app/lab/head", json={"text": TEXT})
        assert (
            response.status_code == 404
            and "elsewhere has no language model on this machine" in response.json()["error"]["message"]
        )


@needs_chromium[0]
@needs_chromium[1]
def test_a_reader_goes_through_the_lab(app, browser, clip):
    with serving(app) as address, opened(browser, address, "/lab") as page:
        page.get_by_label("Your text").fill(TEXT)
        page.get_by_role("button", name="Read it five times").click()
        page.get_by_text("Rows look at columns").wait_for()
        assert page.locator("#kinds figure").count() == len(KINDS)
        page.get_by_role("button", name="Read the video five times").click()
        page.get_by_text("Choose a video first.").wait_for()
        page.get_by_label("A video of yours").set_input_files(clip)
        page.get_by_role("button", name="Read the video five times").click()
        page.get_by_text("nats from full").nth(3).wait_for()
        assert page.locator("#video-kinds figure").count() == len(KINDS)
        page.get_by_role("button", name="Compute both ways").click()
        page.get_by_text("128 tokens, the same numbers").wait_for()
        assert 0 < float(page.locator("#tiles .lab-out").get_attribute("data-difference")) <= 1e-5
        page.get_by_role("button", name="Compare the two").click()
        page.get_by_text("512 → 8,192 tokens").wait_for()
        page.get_by_role("rowheader", name="rope_divisors").wait_for()


@needs_chromium[0]
@needs_chromium[1]
def test_costs_and_needles_appear_as_they_are_measured(app, browser):
    with serving(app) as address, opened(browser, address, "/lab") as page:
        page.get_by_role("button", name="Measure").click()
        page.locator("#curves svg polyline").nth(len(KINDS) - 1).wait_for()
        page.get_by_text("times as long").wait_for(timeout=60_000)
        page.get_by_role("button", name="Hide and ask").click()
        page.get_by_text("of 15 were found").wait_for(timeout=60_000)
        assert page.locator("#needles td.found, #needles td.missed").count() == 15
