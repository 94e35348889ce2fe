"""How an extra is installed is said so that the command works: from where samespace itself came."""

import importlib.metadata
import json
from types import SimpleNamespace

import pytest

from samespace.core.errors import MissingExtra, install_command


@pytest.mark.parametrize(
    ("source", "command"),
    [
        (None, 'pip install "samespace[ask]"'),
        ({"url": "https://example.org/samespace.zip"}, 'pip install "samespace[ask]"'),
        ({"url": "file:///home/a%20b/samespace", "dir_info": {}}, 'pip install "/home/a b/samespace[ask]"'),
        ({"url": "file:///src/samespace", "dir_info": {"editable": True}}, 'pip install -e "/src/samespace[ask]"'),
    ],
)
def test_the_command_installs_from_where_samespace_came(monkeypatch, source, command):
    text = json.dumps(source) if source else None
    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: SimpleNamespace(read_text=lambda file: text))
    assert install_command("ask") == command
    assert str(MissingExtra("asking", "ask")) == f"asking needs samespace[ask], which is not installed: {command}"


def test_without_its_metadata_there_is_a_command_too(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    assert install_command("ask") == 'pip install "samespace[ask]"'
