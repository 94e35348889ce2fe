"""The command as people run it: its output and its exit code, and where it matters its process."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import in_process
import pytest
from PIL import Image

import samespace
from samespace.cli.doctor import EXTRAS

ERRORS = 1
USAGE = 2


pytestmark = pytest.mark.usefixtures("traced_once")


def run(*arguments, cwd=None, **env) -> subprocess.CompletedProcess:
    """Run the command here."""
    return in_process.run(*arguments, cwd=cwd, env=env)


def run_process(*arguments, cwd=None, **env) -> subprocess.CompletedProcess:
    """Run the command in a process of its own."""
    command = [sys.executable, "-c", "from samespace.cli.main import main; main()", *map(str, arguments)]
    environment = os.environ | {"COLUMNS": "200", "NO_COLOR": "1"} | env
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, errors="surrogateescape")


def index(album: Path, space: Path, place: Path, count: int = 4) -> dict[str, str]:
    """Return an environment whose library, in a new folder, holds an album in a space."""
    names = {"LIBRARY": "library", "SPACES": "spaces", "DEVICES": "devices.json"}
    env = {f"SAMESPACE_{name}": str(place / file) for name, file in names.items()} | {"SAMESPACE_SPACE": str(space)}
    done = run("index", album, **env)
    assert done.returncode == 0, done.stderr
    assert f"{count} new" in done.stdout
    return env


@pytest.fixture(scope="module")
def shared_album(tmp_path_factory, photographs) -> Path:
    """A folder with a few photographs in two levels, which no test changes."""
    folder = tmp_path_factory.mktemp("photographs") / "album"
    (folder / "more").mkdir(parents=True)
    for name in ("chelsea.png", "coffee.png", "rocket.jpg", "more/astronaut.png"):
        shutil.copy(photographs / Path(name).name, folder / name)
    return folder


@pytest.fixture(scope="module")
def indexed(shared_album, tiny_space_folder, tmp_path_factory) -> dict[str, str]:
    """An environment whose library holds the shared album in the tiny space; no test changes it."""
    return index(shared_album, tiny_space_folder, tmp_path_factory.mktemp("indexed"))


@pytest.fixture
def own_indexed(album, tiny_space_folder, tmp_path) -> dict[str, str]:
    """The same of an album that the test changes."""
    return index(album, tiny_space_folder, tmp_path)


def test_version():
    assert run_process("--version").stdout.strip() == f"samespace {samespace.__version__}"


def test_search_prints_ranked_paths(indexed, shared_album):
    done = run("search", "a", "cat", **indexed)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["1", "2", "3", "4"]
    assert {line.split()[-1] for line in lines} == {str(p) for p in shared_album.rglob("*.*")}


def test_what_a_query_names_and_does_not_find_is_told(tmp_path, shared_album):
    library = samespace.Library(tmp_path, "starter")
    library.add([shared_album])
    far = run("search", "a steam locomotive in the mountains", "--library", tmp_path)
    assert far.stdout and "none of these is likely what you mean" in far.stderr
    assert "likely" not in run("search", "a cat", "--library", tmp_path).stderr
    missing = run("search", "cat.jpg", "--library", tmp_path)
    assert missing.returncode == 0 and "there is no file cat.jpg: it is searched as words" in missing.stderr
    assert "no file" not in run("search", "Mr. cat", "--library", tmp_path).stderr
    assert 'does not know "собака"' in run("search", "собака", "--library", tmp_path).stderr


def test_search_json(indexed):
    rows = [json.loads(line) for line in run("search", "a cat", "--json", "-t", "2", **indexed).stdout.splitlines()]
    assert [r["rank"] for r in rows] == [1, 2]
    assert rows[0].keys() >= {"rank", "score", "path", "kind", "start", "end", "page"}


def test_min_relevance_without_effect_is_reported(indexed, shared_album):
    done = run("search", shared_album / "coffee.png", "--min-relevance", "0.5", "-f", **indexed)
    assert done.returncode == 0 and "no effect" in done.stderr and len(done.stdout.splitlines()) == 3
    assert run("search", "a cat", "--min-relevance", "2", **indexed).returncode == USAGE


def test_search_paths_only(indexed, shared_album):
    out = run("search", "a cat", "-f", "-t", "1", **indexed).stdout
    assert Path(out.rstrip("\n")).parent in (shared_album, shared_album / "more")
    assert run("search", "a cat", "-0", "-t", "1", **indexed).stdout == out.replace("\n", "\0")
    segments = run("search", "a cat", "-f", "--segments", **indexed).stdout.splitlines()
    assert len(segments) == len(set(segments)) == 4


def test_search_with_algebra_under_and_dates(indexed, shared_album):
    done = run("search", f"2:dog + {shared_album / 'coffee.png'} - cat", "--under", shared_album / "more", "-f", **indexed)
    assert done.stdout == f"{shared_album / 'more' / 'astronaut.png'}\n"
    assert run("search", "dog", "--since", "2999", **indexed).stdout == ""
    assert len(run("search", "dog", "--until", "2999-12-31", "-f", **indexed).stdout.splitlines()) == 4


def test_grid_is_a_page_with_pictures(indexed, tmp_path):
    page = tmp_path / "hits page.html"
    assert run("search", "<b>cat</b> & dog", "--grid", page, **indexed).returncode == 0
    text = page.read_text("utf-8")
    assert text.count("data:image/jpeg;base64,") == 4
    assert "<b>cat</b>" not in text and "&lt;b&gt;cat&lt;/b&gt; &amp; dog" in text


def test_preview_draws_blocks(indexed):
    assert "▀" in run("search", "a cat", "-p", "-t", "1", **indexed).stdout


def test_index_reports_what_it_did(own_indexed, album):
    (album / "broken.jpg").write_bytes(b"nothing")
    (album / "coffee.png").unlink()
    done = run("index", album, "--json", **own_indexed)
    report = json.loads(done.stdout)
    assert (report["same"], report["removed"], report["added"]) == (3, 1, 0)
    assert report["skipped"][0]["path"].endswith("broken.jpg")
    assert "skipped" in done.stderr and "broken.jpg" in done.stderr


def test_classify(photographs, tiny_space_folder, tmp_path):
    (tmp_path / "templates.txt").write_text("a photo of {}\nthis is {}\n")
    done = run("classify", photographs / "chelsea.png", tmp_path / "none.jpg", "--labels", "cat, dog", "--json",
               "--templates", tmp_path / "templates.txt", "--space", tiny_space_folder)  # fmt: skip
    assert done.returncode == 0 and "none.jpg" in done.stderr
    labels = json.loads(done.stdout)["labels"]
    assert {row["label"] for row in labels} == {"cat", "dog"}
    assert sum(row["probability"] for row in labels) == pytest.approx(1)


def test_embed(photographs, tiny_space_folder):
    done = run("embed", photographs / "chelsea.png", "a cat", "--json", "--space", tiny_space_folder)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(r["kind"], len(r["z"])) for r in rows] == [("image", 24), ("text", 24)]
    assert sum(v * v for v in rows[0]["z"]) == pytest.approx(1, abs=1e-3)
    assert "there is no file cat.png: it is read as words" in run("embed", "cat.png", "--space", tiny_space_folder).stderr


def test_doctor_lists_packages_spaces_and_library(tiny_space_folder):
    done = run("doctor")
    assert done.returncode == 0, done.stderr
    assert "onnxruntime" in done.stdout and "starter" in done.stdout and "samespace index DIR" in done.stdout
    assert "text int8-weights" in done.stdout
    extras = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    for extra, (package, _) in EXTRAS.items():
        assert any(requirement.startswith(package) for requirement in extras[extra]), extra
    assert EXTRAS.keys() == extras.keys() - {"test", "dev"}


def test_spaces_pull_from_a_folder_then_list_info_and_use(tiny_clip_folder, tmp_path, photographs):
    assert run("spaces", "pull", tiny_clip_folder).returncode == 0
    assert "tiny-clip" in run("spaces", "list").stdout
    info = json.loads(run("spaces", "info", "tiny-clip").stdout)
    assert (info["name"], info["text"]["dim"]) == ("tiny-clip", 24)
    assert run("embed", "a cat", "--space", "tiny-clip").returncode == 0
    assert run("spaces", "export", "tiny-clip", tmp_path / "out", "--precision", "fp32").returncode == 0
    assert json.loads(run("spaces", "info", tmp_path / "out").stdout)["fingerprint"] == info["fingerprint"]
    assert run("spaces", "remove", "tiny-clip").returncode == 0 and "tiny-clip" not in run("spaces", "list").stdout
    refused = run("spaces", "remove", "starter")
    assert refused.returncode == ERRORS and "see: samespace spaces list" in refused.stderr
    assert run("assistants", "remove", "none").returncode == ERRORS and run("speech", "remove", "none").returncode == ERRORS


BAD = {
    "no library": (("search", "cat"), ERRORS, "samespace index DIR"),
    "unknown folder": (("index", "/no/such/folder"), ERRORS, "does not exist"),
    "not media": (("index", __file__), 0, "neither a picture"),
    "unknown kind": (("search", "x", "--kind", "videos"), ERRORS, "image, audio, video, document"),
    "dates the wrong way": (("search", "x", "--since", "2025", "--until", "2024"), ERRORS, "swap them"),
    "unknown space": (("index", ".", "--space", "nonsense"), ERRORS, "samespace spaces list"),
    "space not pulled": (("index", ".", "--space", "openai/clip-vit-base-patch32"), ERRORS, "samespace spaces pull"),
    "hub unreachable": (("spaces", "pull", "openai/clip-vit-base-patch32"), ERRORS, "HF_HUB_OFFLINE"),
    "pull an odd folder": (("spaces", "pull", "."), ERRORS, "give the folder"),
    "wrong option": (("search", "cat", "--colour"), USAGE, "--colour"),
    "wrong number": (("search", "cat", "-t", "0"), USAGE, "x>=1"),
    "bad date": (("search", "cat", "--since", "yesterday"), ERRORS, "2024-06"),
    "no labels": (("classify", __file__, "--labels", ","), ERRORS, "label"),
    "labels file": (("classify", __file__, "--labels", "@/no/file"), ERRORS, "cannot be read"),
    "neither a picture": (("classify", __file__, "--labels", "a,b"), ERRORS, "not a picture"),
    "library is a file": (("index", ".", "--library", __file__), ERRORS, "--library"),
    "library in /proc": (("index", ".", "--library", "/proc/nowhere"), ERRORS, "--library"),
    "grid to nowhere": (("search", "cat", "--grid", "/no/such/dir/x.html"), ERRORS, ""),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_sentence(case, tmp_path):
    arguments, code, message = BAD[case]
    done = (run_process if case == "unknown folder" else run)(*arguments, cwd=tmp_path)
    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_grid_into_a_missing_folder(indexed):
    done = run("search", "cat", "--grid", "/no/such/dir/x.html", **indexed)
    assert done.returncode == ERRORS and "/no/such/dir/x.html" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("query", [" ", "cat + "])
def test_an_empty_query_is_one_sentence(indexed, query):
    done = run("search", query, **indexed)
    assert done.returncode == ERRORS and "empty term" in done.stderr and done.stdout == ""


def test_control_characters_in_names_do_not_reach_the_terminal(own_indexed, album):
    Image.new("RGB", (30, 30)).save(album / "x.png")
    (album / "x.png").rename(album / "evil\x1b[2J\n.png")
    assert "1 new" in run("index", album, **own_indexed).stdout
    out = run("search", "black", **own_indexed).stdout
    assert "\x1b" not in out and "evil\\x1b[2J\\n.png" in out


def test_a_closed_pipe_is_no_error(indexed):
    command = f"{sys.executable} -c 'from samespace.cli.main import main; main()' search cat --json | head -n 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, env=os.environ | indexed)
    assert len(done.stdout.splitlines()) == 1 and "Traceback" not in done.stderr


IMPORTS = """
import sys
from samespace.cli import main as cli
sys.argv = {argv}
try:
    cli.main()
except SystemExit:
    pass
print("IMPORTED", *sorted(sys.modules), file=sys.stderr)
"""
HEAVY = {"torch", "transformers", "lancedb", "skimage", "onnx", "pandas", "openai", "jinja2"}
SEARCH = set(
    """media.kinds media.locator preprocess.mel preprocess.tokens spaces.calibration spaces.devices spaces.registry spaces.sessions spaces.space
    core.characters core.config core.errors core.files core.machine core.metrics core.paths core.registry
    library.library library.indexing.report
    library.search.date_words library.search.hits library.search.negation library.search.query library.search.ranking library.search.searcher
    library.store.arrow library.store.concepts library.store.db_errors library.store.exact_index library.store.filter library.store.lance
    library.store.location library.store.lease library.store.storage library.store.conditions library.store.marks library.store.metadata library.store.records library.store.words
    cli.albums cli.ask cli.console cli.doctor cli.draw cli.duplicates cli.learn cli.library cli.main cli.map cli.operate cli.rerankers cli.search cli.serve cli.spaces cli.speech cli.train""".split()
)
"""Our modules that a search with words imports: a longer list is a slower start."""
SEARCH_LIBRARIES = {"numpy", "onnxruntime", "pyarrow", "tokenizers", "typer"}
"""Libraries that it imports; SMALL_LIBRARIES may come with them."""
SMALL_LIBRARIES = {"annotated_doc", "cloudpickle", "platformdirs", "shellingham", "typing_extensions"}


def imported(argv: list[str], env: dict[str, str]) -> set[str]:
    """Run a command and return the names of the modules that it imports."""
    code = IMPORTS.format(argv=argv)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | env)
    return set(next(line for line in done.stderr.splitlines() if line.startswith("IMPORTED")).split()[1:])


@pytest.mark.parametrize("argv", [["samespace", "--help"], ["samespace", "search", "--help"]])
def test_help_imports_nothing_heavy(indexed, argv):
    assert not HEAVY & imported(argv, indexed)


def test_what_a_search_with_words_imports(indexed):
    names = imported(["samespace", "search", "a cat"], indexed)
    source = Path(samespace.__file__).parent
    ours = {name.removeprefix("samespace.") for name in names if name.startswith("samespace.")}
    assert {name for name in ours if not (source / name.replace(".", "/")).is_dir()} == SEARCH
    theirs = {name.partition(".")[0] for name in names} & packages_distributions().keys() - {"samespace", "_distutils_hack"}
    assert theirs - SMALL_LIBRARIES == SEARCH_LIBRARIES


def test_indexing_imports_no_torch(indexed, shared_album):
    heavy = {"torch", "transformers", "lancedb", "skimage", "onnx", "rich"}
    assert heavy & imported(["samespace", "index", str(shared_album)], indexed) == {"lancedb"}


def test_under_a_relative_folder(indexed, shared_album):
    assert len(run("search", "dog", "--under", "..", "-f", cwd=shared_album / "more", **indexed).stdout.splitlines()) == 4
    assert len(run("search", "dog", "--under", "../more", "-f", cwd=shared_album, **indexed).stdout.splitlines()) == 0


def test_embed_reads_no_weights_in_words(tiny_space_folder):
    done = run("embed", "16:9 wallpaper", "9 wallpaper", "--json", "--space", tiny_space_folder)
    a, b = (json.loads(line)["z"] for line in done.stdout.splitlines())
    assert a != b


def test_the_demo_leaves_no_library_behind(own_home):
    assert run("demo").returncode == 0
    assert not (own_home / "library").exists()


def test_more_hits_wanted_than_there_are(indexed):
    assert len(run("search", "dog", "-f", "-t", "2000000000", **indexed).stdout.splitlines()) == 4


def test_what_is_not_there_yet_is_said(tmp_path):
    env = {f"SAMESPACE_{name}": str(tmp_path / name) for name in ("ASSISTANTS", "RERANKERS", "SPEECH", "LIBRARY")}
    for group in ("assistants", "rerankers", "speech"):
        done = run(group, "list", **env)
        assert f"none yet; install one with: samespace {group} pull" in " ".join(done.stderr.split()) and done.returncode == 0
    assert "there is no library at" in run("albums", "list", **env).stderr
    marked = run("mark", tmp_path, **env)
    assert "nothing is to be said" in marked.stderr and marked.returncode == ERRORS


def test_reading_that_is_refused_is_not_kept_as_a_wish(album, tiny_space_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("samespace.media.ocr.reader", lambda: None)
    asked = ("index", album, "--library", tmp_path / "library", "--space", tiny_space_folder)
    assert "needs samespace[ocr]" in run(*asked, "--read").stderr
    assert run(*asked).returncode == 0


def test_copies_go_to_the_trash_but_for_the_best_and_come_back(own_trash, photographs, tiny_space_folder, tmp_path):
    album = tmp_path / "copies"
    album.mkdir()
    shutil.copy(photographs / "coffee.png", album)
    with Image.open(album / "coffee.png") as picture:
        picture.reduce(2).save(album / "half.png")
    env = index(album, tiny_space_folder, tmp_path, 2)
    listed = run("duplicates", **env)
    assert "coffee.png" in listed.stdout.splitlines()[0] and "best: most pixels" in listed.stdout
    assert run("duplicates", "--trash", "--yes", **env).returncode == 0
    assert [file.name for file in album.iterdir()] == ["coffee.png"]
    assert run("duplicates", "--undo", **env).returncode == 0
    assert sorted(file.name for file in album.iterdir()) == ["coffee.png", "half.png"]


def test_what_is_said_of_files_is_kept_listed_and_taken_along(own_indexed, album, tmp_path):
    assert run("mark", album / "coffee.png", "--album", "My best", "--tag", "hot", **own_indexed).returncode == 0
    listed = run("albums", "list", **own_indexed).stdout
    assert '(album:"My best")' in listed and '(tag:"hot")' in listed
    found = run("search", 'album:"My best"', "-f", **own_indexed).stdout.splitlines()
    assert found == [str(album / "coffee.png")]
    assert run("albums", "save", "drinks", "tag:hot", **own_indexed).returncode == 0
    assert run("albums", "export", "drinks", tmp_path / "out.m3u", **own_indexed).returncode == 0
    assert "coffee.png" in (tmp_path / "out.m3u").read_text("utf-8")
    assert run("albums", "write-xmp", **own_indexed).returncode == 0 and (album / "coffee.png.xmp").exists()
    assert "1 file removed" in run("forget", album / "coffee.png", **own_indexed).stderr
    assert run("search", "tag:hot", "-f", **own_indexed).stdout == ""


def test_serve_passes_on_who_may_ask(tmp_path, monkeypatch, indexed):
    import uvicorn
    from fastapi.testclient import TestClient

    served = []
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setattr(uvicorn.Server, "run", lambda server, sockets: served.append(server.config.app))
    assert run("serve", "--port", port, "--api-key", "sesame", "--allow-host", "nas", **indexed).returncode == 0
    (app,) = served
    here, nas, other = (TestClient(app, base_url=f"http://{name}") for name in ("127.0.0.1", "nas", "elsewhere"))
    assert here.get("/v1/models").status_code == nas.get("/v1/models").status_code == 401
    assert nas.get("/v1/models", headers={"Authorization": "Bearer sesame"}).status_code == 200
    assert other.get("/v1/models", headers={"Authorization": "Bearer sesame"}).status_code == 400
