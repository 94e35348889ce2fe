"""ONNX sessions and tokenizers of files that have not changed, opened once: nearly every test opens those of the same two spaces."""

import functools
import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from samespace.core.config import Prep
from samespace.core.machine import usable_cpus
from samespace.preprocess.tokens import Words, read_tokenizer
from samespace.spaces import sessions, space

USERS = ("samespace.spaces.sessions", "samespace.spaces.cross_encoder", "samespace.generate.generator")
"""Modules that call `open_graph` by its own name."""
MOST = 12
"""Sessions, and tokenizers, that are kept."""


@functools.lru_cache(MOST)
def _session(path: Path, device: str, cpus: int, files: tuple):
    return _open_graph(path, device)


@functools.lru_cache(MOST)
def _words(path: Path, file: tuple, prep: Prep) -> Words:
    return Words(read_tokenizer(path), prep)


_open_graph = sessions.open_graph


def _as_it_is(file: Path) -> tuple:
    """Return what changes when a file is written, replaced or damaged."""
    found = file.stat()
    return file.name, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _open_graph_once(path: Path, device: str = "cpu"):
    """Open a graph as `open_graph` does, again only where a file beside it, such as its weights, has changed."""
    if not path.exists():
        return _open_graph(path, device)
    files = tuple(_as_it_is(file) for file in sorted(path.parent.iterdir()) if file.is_file())
    return _session(path, device, usable_cpus(), files)


def _words_once(opened: space.Space) -> Words:
    """Read a space's tokenizer as `Space.words` does, again only where its file has changed."""
    path = opened.folder / "tokenizer.json"
    return _words(path, _as_it_is(path), opened.config.prep) if path.exists() else Words(read_tokenizer(path), opened.config.prep)


@contextmanager
def opened_files() -> Iterator[None]:
    """While it is open, files are opened once."""
    words = space.once(_words_once)
    words.__set_name__(space.Space, "words")
    with pytest.MonkeyPatch.context() as patch:
        for name in USERS:
            patch.setattr(importlib.import_module(name), "open_graph", _open_graph_once)
        patch.setattr(space.Space, "words", words)
        yield
