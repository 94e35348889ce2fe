"""What takes bytes from outside, one function for each: it returns, or raises an error that was raised on purpose."""

import atexit
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from samespace.core.config import SpaceConfig, from_dict
from samespace.core.errors import SamespaceError
from samespace.core.native_config import NativeConfig

Target = Callable[[bytes], None]
SCRATCH = Path(tempfile.gettempdir()) / f"samespace-fuzz-{os.getpid()}"
"""Files that a target reads, of this process alone; each run writes them anew."""


def text_of(data: bytes) -> str:
    """Return bytes as text that may be anything."""
    return data.decode("utf-8", "replace")


def in_file(data: bytes, name: str) -> Path:
    """Write bytes into a file of that name."""
    if not SCRATCH.exists():
        SCRATCH.mkdir()
        atexit.register(shutil.rmtree, SCRATCH, ignore_errors=True)
    path = SCRATCH / name
    path.write_bytes(data)
    return path


def query(data: bytes) -> None:
    """What a person searches for."""
    from samespace.library.search import query, where

    words, _ = where.split(text_of(data))
    query.parse(words, files=False)


def run_config(data: bytes) -> None:
    """A run config."""
    from samespace.train.config import read_config

    read_config(in_file(data, "run.toml"))


def space_json(data: bytes) -> None:
    """space.json, and native.json."""
    with suppress(ValueError):  # no JSON, as its reader says elsewhere
        values = json.loads(data)
        if isinstance(values, dict):
            from_dict(SpaceConfig, values)
            from_dict(NativeConfig, values)


def tensors(data: bytes) -> None:
    """A weights file."""
    from samespace.spaces.checkpoints.tensors import read_tensors

    read_tensors(in_file(data, "model.safetensors"))


def pickle(data: bytes) -> None:
    """A weights file as torch writes it."""
    from samespace.spaces.checkpoints.tensors import read_tensors

    read_tensors(in_file(data, "model.bin"))


def checkpoint(data: bytes) -> None:
    """A folder as transformers or open_clip writes it, without weights."""
    from samespace.spaces.checkpoints import checkpoint

    for name in ("config.json", "open_clip_config.json"):
        for other in ("config.json", "open_clip_config.json"):
            (SCRATCH / other).unlink(missing_ok=True)
        with suppress(SamespaceError):
            checkpoint.load(in_file(data, name).parent)


def gguf(data: bytes) -> None:
    """A language model of llama.cpp."""
    from samespace.assistant.gguf_file import read_gguf

    read_gguf(in_file(data, "model.gguf"))


def table(data: bytes) -> None:
    """Pairs of pictures and captions."""
    from samespace.train.config import Source
    from samespace.train.sources import open_source

    for name in ("pairs.tsv", "pairs.csv", "pairs.jsonl"):
        with suppress(SamespaceError):
            open_source(Source(str(in_file(data, name))))


def shards(data: bytes) -> None:
    """A tar of pairs."""
    from samespace.train.config import Source
    from samespace.train.sources import open_source

    for item in open_source(Source(str(in_file(data, "pairs.tar")))).in_order():
        with suppress(SamespaceError, ValueError, KeyError, TypeError):  # the loader skips such an item, and says so
            item.load()


def conversations(data: bytes) -> None:
    """Conversations, and documents of a native model."""
    from samespace.train.config import Source
    from samespace.train.conversations import open_conversations
    from samespace.train.documents import open_documents

    file = in_file(data, "data.jsonl")
    for reader in (open_conversations, open_documents):
        with suppress(SamespaceError):
            reader(Source(str(file)))


def sidecars(data: bytes) -> None:
    """What other programs wrote beside a picture."""
    from samespace.media.metadata import takeout, xmp

    takeout.read_sidecar(in_file(data, "x.jpg.json"))
    xmp.read_sidecar(in_file(data, "x.xmp"))


def metadata(data: bytes) -> None:
    """What a picture says of itself."""
    from samespace.media.metadata import picture

    picture.embedded(in_file(data, "x.jpg"), data)


def texts(data: bytes) -> None:
    """Text files, web pages, mails and books."""
    from samespace.media.text_file import read_text

    for name in ("x.txt", "x.html", "x.eml", "x.epub"):
        with suppress(SamespaceError):
            read_text(in_file(data, name))


def subtitles(data: bytes) -> None:
    """Subtitles beside a video that is not there."""
    from samespace.media.subtitles import subtitles

    for name in ("x.srt", "x.vtt", "x.ass"):
        file = in_file(data, name)
        subtitles(file.with_suffix(".mp4"))
        file.unlink()


def task(data: bytes) -> None:
    """What is to be done on a page."""
    from samespace.operating.local.grammar import instructions

    instructions(text_of(data))


def replay(data: bytes) -> None:
    """A replay, and an action in JSON."""
    from samespace.operating.replay import read_replay
    from samespace.operating.screen.actions import from_json

    with suppress(SamespaceError):
        read_replay(in_file(data, "replay.html"))
    with suppress(ValueError):
        values = json.loads(data)
        if isinstance(values, dict):
            from_json(values)


def request(data: bytes) -> None:
    """A request to the server."""
    from pydantic import ValidationError

    from samespace.server.services import schemas

    for kind in (
        schemas.ChatRequest,
        schemas.EmbeddingRequest,
        schemas.SearchRequest,
        schemas.RerankRequest,
        schemas.MarkRequest,
    ):
        with suppress(ValidationError):
            kind.model_validate_json(data)


def picture_in_request(data: bytes) -> None:
    """A picture in a request."""
    from samespace.server.services.urls import read_picture

    read_picture(text_of(data), urls_allowed=False)


TARGETS: dict[str, Target] = {
    target.__name__: target
    for target in (
        query, run_config, space_json, tensors, pickle, checkpoint, gguf, table, shards, conversations, sidecars, metadata, texts, subtitles,
        task, replay, request, picture_in_request,
    )
}  # fmt: skip


def run(target: Target, data: bytes) -> None:
    """Give bytes to a target; only errors that were raised on purpose may come."""
    with suppress(SamespaceError):
        target(data)
