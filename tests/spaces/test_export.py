"""Exported towers against the ones they come from, and the gate that lets narrow weights in."""

import copy
import json
import shutil

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import load_file

from samespace.core.config import AudioTower
from samespace.core.errors import QueryError, UnknownSpace
from samespace.core.files import sha256
from samespace.models.starter.audio import AudioTransformer
from samespace.spaces import registry
from samespace.spaces.checkpoints import checkpoint
from samespace.spaces.checkpoints.tensors import dequantize
from samespace.spaces.convert import export, install, quantize
from samespace.spaces.convert import onnx as graphs
from samespace.spaces.convert.export import Pairs
from samespace.spaces.convert.onnx import digest_of_state, fp32_state
from samespace.spaces.space import Space, read_space_config

pytestmark = pytest.mark.usefixtures("traced_once")


@pytest.fixture(scope="module")
def loaded(tiny_clip_folder):
    return checkpoint.load(tiny_clip_folder, "tiny")


@pytest.fixture(scope="module")
def pairs(loaded) -> Pairs:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(1, 49000, (48, 77), generator=generator)
    ids[:, 0], ids[:, 20:] = 49406, 49407
    return Pairs(torch.randn(48, 3, 64, 64, generator=generator).numpy(), ids.numpy())


def towers(folder, pairs: Pairs) -> tuple[np.ndarray, np.ndarray]:
    """z of pictures and texts by ONNX Runtime."""
    space = Space(folder)
    return space._image_tower(pairs.pixels), space._text_tower(pairs.ids)


def torch_towers(loaded, pairs: Pairs) -> tuple[np.ndarray, np.ndarray]:
    with torch.no_grad():
        z_image, z_text = loaded.model(torch.from_numpy(pairs.pixels), torch.from_numpy(pairs.ids))
    return z_image.numpy(), z_text.numpy()


def test_fp32_export_equals_torch(loaded, pairs, tmp_path):
    config = export.export(loaded, tmp_path / "space")
    for ours, theirs in zip(towers(tmp_path / "space", pairs), torch_towers(loaded, pairs)):
        assert np.abs(ours - theirs).max() < 1e-5
    assert {t: p["chosen"] for t, p in config.card["precision"].items()} == {"image": "fp32", "text": "fp32"}


@pytest.mark.parametrize("rows", [1, 3, 17])
def test_batches_of_any_size(tiny_space_folder, pairs, rows):
    few = Pairs(pairs.pixels[:rows], pairs.ids[:rows])
    for some, all_ in zip(towers(tiny_space_folder, few), towers(tiny_space_folder, pairs)):
        assert np.abs(some - all_[:rows]).max() < 1e-5


@pytest.mark.parametrize(("precision", "bytes_of_fp32"), [("int8", 0.35), ("int8-weights", 0.35), ("fp16", 0.55)])
def test_narrow_weights_pass_the_gate_and_shrink_the_file(loaded, pairs, tmp_path, monkeypatch, precision, bytes_of_fp32):
    export.export(loaded, tmp_path / "fp32")
    monkeypatch.setattr(export, "PRECISIONS", (precision, precision))  # both, so that text's start is the same
    monkeypatch.setattr(export, "MAX_RECALL_LOSS", 0.05)  # one of 48 random pairs
    monkeypatch.setattr(export, "MIN_COSINE", 0.98)  # without VNNI, sums of int8 products saturate
    config = export.export(loaded, tmp_path / "small", pairs)
    for tower in ("image", "text"):
        report = config.card["precision"][tower]
        assert report["chosen"] == precision
        assert report["tried"][precision]["cosine"] >= 0.98
    size = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("fp32", "small")]
    assert size[1] < bytes_of_fp32 * size[0]
    for small, exact in zip(towers(tmp_path / "small", pairs), torch_towers(loaded, pairs)):
        assert (small * exact).sum(axis=1).mean() >= 0.98


def test_a_gate_that_fails_keeps_fp32(loaded, pairs, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "MIN_COSINE", 1.1)
    config = export.export(loaded, tmp_path / "space", pairs)
    assert config.card["precision"]["image"]["chosen"] == "fp32"
    assert set(config.card["precision"]["image"]["tried"]) == {"int8", "int8-weights", "fp16"}
    for ours, theirs in zip(towers(tmp_path / "space", pairs), torch_towers(loaded, pairs)):
        assert np.abs(ours - theirs).max() < 1e-5


@pytest.mark.parametrize("gated", [False, True])
def test_torch_reads_the_weights_that_onnx_runs(loaded, pairs, tmp_path, monkeypatch, gated):
    """One weights file: the towers that torch reads back are those that ONNX Runtime runs."""
    monkeypatch.setattr(export, "MAX_RECALL_LOSS", 1.0)
    export.export(loaded, tmp_path / "space", pairs if gated else None)
    again = checkpoint.load(tmp_path / "space")
    for onnx_z, torch_z in zip(towers(tmp_path / "space", pairs), torch_towers(again, pairs)):
        cosine = (onnx_z * torch_z).sum(axis=1)
        assert cosine.min() > (0.99 if gated else 1 - 1e-6)  # int8 rounds activations too, and without VNNI saturates
    graphs = sum((tmp_path / "space" / f"{t}.onnx").stat().st_size for t in ("image", "text"))
    assert graphs < 0.1 * (tmp_path / "space" / "model.safetensors").stat().st_size


@pytest.mark.parametrize("hopfield_pairs", [0, 10])
def test_torch_reads_the_audio_weights_that_onnx_runs(tiny_space_folder, tmp_path, hopfield_pairs):
    """Batch norms that are not at their beginning: the exporter folds them into the convolutions."""
    folder = shutil.copytree(tiny_space_folder, tmp_path / "hearing")
    c = AudioTower(frames=80, strides=(2, 2), width=32, layers=1, heads=2, mlp=64, dim=24, hopfield_pairs=hopfield_pairs)
    mels = torch.randn(4, c.mels, c.frames, generator=torch.Generator().manual_seed(0)) * 20 - 40
    torch.manual_seed(0)
    tower = AudioTransformer(c)
    for _ in range(3):
        tower(mels)  # in training: the norms take the data's mean and spread
    torch.nn.init.normal_(tower.chunk[0][1].weight)
    torch.nn.init.normal_(tower.chunk[1][1].bias)
    expected = tower.eval()(mels).detach().numpy()
    export.add_audio_tower(folder, tower, c, mels.numpy())
    ran = Space(folder).spectrograms(list(mels.numpy()))
    assert (ran * expected).sum(axis=1).min() > 0.99
    read = AudioTransformer(c).eval()
    read.load_state_dict(dequantize(load_file(folder / "audio.safetensors")))
    assert np.abs(read(mels).detach().numpy() - ran).max() < 1e-5


def test_no_graph_carries_large_weights_of_its_own(loaded, tiny_space_folder):
    parameters = fp32_state(loaded.model)
    for tower in ("image", "text"):
        graph = onnx.load(tiny_space_folder / f"{tower}.onnx", load_external_data=False).graph
        inside = [i.name for i in graph.initializer if i.name in parameters and len(i.raw_data) > quantize.LARGE]
        assert inside == []


@pytest.mark.parametrize("texts", [["", "a photograph of a cat on a sofa"], ["cat " * 200]])
def test_padding_that_changes_nothing_is_not_computed(tiny_space_folder, monkeypatch, texts):
    space, lengths = Space(tiny_space_folder), []
    tower, context = space._text_tower, space.config.prep.context
    padded = tower(*space.words.encode(texts))
    run = type(tower).__call__
    monkeypatch.setattr(
        type(tower), "__call__", lambda self, ids, present: lengths.append(ids.shape[1]) or run(self, ids, present)
    )
    np.testing.assert_allclose(space.text(texts), padded, atol=1e-6)
    assert lengths == [max(space.words.count(text) for text in texts)] and (lengths[0] == context) == (len(texts) == 1)
    np.testing.assert_allclose(np.concatenate([space.text([text]) for text in texts]), padded, atol=1e-6)


def test_the_gate_counts_what_recall_loses():
    z = np.eye(20, dtype=np.float32)
    exact = {"image": z, "text": z}
    assert export.gate_report(exact, exact, "image")["recall_at_10_lost"] == 0
    worse = {"image": np.roll(z, 1, axis=0), "text": z}
    verdict = export.gate_report(exact, worse, "image")
    assert not verdict["passes"] and verdict["recall_at_10_lost"] == 1.0 and verdict["cosine"] == 0


def test_a_space_folder_says_what_it_is(tiny_space_folder):
    config = read_space_config(tiny_space_folder)
    assert config.files.keys() == {"image.onnx", "text.onnx", "model.safetensors", "tokenizer.json", "verify.json"}
    assert all(sha256(tiny_space_folder / name) == digest for name, digest in config.files.items())


def test_the_same_weights_have_the_same_fingerprint(loaded, pairs, tmp_path):
    first = export.export(loaded, tmp_path / "a")
    second = export.export(loaded, tmp_path / "b", pairs)
    assert first.fingerprint == second.fingerprint
    with torch.no_grad():
        other = checkpoint.load(tmp_path / "a")
        other.model.logit_scale += 1
    assert digest_of_state(fp32_state(other.model)) != first.weights


def test_pairs_that_cannot_be_read(loaded, tmp_path):
    with pytest.raises(QueryError, match="filepath and title"):
        export.held_out_pairs(loaded, tmp_path / "none.tsv")
    for text, says in (
        ("a\tb\n1\t2\n", "filepath and title"),
        ("filepath\ttitle\n", "no pairs"),
        ("filepath\ttitle\nno.jpg\tx\n", "no.jpg"),
    ):
        (tmp_path / "odd.tsv").write_text(text)
        with pytest.raises(QueryError, match=says):
            export.held_out_pairs(loaded, tmp_path / "odd.tsv")


def test_equal_weights_keep_their_names(loaded, tmp_path, monkeypatch):
    """Biases of new weights are all zero."""
    monkeypatch.setattr(export, "trace", graphs.trace)  # which names them; a graph that was traced before has its names
    zeroed = copy.deepcopy(loaded)
    with torch.no_grad():
        for name, parameter in zeroed.model.named_parameters():
            if name.endswith("qkv.bias"):
                parameter.zero_()
    graph = export.traced_tower(zeroed, "text", fp32_state(zeroed.model), tmp_path)
    names = [initializer.name for initializer in graph.graph.initializer]
    assert len(names) == len(set(names))
    onnx.checker.check_model(graph)


def test_equal_captions_are_one_pair_and_many_are_few(loaded, tmp_path, photographs, monkeypatch):
    monkeypatch.setattr(export, "MOST_PAIRS", 3)
    rows = [f"{photographs / 'coffee.png'}\t{title}" for title in ("a cup", "A cup ", "coffee", "a saucer", "a spoon")]
    (tmp_path / "pairs.tsv").write_text("filepath\ttitle\n" + "\n".join(rows[:3]))
    assert len(export.held_out_pairs(loaded, tmp_path / "pairs.tsv").ids) == 2
    (tmp_path / "pairs.tsv").write_text("filepath\ttitle\n" + "\n".join(rows))
    assert len(export.held_out_pairs(loaded, tmp_path / "pairs.tsv").ids) == 3


def test_relevance_stays_where_the_weights_do(tmp_path):
    install.convert(registry.STARTER, tmp_path / "again", precision="fp32")
    old, new = Space(registry.STARTER), Space(tmp_path / "again")
    assert new.config.calibration == old.config.calibration and new.fingerprint == old.fingerprint
    assert (tmp_path / "again/background.npy").read_bytes() == (registry.STARTER / "background.npy").read_bytes()


def test_a_failed_export_leaves_nothing_behind(loaded, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "save_with_shared_weights", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export.export(loaded, tmp_path / "space")
    assert list(tmp_path.iterdir()) == []


def test_card_is_json(tiny_space_folder):
    assert json.loads((tiny_space_folder / "space.json").read_text())["card"]["precision"]["image"] == {"chosen": "fp32"}


@pytest.mark.parametrize("what", ["folder", "file"])
def test_nothing_but_a_space_is_ever_replaced(loaded, tmp_path, what):
    target = tmp_path / "Pictures"
    if what == "folder":
        target.mkdir()
        (target / "holiday.jpg").write_bytes(b"precious")
    else:
        target.write_bytes(b"precious")
    with pytest.raises(UnknownSpace, match="is not a space"):
        export.export(loaded, target)
    kept = target / "holiday.jpg" if what == "folder" else target
    assert kept.read_bytes() == b"precious"


def test_an_old_space_and_an_empty_folder_are_replaced(loaded, tmp_path):
    (tmp_path / "space").mkdir()
    for _ in range(2):
        export.export(loaded, tmp_path / "space")
    assert [p.name for p in tmp_path.iterdir()] == ["space"]
    assert (tmp_path / "space" / "model.safetensors").stat().st_mode & 0o444 == 0o444


def test_towers_larger_than_a_protobuf(loaded, pairs, tmp_path, monkeypatch):
    """Over 2 GiB weights lie beside the graph from the beginning, and stay fp32."""
    monkeypatch.setattr(graphs, "MOST_BYTES", 10_000)
    config = export.export(loaded, tmp_path / "space", pairs)
    for ours, theirs in zip(towers(tmp_path / "space", pairs), torch_towers(loaded, pairs)):
        assert np.abs(ours - theirs).max() < 1e-5
    assert {precision["chosen"] for precision in config.card["precision"].values()} == {"fp32"}
