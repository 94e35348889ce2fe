"""The pages and their routes: what they return, and what they refuse."""

import base64
import io
import json
import os
import re
import shutil
from dataclasses import asdict
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from fastapi.testclient import TestClient
from media_files import scene, write_document, write_video
from PIL import Image

from samespace.assistant.registry import ASSISTANTS
from samespace.core.errors import LibraryBusy
from samespace.explain.heatmap import GRID
from samespace.library.library import Library
from samespace.library.search.hits import Hit
from samespace.server import app
from samespace.server.app import create_app, create_server
from samespace.server.services.embeddings import Embedding
from samespace.server.services.indexing import IndexingJob, IndexingState
from samespace.server.services.lazy_assistant import LazyAssistant
from samespace.server.services.library_media import LibraryMedia
from samespace.server.services.reranking import Reranking
from samespace.server.services.schemas import PageSearchRequest
from samespace.server.services.search_page import SearchPage
from samespace.spaces.registry import SPACES

HERE = "http://127.0.0.1"
STATIC = Path(app.__file__).parent / "static"


@pytest.fixture
def library(tmp_path, tiny_space_folder, album):
    library = Library(tmp_path / "library", tiny_space_folder)
    library.add([album])
    return library


@pytest.fixture
def web(library):
    return TestClient(create_app(library), base_url=HERE, client=("127.0.0.1", 50000))


def search(web, query="a cat", **more):
    return web.post("/app/search", json={"query": query} | more).json()


def test_a_page_runs_no_script_but_ours(web, library):
    assert f"{library.store.count()} segments" in web.get("/library").text
    for address in ("/", "/places", "/map", "/duplicates", "/ask", "/draw", "/learn", "/lab", "/library", "/spaces"):
        page = web.get(address)
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
        assert page.status_code == 200 and "<script>" not in page.text and " style=" not in page.text
    for name in (p.relative_to(STATIC) for p in STATIC.rglob("*.*")):
        assert web.get(f"/static/{name}").status_code == 200


def test_installed_spaces_and_assistants_are_shown_with_their_cards(web, tiny_folder):
    shutil.copytree(tiny_folder, ASSISTANTS.folder / "tiny")
    (ASSISTANTS.folder / "damaged").mkdir()
    (ASSISTANTS.folder / "damaged" / "assistant.json").write_text("{")
    text = web.get("/spaces").text
    assert "starter" in text and "recall at 10 lost" in text and "Apache-2.0" in text
    assert "tiny" in text and "damaged" in text


def test_curves_of_a_training_are_drawn(web, tiny_folder):
    """A card's curves are drawn; what is not a curve is left out."""
    curves = {"loss": [[1, 4.0], [50, 3.0], [100, 2.0]], "val/loss": [[1, 3.5]], "bad": "x", "worse": [[1, "a"], [2, None]]}
    config, before = json.loads((tiny_folder / "assistant.json").read_text("utf-8")), web.get("/spaces").text.count("<polyline")
    for name, card in (("curved", {"curves": curves, "steps": 100}), ("odd", {"curves": [1]})):
        shutil.copytree(tiny_folder, ASSISTANTS.folder / name)
        (ASSISTANTS.folder / name / "assistant.json").write_text(json.dumps(config | {"name": name, "card": card}))
    text = web.get("/spaces").text
    assert 'points="2.4,0.0 120.0,40.0 240.0,80.0"' in text and text.count("<polyline") == before + 1
    assert text.count("loss: 4 at step 1, 2 at step 100") == 2  # as the label of the drawing, and below it


@pytest.mark.parametrize("change", [{"query": "x" * 3000}, {"query": " + ".join("ab" * 40)}, {"terms": [{"id": "x"}] * 40}])
def test_an_endless_query_is_refused(web, change):
    assert web.post("/app/search", json={"query": "a cat"} | change).status_code == 400


def test_a_folder_is_forgotten_from_this_machine_only(library, album):
    app = create_app(library)
    far = TestClient(app, base_url=HERE, client=("10.0.0.9", 50000))
    assert far.post("/app/forget", json={"folder": str(album)}).status_code == 403
    web = TestClient(app, base_url=HERE, client=("127.0.0.1", 50000))
    assert web.post("/app/forget", json={"folder": str(album)}).json() == {"forgotten": 4}
    assert search(web)["hits"] == [] and (album / "coffee.png").exists()


def test_without_a_library_the_page_says_how_to_make_one(tmp_path, tiny_space_folder):
    web = TestClient(create_app(Library(tmp_path / "none", tiny_space_folder)), base_url=HERE, client=("127.0.0.1", 50000))
    assert "samespace index" in web.get("/").text
    answer = web.post("/app/search", json={"query": "a cat"})
    assert answer.status_code == 404 and "samespace index" in answer.json()["error"]["message"]


def test_hits_are_those_of_the_library(web, library):
    found, want = search(web)["hits"], library.search("a cat", 200)
    assert [hit["path"] for hit in found] == [hit.path for hit in want]
    assert found[0]["name"] == os.path.basename(want[0].path)
    assert len(search(web, top=2)["hits"]) == 2


def test_pictures_steer_and_are_not_their_own_answer(web, library, photographs):
    first, second, *_ = search(web)["hits"]
    likes = search(web, "", terms=[{"id": first["id"]}])["hits"]
    assert first["id"] not in {hit["id"] for hit in likes} and len(likes) == library.store.count() - 1
    data = base64.b64encode((photographs / "coffee.png").read_bytes()).decode()
    dropped = search(web, "", terms=[{"media": f"data:image/png;base64,{data}"}])["hits"]
    assert dropped[0]["name"] == "coffee.png" and dropped[0]["score"] > 0.99
    apart = {hit["id"]: hit["score"] for hit in search(web, "a cat", terms=[{"id": second["id"], "weight": -1}])["hits"]}
    assert second["id"] not in apart


def test_pictures_are_served_small_and_large_and_stored(web, library):
    hit = search(web)["hits"][0]
    small, large = (web.get(f"/pictures/{hit['id']}/{size}") for size in ("small", "large"))
    for answer, side in ((small, 480), (large, 2048)):
        assert answer.headers["content-type"] == "image/jpeg" and answer.headers["x-content-type-options"] == "nosniff"
        assert max(Image.open(io.BytesIO(answer.content)).size) <= side
    assert len(list(library.location.thumbnails.rglob("*.jpg"))) == 1
    assert web.get(f"/pictures/{hit['id']}/small").content == small.content
    again = web.get(f"/pictures/{hit['id']}/small", headers={"If-None-Match": small.headers["etag"]})
    assert again.status_code == 304 and not again.content


def test_only_indexed_files_are_served(web, library, tmp_path):
    secret = tmp_path / "secret.png"
    Image.new("RGB", (8, 8), "red").save(secret)
    for id in ("0" * 32, "../secret.png", "..%2f..%2fsecret.png", str(secret), "x' OR '1'='1", "%00", "é"):
        assert web.get(f"/pictures/{id}/small").status_code in (400, 404), id
    assert web.get(f"/pictures/{search(web)['hits'][0]['id']}/huge").status_code in (400, 422)
    for path in ("/static/../app.py", "/static/..%2fapp.py", "/static/%2e%2e/app.py"):
        assert web.get(path).status_code == 404


def test_a_file_that_became_a_way_out_is_not_followed(web, library, tmp_path):
    secret = tmp_path / "secret.png"
    Image.new("RGB", (8, 8), "red").save(secret)
    hit = search(web)["hits"][0]
    os.remove(hit["path"])
    os.symlink(secret, hit["path"])
    for size in ("small", "large"):
        answer = web.get(f"/pictures/{hit['id']}/{size}")
        assert answer.status_code == 400 and "leads out of the folder" in answer.json()["error"]["message"]


def test_a_stored_thumbnail_is_served_only_while_the_file_is_unchanged(web, library, tmp_path):
    hit, *_ = [h for h in search(web)["hits"] if h["name"].endswith(".png")]
    before = web.get(f"/pictures/{hit['id']}/small").content
    Image.new("RGB", (64, 64), "red").save(hit["path"])
    after = web.get(f"/pictures/{hit['id']}/small").content
    assert after != before and Image.open(io.BytesIO(after)).getpixel((30, 30))[0] > 200
    stored = list(library.location.thumbnails.rglob("*.jpg"))
    assert [path.read_bytes() for path in stored] == [before]  # other content than the indexed one is not stored
    os.remove(hit["path"])
    assert web.get(f"/pictures/{hit['id']}/small").status_code == 400
    library.add([os.path.dirname(hit["path"])])
    assert not list(library.location.thumbnails.rglob("*.jpg"))


def test_pictures_are_served_without_metadata(tmp_path, tiny_space_folder):
    (tmp_path / "album").mkdir()
    exif = Image.Exif()
    exif[0x010E] = "my home address"
    Image.new("RGB", (64, 64)).save(tmp_path / "album" / "a.jpg", comment=b"my home address", exif=exif)
    library = Library(tmp_path / "library", tiny_space_folder)
    library.add([tmp_path / "album"])
    web = TestClient(create_app(library), base_url=HERE)
    for size in ("small", "large"):
        assert b"home" not in web.get(f"/pictures/{search(web)['hits'][0]['id']}/{size}").content


def test_names_of_any_bytes_are_shown(tmp_path, tiny_space_folder, photographs):
    folder = tmp_path / os.fsdecode(b"caf\xe9 \xf0\x9f\x8c\x8a\nline")
    folder.mkdir()
    name = folder / os.fsdecode(b"\xff.png")
    name.write_bytes((photographs / "coffee.png").read_bytes())
    library = Library(tmp_path / "library", tiny_space_folder)
    library.add([folder])
    web = TestClient(create_app(library), base_url=HERE, client=("127.0.0.1", 50000))
    assert web.get("/library").status_code == 200
    hit = search(web)["hits"][0]
    assert web.get(f"/pictures/{hit['id']}/small").status_code == 200
    assert search(web, under=hit["folder"])["hits"] and not search(web, under="/elsewhere")["hits"]
    assert web.post("/app/index", json={"folder": hit["folder"]}).status_code == 202
    assert '"added": 0' in web.get("/app/index").text
    name.write_bytes(b"no picture")
    assert web.get(f"/pictures/{hit['id']}/large").status_code == 400


def test_folders_are_added_from_this_machine_or_with_the_key(library, album):
    body = {"json": {"folder": str(album)}}
    afar = TestClient(create_app(library), base_url=HERE, client=("192.168.0.7", 50000))
    assert afar.post("/app/index", **body).status_code == 403
    near = TestClient(create_app(library), base_url=HERE, client=("127.0.0.1", 50000))
    assert near.post("/app/index", headers={"X-Forwarded-For": "192.168.0.7"}, **body).status_code == 403
    keyed = TestClient(create_app(library, key="sesame"), base_url=HERE, client=("192.168.0.7", 50000))
    assert keyed.post("/app/index", headers={"Authorization": "Bearer sesame"}, **body).status_code == 202


def test_the_line_stands_after_the_last_likely_hit(library, monkeypatch):
    page = SearchPage(library, LibraryMedia(library), Reranking(library, Embedding(library.space), LazyAssistant("none")))
    hits = [Hit(i, 0.5, f"/{i}.png", "image", p) for i, p in enumerate((0.9, 0.2, 0.6, 0.1), 1)]
    monkeypatch.setattr(library, "search", lambda *_, **__: hits)
    results = page.search(PageSearchRequest(query="x"), lambda *_: None)
    assert (results.likely, results.line) == (2, 3)


def test_a_picture_that_is_gone_is_one_sentence(web):
    hit = search(web)["hits"][0]
    os.remove(hit["path"])
    answer = web.get(f"/pictures/{hit['id']}/large")
    assert answer.status_code == 400 and "index its folder again" in answer.json()["error"]["message"]


def test_a_library_that_cannot_be_written_to_still_shows_pictures(web, library):
    hit = search(web)["hits"][0]
    library.location.thumbnails.write_text("in the way")
    assert web.get(f"/pictures/{hit['id']}/small").status_code == 200


def test_why_has_a_map_for_the_phrase_and_each_word(web):
    hit = search(web)["hits"][0]
    answer = web.get(f"/app/why/{hit['id']}", params={"words": "a cat asleep"}).json()
    assert answer["words"] == ["a", "cat", "asleep"] and len(answer["maps"]) == 4
    assert all(len(m) == GRID and len(m[0]) == GRID for m in answer["maps"])
    assert web.get("/app/why/" + "0" * 32, params={"words": "x"}).status_code == 404


def test_pages_of_its_own_change_things(web):
    assert web.post("/app/search", headers={"Origin": HERE}, json={"query": "a cat"}).status_code == 200


def test_training_steps_lower_the_loss_of_a_batch(web):
    z = np.random.default_rng(0).normal(size=(2, 4, 16))
    images, texts = (z / np.linalg.norm(z, axis=-1, keepdims=True)).tolist()
    answer = web.post("/app/lesson/contrast", json={"images": images, "texts": texts, "temperature": 0.1}).json()
    assert answer["losses"][-1] < answer["losses"][0]
    assert np.allclose(np.linalg.norm(answer["images"], axis=1), 1, atol=1e-5)
    logits = np.array(images) @ np.array(texts).T / 0.1  # the first loss is that of the vectors as they came
    away = [np.log(np.exp(side).sum(axis=1)) - np.diag(side) for side in (logits, logits.T)]
    assert answer["losses"][0] == pytest.approx(np.mean(away), rel=1e-4)
    for wrong in ({"texts": texts[:3]}, {"images": [], "texts": []}, {"images": [[]] * 4, "texts": [[]] * 4}, {"temperature": 0}):
        body = {"images": images, "texts": texts, "temperature": 0.1} | wrong
        assert web.post("/app/lesson/contrast", json=body).status_code == 400


def test_a_trace_is_that_of_the_assistant(library, tiny_folder, photographs):
    web = TestClient(create_app(library, str(tiny_folder)), base_url=HERE)
    data = base64.b64encode((photographs / "coffee.png").read_bytes()).decode()
    steps = web.post(
        "/app/lesson/trace", json={"picture": f"data:image/png;base64,{data}", "question": "What?", "max_tokens": 4}
    ).json()
    assert steps["pixels"]["shape"][2] == 3 and len(steps["nearest_words"]) == steps["grid"] ** 2
    assert sum(token["cell"] >= 0 for token in steps["sequence"]) >= steps["grid"] ** 2
    assert all(len(token["attention"]) == steps["grid"] for token in steps["answer"])


def test_only_the_demos_photographs_are_given(web):
    assert web.get("/app/lesson/photographs/chelsea.png").headers["content-type"] == "image/png"
    for name in ("moon.png", "..%2fcamera.png", "%2fetc%2fpasswd"):
        assert web.get(f"/app/lesson/photographs/{name}").status_code == 404


def test_a_browser_sends_the_key_once(library):
    web = TestClient(create_app(library, key="sesame"), base_url=HERE, client=("127.0.0.1", 50000))
    assert web.get("/").status_code == 401
    assert web.get("/?key=wrong").status_code == 401
    assert web.get("/static/app.css?key=sesame").status_code == 401
    opened = web.get("/?key=sesame")
    assert opened.status_code == 200 and str(opened.url) == f"{HERE}/"
    assert web.get("/static/app.css").status_code == 200


@pytest.mark.parametrize("change", [{"top": 0}, {"top": 10**6}, {"since": "yesterday"}, {"terms": [{"media": "data:,x"}]}, {}])
def test_an_invalid_search_is_one_sentence(web, change):
    answer = web.post("/app/search", json={"query": ""} | change)
    assert answer.status_code == 400 and len(answer.json()["error"]["message"]) < 300


def test_a_folder_is_indexed_from_the_page(tmp_path, tiny_space_folder, album):
    library = Library(tmp_path / "new", tiny_space_folder)
    web = TestClient(create_app(library), base_url=HERE, client=("127.0.0.1", 50000))
    assert json.loads(web.get("/app/index").text.removeprefix("data: ")) == asdict(IndexingState())
    (album / "broken.jpg").write_bytes(b"no picture")
    assert web.post("/app/index", json={"folder": str(album)}).status_code == 202
    states = [json.loads(line.removeprefix("data: ")) for line in web.get("/app/index").text.split("\n\n") if line]
    assert states[-1]["running"] is False and states[-1]["report"]["added"] == library.store.count() > 0
    assert any("broken.jpg" in path and reason for path, reason in states[-1]["report"]["skipped"])
    assert str(album) in web.get("/library").text
    assert search(web)["hits"]


def test_a_folder_that_is_not_there_is_one_sentence(web):
    assert web.post("/app/index", json={"folder": "/no/such/folder"}).status_code == 202
    (last,) = [json.loads(s.removeprefix("data: ")) for s in web.get("/app/index").text.split("\n\n") if '"running": false' in s]
    assert "does not exist" in last["error"]
    assert web.post("/app/index", json={"folder": ""}).status_code == 400
    assert web.post("/app/index", json={"folder": "/"}, headers={"Origin": "https://evil.example"}).status_code == 403


def test_one_folder_at_a_time(library, album):
    indexing = IndexingJob(library)
    indexing.state = IndexingState(running=True, folder="/a")
    with pytest.raises(LibraryBusy, match="wait until it is done"):
        indexing.start(str(album))


def test_a_video_plays_and_a_page_is_shown(tmp_path, tiny_space):
    (tmp_path / "in").mkdir()
    write_video(tmp_path / "in" / "two.mp4", [(scene((200, 20, 20)), 3.0), (scene((20, 40, 220)), 3.0)])
    write_document(tmp_path / "in" / "two.pdf", ["one", "two"])
    library = Library(tmp_path / "library", tiny_space)
    library.add([tmp_path / "in"])
    client = TestClient(create_app(library), base_url=HERE, client=("127.0.0.1", 50000))
    hits = {h["kind"]: h for h in search(client, "anything")["hits"]}
    assert hits["document"]["locator"] in ("page 1", "page 2") and hits["video"]["locator"].startswith("0:0")
    whole = (tmp_path / "in" / "two.mp4").read_bytes()
    part = client.get(f"/media/{hits['video']['id']}", headers={"range": "bytes=100-199"})
    assert part.status_code == 206 and part.content == whole[100:200]
    for hit in hits.values():
        for size in ("small", "small", "large"):
            assert client.get(f"/pictures/{hit['id']}/{size}").content[:2] == b"\xff\xd8"
    refused = client.get(f"/media/{hits['document']['id']}")
    assert refused.status_code == 400 and "nothing to play" in refused.json()["error"]["message"]


def uri_of(file, kind="image/png"):
    return f"data:{kind};base64,{base64.b64encode(Path(file).read_bytes()).decode()}"


def test_a_patch_is_followed_through_the_tower(web, photographs):
    body = {"picture": uri_of(photographs / "coffee.png"), "patch": 3}
    found = web.post("/app/lesson/patch", json=body).json()
    assert found["grid"] == 4 and len(found["embedding"]) == 48 and np.array(found["attention"]).shape == (2, 4, 4, 4)
    assert web.post("/app/lesson/patch", json=body | {"patch": 16}).status_code == 400


def test_the_assistants_own_tiles_are_counted(library, tiny_folder):
    web = TestClient(create_app(library, str(tiny_folder)), base_url=HERE)
    small, large = (web.post("/app/lesson/sides", json={"width": side, "height": side}).json() for side in (20, 4000))
    assert small["tokens"] == small["tokens_per_view"] and small["views"] == 1
    assert large["tokens"] == large["views"] * large["tokens_per_view"] and large["views"] == 1 + large["columns"] * large["rows"]


def test_two_spaces_rank_the_same_pictures(web, library, tiny_space_folder):
    shutil.copytree(tiny_space_folder, SPACES.folder / "copy")
    spaces = ["starter", library.space.config.name]
    answer = web.post("/app/compare", json={"query": "a cat", "spaces": spaces}).json()
    one, other = answer["spaces"]
    assert len(one["hits"]) == len(other["hits"]) == library.store.count() and (one["dim"], other["dim"]) == (512, 24)
    assert Path(one["hits"][0]["name"]).name == "chelsea.png"
    want = [hit.path for hit in library.search("a cat", 10)]
    assert [hit["name"] for hit in other["hits"]] == want
    assert web.get(one["hits"][0]["url"]).headers["content-type"] == "image/jpeg"
    for name in ("no such", str(tiny_space_folder)):  # a folder is not a name: the page opens none
        assert web.post("/app/compare", json={"query": "a cat", "spaces": [name]}).status_code == 404


def test_without_a_library_the_demos_photographs_are_compared(tmp_path):
    web = TestClient(create_app(Library(tmp_path / "none", "starter")), base_url=HERE)
    (found,) = web.post("/app/compare", json={"query": "a cup of coffee", "spaces": ["starter"]}).json()["spaces"]
    assert "coffee" in found["hits"][0]["url"] and web.get(found["hits"][0]["url"]).status_code == 200


def test_all_segments_of_a_video_are_ranked_and_a_video_is_searched_with(tmp_path):
    shots = [(scene(colour), 2.0) for colour in ((200, 30, 30), (20, 60, 200), (30, 160, 40))]
    (tmp_path / "in").mkdir()
    made = write_video(tmp_path / "in" / "a.mp4", shots)
    scene((10, 10, 10)).save(tmp_path / "in" / "dark.png")
    library = Library(tmp_path / "library", "starter")
    library.add([tmp_path / "in"])
    web = TestClient(create_app(library), base_url=HERE)
    (first,) = (hit for hit in search(web)["hits"] if hit["kind"] == "video")
    segments = search(web, within=first["id"])["hits"]
    assert sorted(round(hit["start"]) for hit in segments) == [0, 2, 4] and {hit["path"] for hit in segments} == {str(made)}
    terms = [{"media": uri_of(made, "video/mp4"), "weight": 1}]
    assert search(web, "", terms=terms)["hits"][0]["path"] == str(made)
    z = web.post("/app/vector", json=terms[0]).json()["z"]
    assert np.linalg.norm(z) == pytest.approx(1, abs=1e-3)
    broken = [{"media": "data:video/mp4;base64,AAAA", "weight": 1}]
    assert "/tmp" not in json.dumps(web.post("/app/search", json={"terms": broken}).json())


def test_several_libraries_are_chosen_among(tmp_path, tiny_space_folder, album):
    one, other = Library(tmp_path / "one", tiny_space_folder), Library(tmp_path / "die Zweite ü", tiny_space_folder)
    one.add([album])
    other.add([album / "more"])
    web = TestClient(create_server([one, other], key="k"), base_url=HERE, headers={"Authorization": "Bearer k"})
    assert len(search(web)["hits"]) == 4 and "<option selected>" in web.get("/").text
    (cookie,) = re.findall(r'data-cookie="([^"]+)"', web.get("/").text)
    for folder, count in ((other.location.folder, 1), (one.location.folder, 4), (tmp_path / "none", 4)):
        web.cookies.set(cookie, quote(str(folder), safe=""))
        assert len(search(web)["hits"]) == count
    assert TestClient(create_server([one]), base_url=HERE).get("/").text.count("library-choice") == 0
