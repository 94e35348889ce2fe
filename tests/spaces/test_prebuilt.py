"""Models that are ONNX graphs already, as Immich and transformers.js publish them."""

import shutil

import numpy as np
import pytest
import tiny_checkpoints as tiny

import samespace
from samespace.core.errors import UnknownSpace
from samespace.evaluate.zeroshot import probabilities
from samespace.spaces.checkpoints import families
from samespace.spaces.convert import conversion, install, prebuilt, verify


@pytest.fixture(scope="module")
def clip_tokenizer(clip_tokenizer_folder):
    return tiny.clip_tokenizer(clip_tokenizer_folder)


@pytest.fixture(scope="module")
def immich(tmp_path_factory, clip_tokenizer):
    path = tmp_path_factory.mktemp("immich")
    tokenizer = tiny.open_clip_tokenizer(clip_tokenizer, path / "tokenizer", context_length=77, clean="lower")
    return tiny.immich(path / "model", "ViT-B-32", tokenizer, clip_tokenizer)


def installed(folder, target):
    families.check(folder, "org/model")
    config = install.convert(folder, target)
    return samespace.load(target), config


def test_immichs_graphs_are_open_clips_model(immich, tmp_path):
    """Its graphs take one input at a time, ids of 32 bits, and give vectors of any length."""
    space, config = installed(immich, tmp_path / "space")
    answers = verify.ask(conversion.open_reference(immich.with_name("model-open_clip")))
    found = verify.check_exact(space, answers)
    assert max(found["image_difference"], found["text_difference"]) < 1e-5
    assert "taken as it is" in config.card["unverified"] and set(config.files) == {
        "image/model.onnx",
        "text/model.onnx",
        "tokenizer.json",
    }
    np.testing.assert_allclose(np.linalg.norm(space.text(["a", "b"]), axis=1), 1, atol=1e-6)


def test_open_clips_tokenizer_pads_with_zero(tmp_path, clip_tokenizer, monkeypatch):
    """Whatever padding the files beside a graph name: a text tower that sees its padding would give other vectors."""
    small = dict(
        vision_cfg=dict(timm_model_name="convnext_atto", timm_proj="linear", image_size=64)
    )  # it is about the text tower
    monkeypatch.setitem(tiny.SMALL, "MobileCLIP2-S0", small)
    tokenizer = tiny.open_clip_tokenizer(clip_tokenizer, tmp_path / "tokenizer", context_length=77, clean="lower")
    space, _ = installed(tiny.immich(tmp_path / "model", "MobileCLIP2-S0", tokenizer, clip_tokenizer), tmp_path / "space")
    found = verify.check_exact(space, verify.ask(conversion.open_reference(tmp_path / "model-open_clip")))
    assert max(found["image_difference"], found["text_difference"]) < 1e-5


@pytest.mark.parametrize("kind", ["clip", "siglip2"])
def test_transformers_js_graphs_are_transformers_model(tmp_path, clip_tokenizer, kind):
    source = tiny.clip(tmp_path / "source", clip_tokenizer) if kind == "clip" else tiny.siglip2(tmp_path / "source")
    space, _ = installed(tiny.transformers_js(tmp_path / "model", source), tmp_path / "space")
    found = verify.check_exact(space, verify.ask(conversion.open_reference(source)))
    assert max(found["image_difference"], found["text_difference"]) < 1e-5
    z = space.text(["a cat", "a dog"])
    if kind == "clip":
        assert probabilities(space, z, z).sum(axis=1) == pytest.approx(1)
    else:  # its temperature and bias are not in the graphs
        with pytest.raises(UnknownSpace, match="hold no temperature"):
            probabilities(space, z, z)


def test_what_does_not_belong_together_is_refused(immich, tmp_path):
    shutil.copytree(immich, tmp_path / "model")
    shutil.copy(immich / "visual/model.onnx", tmp_path / "model/textual/model.onnx")
    with pytest.raises(UnknownSpace, match="text tower"):
        install.convert(tmp_path / "model", tmp_path / "space")
    (tmp_path / "model/textual/model.onnx").write_bytes(b"no graph")
    with pytest.raises(UnknownSpace, match="cannot be opened"):
        install.convert(tmp_path / "model", tmp_path / "space")
    assert not (tmp_path / "space").exists()


@pytest.mark.parametrize("location", ["../outside.bin", "/etc/passwd"])
def test_weights_outside_the_folder_are_not_read(immich, tmp_path, location):
    import onnx

    shutil.copytree(immich, tmp_path / "model")
    graph = onnx.load(immich / "visual/model.onnx")
    weight = max(graph.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    (tmp_path / "outside.bin").write_bytes(weight.raw_data)
    onnx.external_data_helper.set_external_data(weight, location)
    weight.ClearField("raw_data")
    (tmp_path / "model/visual/model.onnx").write_bytes(graph.SerializeToString())
    with pytest.raises(UnknownSpace, match="cannot be opened"):
        install.convert(tmp_path / "model", tmp_path / "space")


def test_only_whole_precision_graphs_are_taken():
    files = {"config.json", "tokenizer.json", "onnx/vision_model_quantized.onnx", "onnx/text_model_quantized.onnx"}
    assert prebuilt.layout_of(files) is None
    files |= {"onnx/vision_model_fp16.onnx", "onnx/text_model_fp16.onnx", "onnx/vision_model_fp16.onnx_data"}
    layout = prebuilt.layout_of(files)
    assert layout.image == "onnx/vision_model_fp16.onnx"
    assert set(prebuilt.needed(layout, files)) == {f for f in files if "quantized" not in f}
