"""The API, through the official `openai` client, and how bad requests are refused."""

import base64
import contextlib
import http.client
import http.server
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import openai
import pytest
import uvicorn

from samespace.assistant.endpoint import Endpoint
from samespace.assistant.request import Picture, question
from samespace.assistant.retrieval_answers import ask_library
from samespace.core.errors import RequestError, UnknownAssistant
from samespace.library.library import Library
from samespace.server.app import create_app
from samespace.server.services import urls
from samespace.server.services.embeddings import MAX_INPUTS

KEY = "sesame"


@pytest.fixture(scope="module")
def served(tmp_path_factory, tiny_space_folder, tiny_folder, photographs):
    """The base URL of a running server, and its small library."""
    library = Library(tmp_path_factory.mktemp("served") / "library", tiny_space_folder)
    library.add([photographs / name for name in ("chelsea.png", "coffee.png", "rocket.jpg")])
    app = create_app(library, str(tiny_folder), KEY, allow_urls=True)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}", library
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def client(served):
    with openai.OpenAI(base_url=served[0] + "/v1", api_key=KEY, max_retries=0) as client:
        yield client


def uri(path) -> str:
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"


def conversation(text: str, *urls: str) -> list[dict]:
    parts = [{"type": "text", "text": text}, *({"type": "image_url", "image_url": {"url": url}} for url in urls)]
    return [{"role": "user", "content": parts}]


def test_models(client, tiny_space_folder, tiny_folder):
    assert {m.id for m in client.models.list()} == {str(tiny_space_folder), str(tiny_folder)}


def test_embeddings_of_texts(client, served):
    want = served[1].space.text(["a cat", "a dog"])
    for encoding in ({}, {"encoding_format": "float"}, {"encoding_format": "base64"}):
        got = client.embeddings.create(model="tiny", input=["a cat", "a dog"], **encoding)
        vectors = [e.embedding for e in got.data]
        if isinstance(vectors[0], str):
            vectors = [np.frombuffer(base64.b64decode(v), "<f4") for v in vectors]
        np.testing.assert_allclose(vectors, want, atol=1e-6)
        assert got.usage.prompt_tokens == 8
    short = client.embeddings.create(model="tiny", input="a cat", dimensions=4).data[0].embedding
    np.testing.assert_allclose(short, want[0, :4] / np.linalg.norm(want[0, :4]), atol=1e-6)


def test_embeddings_of_pictures_in_three_shapes(client, served, photographs):
    picture = uri(photographs / "coffee.png")
    want = served[1].space.image([photographs / "coffee.png"])[0]
    shapes = [
        {"input": [picture], "extra_body": {"modality": "image"}},
        {"input": [{"image": picture.partition(",")[2]}, {"text": "a cat"}]},
        {"input": None, "extra_body": {"messages": conversation("a cat", picture)}},
    ]
    for shape in shapes:
        got = [e.embedding for e in client.embeddings.create(model="tiny", encoding_format="float", **shape).data]
        assert min(np.abs(np.array(z) - want).max() for z in got) < 1e-6
    mixed = [{"image": picture.partition(",")[2]}, {"text": "a cat"}, {"text": "a dog"}]
    found = client.embeddings.create(model="tiny", encoding_format="float", input=mixed).data
    assert [one.index for one in found] == [0, 1, 2]
    expected = np.concatenate([want[None], served[1].space.text(["a cat", "a dog"])])
    np.testing.assert_allclose([one.embedding for one in found], expected, atol=1e-6)


def test_an_answer_whole_and_streamed(client, photographs):
    body = dict(
        model=client.models.list().data[1].id, messages=conversation("What?", uri(photographs / "coffee.png")), max_tokens=9
    )
    whole = client.chat.completions.create(**body)
    assert whole.usage.prompt_tokens_details.model_dump()["image_tokens"] == 80
    assert whole.usage.completion_tokens <= 9
    chunks = list(client.chat.completions.create(**body, stream=True, stream_options={"include_usage": True}))
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage.prompt_tokens == whole.usage.prompt_tokens
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == whole.choices[0].finish_reason


def test_search(client, served):
    got = client.post("/search", body={"query": "a cat", "top": 2}, cast_to=object)
    want = served[1].search("a cat", 2)
    assert [hit["path"] for hit in got["data"]] == [hit.path for hit in want]


def test_health_needs_no_key_and_all_else_does(served):
    base, _ = served
    with openai.OpenAI(base_url=base + "/v1", api_key="wrong") as stranger, pytest.raises(openai.AuthenticationError) as error:
        stranger.models.list()
    assert error.value.body["code"] == "invalid_api_key"
    assert json.loads(raw(base, "GET", "/health")[1])["status"] == "ok"
    assert raw(base, "GET", "/metrics")[0] == 401
    status, text = raw(base, "GET", "/metrics", headers={"Authorization": f"Bearer {KEY}"})
    assert status == 200
    assert 'samespace_tokens_total{kind="answer"}' in text


def raw(base: str, method: str, path: str, body: bytes | None = None, headers: dict | None = None) -> tuple[int, str]:
    connection = http.client.HTTPConnection(base.removeprefix("http://"), timeout=60)
    connection.request(method, path, body, headers or {})
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    return response.status, text


@pytest.mark.parametrize(
    ("change", "status", "message"),
    [
        ({"messages": [{"role": "wizard", "content": "x"}]}, 400, "wizard"),
        ({"messages": []}, 400, "no messages"),
        ({"messages": conversation("x" * 600)}, 400, "reads 512"),
        ({"messages": conversation("x", "data:image/png;base64,###")}, 400, "base64"),
        ({"messages": conversation("x", "data:image/png;base64,AAAA")}, 400, "not a picture"),
        (
            {"messages": conversation("x", "data:image/png;base64," + base64.b64encode(bytes(10_000_000)).decode())},
            400,
            "not a picture",
        ),
        ({"messages": conversation("x", "file:///etc/passwd")}, 400, "data URI"),
        ({"messages": conversation("x", "http://127.0.0.1/secret.png")}, 400, "inside this network"),
        ({"messages": conversation("x", "http://169.254.169.254/latest")}, 400, "inside this network"),
        ({"messages": conversation("x", "http://[::1]:80/")}, 400, "inside this network"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, 400, "input_audio"),
        ({"model": "gpt-4o"}, 404, "gpt-4o"),
        ({"n": 2}, 400, "one answer"),
        ({"max_tokens": 0}, 400, "max_tokens"),
        ({"max_completion_tokens": -1}, 400, "max_completion_tokens"),
        ({"response_format": {"type": "json_object"}}, 400, "response_format"),
        ({"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]}, 400, "tools"),
        ({"logprobs": True}, 400, "logprobs"),
        ({"logit_bias": {"5": 3}}, 400, "logit_bias"),
        ({"frequency_penalty": 0.5}, 400, "frequency_penalty"),
        ({"modalities": ["text", "audio"]}, 400, "modalities"),
        ({"temperature": 9}, 400, "temperature"),
        ({"messages": "hello"}, 400, "messages"),
    ],
)
def test_bad_requests_are_refused_in_openais_shape(client, change, status, message):
    body = {"model": client.models.list().data[1].id, "messages": conversation("x")} | change
    with pytest.raises(openai.APIStatusError) as error:
        client.chat.completions.create(**body)
    assert error.value.status_code == status
    assert message in error.value.body["message"]
    assert {"message", "type", "param", "code"} == error.value.body.keys()


def test_settings_that_change_nothing_are_let_through(client):
    settings = {
        "response_format": {"type": "text"},
        "frequency_penalty": 0,
        "logprobs": False,
        "tools": [],
        "modalities": ["text"],
    }
    model = client.models.list().data[1].id
    answer = client.chat.completions.create(model=model, messages=conversation("x"), max_tokens=2, user="someone", **settings)
    assert answer.choices[0].message.role == "assistant"


def test_models_are_described_by_name_and_others_are_not_there(client):
    for model in client.models.list().data:
        assert client.models.retrieve(model.id).id == model.id
    with pytest.raises(openai.NotFoundError, match="is not served here; ask for"):
        client.models.retrieve("gpt-4o")
    with pytest.raises(openai.NotFoundError, match="is not served here; ask for"):
        client.embeddings.create(model="text-embedding-3-small", input="x")


def test_bad_embedding_requests_are_refused(client):
    for change, message in (
        ({"input": []}, "0 inputs"),
        ({"dimensions": 999}, "ask for no more"),
        ({"input": [1, 2]}, "token ids"),
    ):
        with pytest.raises(openai.BadRequestError, match=message):
            client.embeddings.create(**{"model": "tiny", "input": "x"} | change)


def test_too_many_pictures_are_refused_before_any_is_fetched(client, monkeypatch):
    monkeypatch.setattr(urls, "fetch", lambda url: pytest.fail(f"{url} was fetched"))
    items = [{"image": "http://public.example/cat.png"}] * (MAX_INPUTS + 1)
    with pytest.raises(openai.BadRequestError, match=f"{MAX_INPUTS + 1} inputs"):
        client.embeddings.create(model="tiny", input=items)


def test_what_is_no_text_is_embedded_all_the_same(served):
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    status, text = raw(served[0], "POST", "/v1/embeddings", b'{"model": "tiny", "input": "caf\\ud800"}', headers)
    assert status == 200 and len(json.loads(text)["data"]) == 1


def test_no_json_and_no_route_and_too_much(served):
    base, headers = served[0], {"Authorization": f"Bearer {KEY}"}
    for method, path, body, status in (("POST", "/v1/chat/completions", b"{bad", 400), ("GET", "/nowhere", None, 404)):
        got, text = raw(base, method, path, body, headers | {"Content-Type": "application/json"})
        assert got == status
        assert json.loads(text)["error"]["message"]
    assert raw(base, "POST", "/v1/embeddings", headers=headers | {"Content-Length": "999999999"})[0] == 413
    browser = headers | {"Accept": "text/html,application/xhtml+xml"}
    status, text = raw(base, "GET", "/nowhere", headers=browser)
    assert status == 404 and "There is no such page" in text and text.startswith("<!doctype html>")
    assert "/v1/models" in json.loads(raw(base, "GET", "/v1/nowhere", headers=browser)[1])["error"]["message"]


def test_a_head_that_drips_is_not_waited_for(monkeypatch):
    def drip(listening: socket.socket) -> None:
        peer, _ = listening.accept()
        with contextlib.suppress(OSError), peer:
            peer.sendall(b"HTTP/1.1 200 OK\r\n")
            while True:
                peer.sendall(b"X-Again: yes\r\n")
                time.sleep(0.05)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=drip, args=[listening], daemon=True).start()
        monkeypatch.setattr(urls, "SECONDS", 1)
        monkeypatch.setattr(urls, "is_public", lambda address: True)
        with pytest.raises(RequestError, match="does not give the picture"):
            urls.fetch(f"http://127.0.0.1:{listening.getsockname()[1]}/cat.png")


def test_a_redirect_inwards_is_refused(monkeypatch):
    """A public server that redirects to this machine: the second address is checked too."""

    class Redirects(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(302)
            self.send_header("Location", "http://127.0.0.1:1/secret")
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Redirects) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()

        def resolve(host, *_, **__):
            return [(0, 0, 0, "", ("93.184.215.14" if host == "public.example" else host, 80))]

        def reach(_, timeout):
            sock = socket.socket()
            sock.connect(("127.0.0.1", server.server_port))
            return sock

        monkeypatch.setattr(urls.socket, "getaddrinfo", resolve)
        monkeypatch.setattr(urls.socket, "create_connection", reach)
        with pytest.raises(RequestError, match="127.0.0.1 is an address inside"):
            urls.fetch("http://public.example/cat.png")


def test_urls_are_not_fetched_unless_allowed():
    with pytest.raises(RequestError, match="--allow-urls"):
        urls.read_picture("http://example.com/cat.png", urls_allowed=False)


def test_a_client_that_leaves_is_not_answered_further(client, served):
    body = dict(model=client.models.list().data[1].id, messages=conversation("Go on"), max_tokens=450)
    before = answer_tokens(served[0])
    with client.chat.completions.create(**body, stream=True) as stream:
        next(iter(stream))
    deadline = time.monotonic() + 20
    while answer_tokens(served[0]) == before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert 0 < answer_tokens(served[0]) - before < 400


def answer_tokens(base: str) -> float:
    text = raw(base, "GET", "/metrics", headers={"Authorization": f"Bearer {KEY}"})[1]
    lines = [line for line in text.splitlines() if line.startswith('samespace_tokens_total{kind="answer"}')]
    return float(lines[0].split()[1]) if lines else 0.0


def test_twenty_clients_at_once(client, photographs):
    body = dict(
        model=client.models.list().data[1].id, messages=conversation("Well?", uri(photographs / "coffee.png")), max_tokens=6
    )
    with ThreadPoolExecutor(20) as pool:
        replies = list(pool.map(lambda _: client.chat.completions.create(**body), range(20)))
    assert len({reply.choices[0].message.content for reply in replies}) == 1


def test_an_endpoint_as_the_assistant(served, tiny, photographs, monkeypatch):
    monkeypatch.setenv("SAMESPACE_ASSISTANT_KEY", KEY)
    address, picture = served[0] + "/v1", Picture.read(photographs / "coffee.png")
    remote = Endpoint(f"{address}#{Endpoint(address).client.models.list().data[1].id}")
    asked = question("What is it?", [picture], max_tokens=7, stop=("not in the answer",))
    reply = remote.answer(asked)
    assert reply.text
    assert reply.outcome.answer <= 7 and reply.outcome.prompt > 80
    with pytest.raises(RequestError, match="check address, model and key"):
        Endpoint(f"{address}#nothing").answer(asked)
    with pytest.raises(UnknownAssistant, match="names no model"):
        Endpoint("http://127.0.0.1:9/v1")


def test_answers_over_a_library_cite_what_they_used(served, tiny):
    answer = ask_library(served[1], tiny, "Where is the cat?", limit=3, max_tokens=5)
    assert [hit.path for hit in answer.hits] == [hit.path for hit in served[1].search("Where is the cat?", 3)]
    assert answer.reply.text
    assert answer.reply.outcome.pictures == 3 * 80
    assert answer.cited("It is on the sofa [2].") == [answer.hits[1]]
    assert answer.cited("I see.") == answer.hits


def test_words_of_a_search_open_no_file(client):
    got = client.post("/search", body={"query": "/etc/passwd", "top": 1}, cast_to=object)
    assert len(got["data"]) == 1


def test_a_client_that_leaves_before_the_end_is_not_answered_either(client, served):
    body = json.dumps({"model": client.models.list().data[1].id, "messages": conversation("Go on"), "max_tokens": 450}).encode()
    before = answer_tokens(served[0])
    with socket.create_connection(("127.0.0.1", int(served[0].rpartition(":")[2]))) as sock:
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n"
        sock.sendall(f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        time.sleep(0.4)
    deadline = time.monotonic() + 20
    while answer_tokens(served[0]) == before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert 0 < answer_tokens(served[0]) - before < 400


def test_a_body_without_a_length_is_bounded_too(served, monkeypatch):
    monkeypatch.setattr("samespace.server.middleware.MAX_BODY", 1000)
    parts = iter([b'{"model": "', b"x" * 5000, b'"}'])
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    status, text = raw(served[0], "POST", "/v1/embeddings", parts, headers)
    assert status == 413
    assert "send less" in json.loads(text)["error"]["message"]
    assert raw(served[0], "GET", "/v1/models", headers=headers)[0] == 200


@pytest.mark.parametrize(
    ("address", "public"),
    [("93.184.215.14", True), ("10.0.0.1", False), ("::1", False), ("64:ff9b::7f00:1", False), ("2002:7f00:1::", False),
     ("::ffff:192.168.0.1", False), ("2606:4700::1111", True)],
)  # fmt: skip
def test_addresses_that_embed_other_addresses(address, public):
    assert urls.is_public(address) == public


def test_openais_key_goes_to_openai_only(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    assert Endpoint("http://127.0.0.1:9/v1#x").client.api_key == "none"
    assert Endpoint("https://api.openai.com/v1#x").client.api_key == "secret"


def post(served, path: str, body: dict) -> tuple[int, dict]:
    with contextlib.closing(http.client.HTTPConnection(served[0].removeprefix("http://"))) as request:
        request.request("POST", path, json.dumps(body), {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"})
        answer = request.getresponse()
        return answer.status, json.loads(answer.read())


def test_rerank_by_vectors_in_the_common_shape(served, photographs):
    space, texts = served[1].space, ["a dog", "a cup of coffee", "a cat"]
    body = {
        "model": space.name,
        "query": "a cat",
        "documents": [*texts[:2], {"text": "a cat"}, {"image": uri(photographs / "chelsea.png")}],
    }
    status, answer = post(served, "/v1/rerank", body | {"return_documents": True})
    assert status == 200 and answer["model"] == space.handle
    want = np.append(
        space.text(texts) @ space.text(["a cat"])[0], space.image([photographs / "chelsea.png"]) @ space.text(["a cat"])[0]
    )
    assert [one["index"] for one in answer["results"]] == np.argsort(-want).tolist()
    assert answer["results"][0] == {"index": 2, "relevance_score": pytest.approx(1, abs=1e-5), "document": {"text": "a cat"}}
    assert len(post(served, "/v1/rerank", body | {"top_n": 2})[1]["results"]) == 2


def test_rerank_by_the_assistant(served, photographs):
    body = {"query": "a cat", "documents": ["a cat sits on a mat", {"image": uri(photographs / "chelsea.png")}]}
    status, answer = post(served, "/v1/rerank", body)
    scores = [one["relevance_score"] for one in answer["results"]]
    assert status == 200 and answer["model"] == "tiny" and sorted(scores, reverse=True) == scores
    assert all(0 <= score <= 1 for score in scores) and {one["index"] for one in answer["results"]} == {0, 1}
    status, answer = post(served, "/v1/search", {"query": "a cat", "rerank": True})
    assert status == 200 and [hit["rank"] for hit in answer["data"]] == [1, 2, 3]
    relevances = [hit["relevance"] for hit in answer["data"]]
    assert sorted(relevances, reverse=True) == relevances and None not in relevances


def test_bad_requests_to_rerank_are_refused_in_a_sentence(served):
    for body in ({"query": "a"}, {"query": "a", "documents": []}, {"query": "", "documents": ["a"]}):
        assert post(served, "/v1/rerank", body)[0] in (400, 422)
    for body in (
        {"query": "a", "documents": [{"text": "a", "image": "b"}]},
        {"query": "a", "documents": ["b"], "model": "other"},
    ):
        status, answer = post(served, "/v1/rerank", body)
        assert status in (400, 404) and answer["error"]["message"]


def test_stop_words_are_few_and_short(served):
    body = {"model": "tiny", "messages": [{"role": "user", "content": "x"}], "max_tokens": 1}
    for stop in ("a" * 1001, ["a"] * 17):
        assert post(served, "/v1/chat/completions", body | {"stop": stop})[0] in (400, 422)
    assert post(served, "/v1/chat/completions", body | {"stop": ["a" * 1000]})[0] == 200


def test_null_is_the_default_of_an_embedding_request(client):
    body = {"encoding_format": None, "modality": None}
    asked = client.embeddings.with_raw_response.create(model="tiny", input="x", extra_body=body)
    assert len(json.loads(asked.text)["data"][0]["embedding"]) == len(
        client.embeddings.create(model="tiny", input="x").data[0].embedding
    )


@pytest.mark.parametrize("change", ["lines", "space", "no padding", "url", "upper"])
def test_base64_as_programs_write_it(change):
    data = bytes(range(256)) * 3 + b"xy"
    plain = base64.b64encode(data).decode()
    forms = {
        "lines": base64.encodebytes(data).decode(), "space": f" {plain}", "no padding": plain.rstrip("="),
        "url": base64.urlsafe_b64encode(data).decode(), "upper": plain,
    }  # fmt: skip
    head = "DATA:image/PNG;BASE64," if change == "upper" else "data:image/png;base64,"
    assert urls.decode_data_uri(head + forms[change]) == data
    with pytest.raises(RequestError, match="not valid base64"):
        urls.decode_data_uri("data:image/png;base64,###")


def test_a_key_comes_with_a_scheme_in_any_case_of_letters(served):
    for scheme in ("bearer", "BEARER", "Bearer"):
        status, _ = raw(served[0], "GET", "/v1/models", b"", {"Authorization": f"{scheme} {KEY}"})
        assert status == 200
