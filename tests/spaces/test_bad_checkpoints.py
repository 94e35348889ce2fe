"""Checkpoints that are broken or too large, and conversions that are cut off: one sentence, and nothing half installed."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import onnx
import pytest
import tiny_checkpoints as tiny
import torch
from safetensors.torch import load_file, save_file

from samespace.core import new_folder
from samespace.core.errors import SamespaceError, UnknownSpace, WeightsMismatch
from samespace.spaces.checkpoints import checkpoint, families, tensors
from samespace.spaces.convert import conversion, export, install

pytestmark = pytest.mark.usefixtures("traced_once")


@pytest.fixture(scope="module")
def clip(tmp_path_factory, clip_tokenizer_folder):
    return tiny.clip(tmp_path_factory.mktemp("bad") / "clip", tiny.clip_tokenizer(clip_tokenizer_folder))


@pytest.fixture
def copied(clip, tmp_path):
    return shutil.copytree(clip, tmp_path / "clip")


def change_weight(folder, name, change):
    state = load_file(folder / "model.safetensors")
    state[name] = change(state[name])
    save_file(state, folder / "model.safetensors", {"format": "pt"})


def test_tensors_of_another_shape(copied):
    change_weight(copied, "visual_projection.weight", lambda w: w[:-1].contiguous())
    with pytest.raises(WeightsMismatch, match="shape"):
        conversion.read(copied)


def test_a_config_of_another_class(copied):
    values = json.loads((copied / "config.json").read_text())
    (copied / "config.json").write_text(json.dumps(values | {"model_type": "siglip"}))
    with pytest.raises(SamespaceError, match="config and weights (do not )?belong together"):
        conversion.read(copied)


def test_weights_that_do_not_fit_into_memory(copied, monkeypatch):
    size = (copied / "model.safetensors").stat().st_size
    monkeypatch.setattr(tensors, "free_memory", lambda: 2 * size)
    with pytest.raises(UnknownSpace, match="of memory to be converted"):
        conversion.read(copied)


def test_a_part_of_the_weights_is_missing(copied):
    tiny.in_shards(copied)
    next(copied.glob("model-*.safetensors")).unlink()
    with pytest.raises(UnknownSpace, match="a part of its weights"):
        conversion.read(copied)


def test_code_beside_the_weights_is_never_run(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "jina_clip", "auto_map": {"AutoModel": "org/code--x.Y"}}))
    with pytest.raises(UnknownSpace, match="never run"):
        families.check(tmp_path, "jinaai/jina-clip-v2")


def test_a_pickle_that_asks_to_run_code(copied):
    (copied / "model.safetensors").unlink()
    torch.save({"x": os.system}, copied / "pytorch_model.bin")
    with pytest.raises(WeightsMismatch, match="refused"):
        conversion.read(copied)


def test_weights_that_are_cut_short_are_refused_before_a_library_builds_the_model(copied, monkeypatch):
    (copied / "model.safetensors").write_bytes(b"cut short")
    monkeypatch.setattr(conversion, "_opened", lambda folder: pytest.fail("the model was built"))
    with pytest.raises(WeightsMismatch, match="is not a readable weights file"):
        conversion.open_reference(copied)


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("text_config", {"num_hidden_layers": 10**9}),
        ("vision_config", {"hidden_size": 10**7, "num_attention_heads": 4}),
        ("text_config", {"vocab_size": 10**12}),
    ],
)
def test_a_config_that_asks_for_more_than_the_weights_hold_is_refused_before_anything_is_built(copied, monkeypatch, part, change):
    """A whole and small weights file, and a config whose model would fill the memory: by our towers, and by a library's."""
    values = json.loads((copied / "config.json").read_text())
    values[part] |= change
    (copied / "config.json").write_text(json.dumps(values))
    monkeypatch.setattr(conversion, "_opened", lambda folder: pytest.fail("the model was built"))
    for read in (conversion.open_reference, checkpoint.load):
        with pytest.raises(WeightsMismatch, match="config and weights do not belong together"):
            read(copied)


def test_a_graph_with_operations_of_its_own(tmp_path, clip_tokenizer_folder):
    words = tiny.clip_tokenizer(clip_tokenizer_folder)
    tokenizer = tiny.open_clip_tokenizer(words, tmp_path / "words", context_length=77, clean="lower")
    folder = tiny.immich(tmp_path / "model", "ViT-B-32", tokenizer, words)
    graph = onnx.load(folder / "visual/model.onnx")
    graph.graph.node[0].op_type, graph.graph.node[0].domain = "Evil", "com.example"
    graph.opset_import.append(onnx.helper.make_opsetid("com.example", 1))
    (folder / "visual/model.onnx").write_bytes(graph.SerializeToString())
    with pytest.raises(UnknownSpace, match="cannot be opened"):
        install.convert(folder, tmp_path / "space")
    assert not (tmp_path / "space").exists()


def test_a_library_that_fails_on_its_own_model(clip, monkeypatch):
    class Failing:
        library, towers = "a library 1", ("image", "text")

        def image(self, pictures):
            raise IndexError("index out of range in self")

    monkeypatch.setattr(conversion, "open_reference", lambda folder: Failing())
    loaded, answers = conversion.read(clip)
    assert answers is None and "index out of range" in loaded.config.card["unverified"]


def test_a_full_disk_while_converting(clip, tmp_path, monkeypatch):
    def full(stored, file):
        file.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device", str(file))

    monkeypatch.setattr(export, "save_with_shared_weights", lambda graphs, state, file: full(state, file))
    with pytest.raises(OSError, match="No space left"):
        install.convert(clip, tmp_path / "spaces/clip", precision="fp32")
    assert list((tmp_path / "spaces").iterdir()) == []


def test_a_conversion_that_is_killed(clip, tmp_path):
    """Nothing is listed; what it left goes when it is old; and the next one succeeds."""
    environment = os.environ | {"SAMESPACE_SPACES": str(tmp_path / "spaces")}
    code = "import sys; from pathlib import Path; from samespace.spaces.convert import install; install.install(Path(sys.argv[1]), 'clip', 'x')"
    running = subprocess.Popen([sys.executable, "-c", code, str(clip)], env=environment, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "spaces").glob(".clip*")) and running.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    running.send_signal(signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL
    assert not list((tmp_path / "spaces").glob("*/space.json"))
    left = list((tmp_path / "spaces").glob(".*"))
    assert any(folder.name.startswith(".clip") for folder in left)
    old = time.time() - 2 * new_folder.STALE_SECONDS
    for folder in left:
        for file in (folder, *folder.rglob("*")):
            os.utime(file, (old, old))
    install.convert(clip, tmp_path / "spaces/clip", precision="fp32")
    assert [folder.name for folder in (tmp_path / "spaces").iterdir()] == ["clip"]
