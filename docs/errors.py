"""What a person sees when things go wrong: every error is provoked, on the command line and over HTTP, and its sentence written down.

python -m docs.errors        # writes docs/errors.md anew
"""

import base64
import contextlib
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from fastapi.testclient import TestClient
from PIL import Image
from typer.testing import CliRunner

import benchmarks.torchvision_on_cpu  # noqa: F401  before transformers
import samespace
from samespace.cli import console
from samespace.cli.console import exit_with_error
from samespace.cli.main import app
from samespace.core import errors
from samespace.library.library import Library
from samespace.library.store.db_errors import write_lock
from samespace.server.app import create_app
from samespace.server.services.indexing import IndexingState
from samespace.spaces import registry

PAGE = Path(__file__).with_suffix(".md")
NO_ENDPOINT = "http://127.0.0.1:9/v1#model"
BROKEN = base64.b64encode(b"this is no picture").decode()
HEAD = """# When something goes wrong

Whatever is expected to go wrong ends in one sentence that says what to do: on the command line with exit code 1, over HTTP as
`{"error": {"message": …, "type": …}}` with the status below. This page is written by `python -m docs.errors`, which provokes each of them;
`pytest tests/test_error_sentences.py` does so again.

| error | provoked by | what is said |
|---|---|---|
"""


class Place:
    """A folder with a small library, and things that are wrong."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.album, self.library = folder / "album", folder / "library"
        self.album.mkdir()
        for name, colour in (("red", (220, 30, 30)), ("blue", (30, 30, 220))):
            Image.new("RGB", (64, 64), colour).save(self.album / f"{name}.png")
        (folder / "broken.jpg").write_bytes(b"this is no picture")
        self._checkpoint("cut", {"model_type": "clip", "projection_dim": 512, "vision_config": {}, "text_config": {}})
        (folder / "run").mkdir()
        (folder / "run/checkpoint.pt").write_bytes(b"")
        (folder / "pairs.tsv").write_text(
            f"filepath\ttitle\n{self.album / 'red.png'}\tred\n{self.album / 'blue.png'}\tblue\n", "utf-8"
        )
        (folder / "run.toml").write_text(
            f'out = "{folder / "run"}"\nstart = "starter"\ntrain = ["{folder / "pairs.tsv"}"]\nval = ["{folder / "pairs.tsv"}"]\nsteps = 2\nbatch = 2\n',
            "utf-8",
        )
        Library(self.library, samespace.load("starter")).add([self.album])

    def _checkpoint(self, name: str, config: dict[str, Any]) -> None:
        """Write a folder as transformers writes it, whose weights are cut short."""
        (self.folder / name).mkdir()
        (self.folder / name / "config.json").write_text(json.dumps(config), "utf-8")
        (self.folder / name / "model.safetensors").write_bytes(b"cut short")
        shutil.copy(registry.find("starter") / "tokenizer.json", self.folder / name)

    def client(self, library: Path | None = None, assistant: str = "starter") -> TestClient:
        """Return a client of a server of a library."""
        return TestClient(
            create_app(Library(library or self.library, samespace.load("starter")), assistant),
            base_url="http://127.0.0.1",
            client=("127.0.0.1", 50_000),
        )

    def indexing(self) -> TestClient:
        """Return a client of a server that is indexing the album."""
        client = self.client()
        client.app.state.server.indexing.state = IndexingState(running=True, folder=str(self.album))  # type: ignore[attr-defined]
        return client

    @contextmanager
    def another_space(self) -> Iterator[None]:
        """Let the library be of another space than the one that is loaded."""
        with mock.patch("samespace.spaces.space.Space.fingerprint", "0123456789abcdef"):
            yield

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Let somebody else write to the library."""
        with write_lock(Library(self.library, samespace.load("starter")).location):
            yield


@contextmanager
def without(module: str) -> Iterator[None]:
    """Let a module be missing."""
    with mock.patch.dict(sys.modules, {module: None}):
        yield


@contextmanager
def without_network(place: Place) -> Iterator[None]:
    """Let pip reach nothing, and nothing be there from before."""
    nothing = {"PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_EXTRA_INDEX_URL": "", "PIP_FIND_LINKS": "", "PIP_RETRIES": "0"}
    with mock.patch.dict(os.environ, nothing | {"XDG_DATA_HOME": str(place.folder / "data")}):
        yield


Request = tuple[str, dict[str, Any]]
"""A path and a JSON body."""


@dataclass(frozen=True)
class Case:
    """How an error is provoked."""

    error: type[errors.SamespaceError]
    arguments: list[str]
    """Of the command line; {folder} is the place's."""
    request: Request | None = None
    """The same over HTTP; None where only the command line can."""
    around: Callable[[Place], contextlib.AbstractContextManager[Any]] = lambda place: contextlib.nullcontext()
    client: Callable[[Place], TestClient] = Place.client


CASES = (
    Case(errors.UnreadableMedia, ["search", "{folder}/broken.jpg"], ("/app/vector", {"media": f"data:image/png;base64,{BROKEN}"})),
    Case(errors.UnknownSpace, ["search", "dog", "--space", "nowhere"], ("/app/compare", {"query": "dog", "spaces": ["nowhere"]})),
    Case(errors.WrongSpace, ["search", "dog"], ("/v1/search", {"query": "dog"}), Place.another_space),
    Case(errors.WeightsMismatch, ["spaces", "pull", "{folder}/cut", "--yes"]),
    Case(errors.LibraryError, ["import", "rclip", "{folder}/nowhere.sqlite3"]),
    Case(errors.MissingLibrary, ["search", "dog", "--library", "{folder}/nowhere"], ("/v1/search", {"query": "dog"}), client=lambda place: place.client(place.folder / "nowhere")),
    Case(errors.LibraryBusy, ["index", "{folder}/album"], ("/app/index", {"folder": "/"}), Place.busy, Place.indexing),
    Case(errors.QueryError, ["search", "dog", "--where", "place:("], ("/v1/search", {"query": "dog", "where": "place:("})),
    Case(errors.UnknownGenerator, ["draw", "a cat", "--with", "{folder}/nowhere"]),
    Case(errors.UnknownAssistant, ["ask", "{folder}/album/red.png", "What is this?", "--assistant", "nowhere"], ("/v1/chat/completions", {"model": "nowhere", "messages": [{"role": "user", "content": "Hello"}]}), client=lambda place: place.client(assistant="nowhere")),
    Case(errors.EndpointFailed, ["ask", "{folder}/album/red.png", "What is this?", "--assistant", NO_ENDPOINT], ("/v1/chat/completions", {"model": NO_ENDPOINT, "messages": [{"role": "user", "content": "Hello"}]}), client=lambda place: place.client(assistant=NO_ENDPOINT)),
    Case(errors.RequestError, ["operate", "http://127.0.0.1:9/", "The weather is fine"], ("/app/lesson/operate", {"task": "The weather is fine"})),
    Case(errors.ConfigError, ["train", "{folder}/nowhere.toml"]),
    Case(errors.TrainingStopped, ["train", "{folder}/run.toml"]),
    Case(errors.OperationStopped, ["operate", "http://127.0.0.1:47999/", "Press Help"]),
    Case(errors.MissingExtra, ["operate", "http://127.0.0.1:47999/", "Press Help"], ("/app/lesson/operate", {"task": "Press Help"}), lambda place: without("playwright.sync_api")),
    Case(errors.Offline, ["speech", "pull", "tiny.en", "--yes"], None, without_network),
)  # fmt: skip


@dataclass(frozen=True)
class Said:
    """What came of a case."""

    code: int
    """The exit code, or the status."""
    sentence: str
    error: type[BaseException] | None = None
    """What was raised, on the command line."""


def on_command_line(case: Case, place: Place) -> Said:
    """Provoke an error on the command line."""
    arguments = [argument.replace("{folder}", str(place.folder)) for argument in case.arguments]
    raised: list[type[BaseException] | None] = []

    def end(message: str, code: int) -> None:
        raised.append(sys.exc_info()[0])
        exit_with_error(message, code)

    with ExitStack() as stack:
        stack.enter_context(mock.patch.dict(os.environ, {"SAMESPACE_LIBRARY": str(place.library), "COLUMNS": "1000"}))
        stack.enter_context(mock.patch.object(console, "exit_with_error", end))
        stack.enter_context(case.around(place))
        result = CliRunner().invoke(app, arguments)
    said = [line for line in result.stderr.splitlines() if line.strip()]
    return Said(result.exit_code, plain(said[-1].removeprefix("samespace: "), place), raised[0] if raised else None)


def over_http(case: Case, place: Place) -> Said:
    """Provoke an error over HTTP."""
    assert case.request is not None
    path, body = case.request
    with case.around(place), case.client(place) as web:
        response = web.post(path, json=body)
    return Said(response.status_code, plain(str(response.json()["error"]["message"]), place))


def plain(sentence: str, place: Place) -> str:
    """Return a sentence without what differs from machine to machine."""
    return re.sub(r"pip install [^\[]*\[", 'pip install "samespace[', sentence.replace(str(place.folder), "FOLDER"))


def provoked(place: Place) -> Iterator[tuple[Case, str, Said]]:
    """Provoke every error; yield by what, and what is said."""
    for case in CASES:
        command = " ".join(f'"{a}"' if " " in a else a for a in case.arguments).replace("{folder}", "FOLDER")
        yield case, f"samespace {command}", on_command_line(case, place)
        if case.request:
            yield case, f"POST {case.request[0]}", over_http(case, place)


def page() -> str:
    """Return the page."""
    with tempfile.TemporaryDirectory() as folder:
        found = list(provoked(Place(Path(folder))))
    return HEAD + "".join(f"| {case.error.__name__} | `{by}` → {said.code} | {said.sentence} |\n" for case, by, said in found)


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
