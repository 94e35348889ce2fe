"""The second look: what an assistant and a cross-encoder say of hits, together with what the search said."""

import json
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import combinations
from math import exp, log
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from samespace.assistant import rerank as reranking
from samespace.assistant.endpoint import Endpoint
from samespace.assistant.request import Picture, question
from samespace.assistant.rerank import Reranker, open_reranker, rerank
from samespace.core.errors import RequestError, UnknownAssistant
from samespace.library.library import Library
from samespace.models.lm import Cache


class Says:
    """An assistant that says yes to pictures whose name has a word of the question."""

    name = "stand-in"

    def choose(self, request, answers):
        *shown, asked = request.messages[-1].parts
        text = f"{shown[0].name if shown else ''} {asked}".lower()
        yes = 0.9 if any(word in (Path(shown[0].name).stem if shown else text) for word in asked.lower().split()) else 0.2
        return [yes, 1 - yes]


@pytest.fixture
def library(tmp_path, album, tiny_space) -> Library:
    (album / "notes.txt").write_text("A recipe for bread: flour, water and salt.")
    opened = Library(tmp_path / "library", tiny_space)
    opened.add([album])
    return opened


def test_what_is_read_again_comes_first_and_nothing_is_lost(library):
    hits = library.search("rocket", top=10, where="kind:image")
    reranked = rerank(library, "rocket", hits, lambda: Reranker(Says()), first=10)
    assert Path(reranked[0].path).name == "rocket.jpg"
    assert {hit.id for hit in reranked} == {hit.id for hit in hits}
    assert [hit.rank for hit in reranked] == list(range(1, len(hits) + 1))


def test_only_the_first_are_read_and_the_rest_stays_in_its_order(library):
    hits = library.search("a", top=10, where="kind:image")
    wanted = Path(hits[-1].path).stem
    asked: list[tuple[int, int]] = []
    reranked = rerank(library, wanted, hits, lambda: Reranker(Says()), first=2, progress=lambda *counts: asked.append(counts))
    assert [hit.id for hit in reranked[2:]] == [hit.id for hit in hits[2:]]
    assert asked == [(1, 2), (2, 2)]


def test_a_file_that_is_gone_keeps_its_place(library, album):
    hits = library.search("rocket", top=10, where="kind:image")
    before = {hit.id: hit.relevance for hit in hits}
    (album / "rocket.jpg").unlink()
    reranked = rerank(library, "rocket", hits, lambda: Reranker(Says()), first=10)
    (gone,) = (hit for hit in reranked if hit.path.endswith("rocket.jpg"))
    assert gone.relevance == before[gone.id] and len(reranked) == len(hits)


def test_search_and_reader_are_averaged_in_log_odds(library):
    (hit,) = library.search("rocket", top=1, where="name:rocket")
    (read,) = rerank(library, "rocket", [replace(hit, relevance=0.3)], lambda: Reranker(Says()), first=1)
    assert log(read.relevance / (1 - read.relevance)) == pytest.approx((log(0.9 / 0.1) + log(0.3 / 0.7)) / 2, abs=1e-3)


def test_our_own_assistant_chooses_by_the_first_token_of_its_answer(tiny, photographs):
    request = question("Is it a cat?", [Picture.read(photographs / "chelsea.png")], max_tokens=1)
    prompt, image_tokens = tiny.prompt(request.messages)
    used = torch.stack([image_tokens[key[0]][key[1]] for key in prompt.keys if isinstance(key, tuple)])
    with torch.inference_mode():
        logits = tiny.model.prefill(torch.tensor([prompt.ids]), used, Cache(tiny.model.c.lm.layers), prompt.positions)
    ids = {
        letter: [tiny.chat.tokenizer.token_to_id(one) for one in (letter, letter.upper())]
        for letter in "abcdefghijklmnopqrstuvwxyz"
    }
    odds = {letter: float(torch.logsumexp(logits.float().flatten()[pair], dim=0)) for letter, pair in ids.items()}
    close, closest = min(combinations(odds, 2), key=lambda pair: abs(odds[pair[0]] - odds[pair[1]]))  # a space begins all
    expected = 1 / (1 + exp(odds[closest] - odds[close]))
    assert 0.1 < expected < 0.9
    assert tiny.choose(request, (f"{close}es", f"{closest}o")) == pytest.approx([expected, 1 - expected], abs=5e-3)
    assert tiny.choose(request, (f"{close}es", f"{closest}o")) == pytest.approx(
        [expected, 1 - expected], abs=5e-3
    )  # from the cache


class Answers(BaseHTTPRequestHandler):
    """A chat endpoint that gives likelihoods, or refuses to, or gives none."""

    likelihoods = "given"
    reasons = False
    """Whether it takes its limit by another name, and no temperature."""

    def log_message(self, *_):
        pass

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.reasons and {"max_tokens", "temperature", "top_p"} & set(asked):
            return self.answer({"error": {"message": "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens'."}}, 400)
        if asked.get("logprobs") and self.likelihoods == "refused":
            return self.answer({"error": {"message": "logprobs are not supported"}}, 400)
        top = [
            {"token": token, "logprob": log(p), "bytes": None}
            for token, p in (("Yes", 0.5), (" yes", 0.1), ("No", 0.2), ("Well", 0.2))
        ]
        given = asked.get("logprobs") and self.likelihoods == "given"
        logprobs = {"content": [{**top[0], "top_logprobs": top}]} if given else None
        message = {"role": "assistant", "content": " Yes."}
        choice = {"index": 0, "finish_reason": "stop", "message": message, "logprobs": logprobs}
        self.answer({"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]})

    def answer(self, values, code=200):
        data = json.dumps(values).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.mark.parametrize("reasons", [False, True])
@pytest.mark.parametrize(("likelihoods", "expected"), [("given", 0.75), ("none", 1.0), ("refused", 1.0)])
def test_an_endpoint_chooses_by_its_likelihoods_or_by_its_answer(likelihoods, expected, reasons, photographs):
    server = HTTPServer(("127.0.0.1", 0), type("Own", (Answers,), {"likelihoods": likelihoods, "reasons": reasons}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        endpoint = Endpoint(f"http://127.0.0.1:{server.server_port}/v1#m")
        yes, _ = endpoint.choose(question("Is it?", [Picture.read(photographs / "chelsea.png")]), ("yes", "no"))
        assert yes == pytest.approx(expected, abs=1e-3)
    finally:
        server.shutdown()
        server.server_close()
    with pytest.raises(RequestError, match="does not answer"):
        endpoint.choose(question("Is it?", []), ("yes", "no"))


class OnlyThoughts(Answers):
    """An endpoint whose model thinks in a field of its own, until its answer's limit."""

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        thoughts = {"role": "assistant", "content": "", "reasoning_content": "Well, the picture"}
        common = {"id": "1", "created": 0, "model": "m"}
        if not asked.get("stream"):
            choice = {"index": 0, "finish_reason": "length", "message": thoughts}
            return self.answer(common | {"object": "chat.completion", "choices": [choice]})
        choice = {"index": 0, "finish_reason": "length", "delta": thoughts}
        data = json.dumps(common | {"object": "chat.completion.chunk", "choices": [choice]})
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self.wfile.write(f"data: {data}\n\ndata: {self.end}\n\n".encode())


@pytest.mark.parametrize(("end", "message"), [("[DONE]", "thought until"), ("{no json", "does not answer")])
def test_an_endpoint_that_only_thinks_or_breaks_off_is_one_sentence(end, message):
    server = HTTPServer(("127.0.0.1", 0), type("Own", (OnlyThoughts,), {"end": end}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        endpoint = Endpoint(f"http://127.0.0.1:{server.server_port}/v1#m")
        with pytest.raises(RequestError, match=message):
            list(endpoint.answer(question("Is it?", [])).pieces)
        with pytest.raises(RequestError, match="thinks before it answers"):
            endpoint.choose(question("Is it?", []), ("yes", "no"))
    finally:
        server.shutdown()
        server.server_close()


def test_an_address_that_is_none_is_one_sentence():
    with pytest.raises(UnknownAssistant, match="is no address"):
        Endpoint("http://[::1#m")


def test_texts_are_read_by_a_cross_encoder_where_one_is_installed(library, tmp_path, monkeypatch):
    class Texts:
        name = "texts"

        def scores(self, query, texts):
            return np.array([0.95 if "flour" in text else 0.1 for text in texts], np.float32)

    hits = library.search("bread recipe", top=10)
    reranked = rerank(library, "bread recipe", hits, lambda: Reranker(None, Texts()), first=10)
    assert reranked[0].path.endswith("notes.txt")
    assert {hit.id: hit.relevance for hit in reranked if hit.modality == "image"} == {
        hit.id: hit.relevance for hit in hits if hit.modality == "image"
    }


def test_without_anything_that_reads_the_reason_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("SAMESPACE_RERANKERS", str(tmp_path))

    def missing():
        raise UnknownAssistant("there is no assistant; pull one")

    with pytest.raises(UnknownAssistant, match="pull one"):
        open_reranker(missing)


def test_a_name_that_nothing_here_has_is_refused_though_something_reads(monkeypatch, tmp_path):
    def missing():
        raise UnknownAssistant("the model 'other' is not served here")

    monkeypatch.setattr(reranking, "RERANKERS", SimpleNamespace(installed=lambda: {"reader": tmp_path}))
    monkeypatch.setattr(reranking, "CrossEncoder", lambda folder: folder)
    assert open_reranker(missing, "reader").texts == tmp_path == open_reranker(missing).texts
    with pytest.raises(UnknownAssistant, match="not served here"):
        open_reranker(missing, "other")
