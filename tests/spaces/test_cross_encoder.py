"""Cross-encoders as publishers export them: scores as sentence-transformers gives them, or one sentence."""

import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from random_weights import randomised
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from samespace.core.errors import UnknownSpace
from samespace.spaces.cross_encoder import RERANKERS, CrossEncoder, install, needed

WORDS = "[PAD] [UNK] [CLS] [SEP] a dog cat runs in the snow cake is baked with butter rain fell on roof".split()
TEXTS = ["a dog runs in the snow", "the cake is baked with butter", "rain", "", "the snow fell on the roof " * 40]


def tokenizer() -> Tokenizer:
    words = Tokenizer(models.WordPiece({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    words.normalizer, words.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    words.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return words


@pytest.fixture(scope="module", params=["bert", "xlm-roberta"])
def published(request, tmp_path_factory) -> Path:
    """A tiny random model with one score, as its publisher would lay it out: for transformers, and exported to ONNX."""
    import transformers

    folder = tmp_path_factory.mktemp("published") / f"tiny-{request.param}"
    names = {"bert": "Bert", "xlm-roberta": "XLMRoberta"}
    shape = dict(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, vocab_size=len(WORDS), num_labels=1
    )
    first = 2 if request.param == "xlm-roberta" else 0
    config = getattr(transformers, f"{names[request.param]}Config")(
        **shape, max_position_embeddings=64 + first, pad_token_id=0, attn_implementation="eager"
    )
    model = randomised(getattr(transformers, f"{names[request.param]}ForSequenceClassification")(config)).eval()
    model.save_pretrained(folder)
    kind = transformers.BertTokenizerFast if request.param == "bert" else transformers.PreTrainedTokenizerFast
    special = dict(pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]", unk_token="[UNK]", model_max_length=64)
    words = kind(tokenizer_object=tokenizer(), **special)
    words.save_pretrained(folder)
    (folder / "onnx").mkdir()
    inputs = {name: torch.ones(2, 9, dtype=torch.int64) for name in ("input_ids", "attention_mask")}
    inputs["attention_mask"][1, 7:] = 0
    inputs |= {"token_type_ids": torch.zeros(2, 9, dtype=torch.int64)} if request.param == "bert" else {}
    axes = {name: {0: torch.export.Dim("batch"), 1: torch.export.Dim("length", max=64)} for name in inputs}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's of itself
        program = torch.onnx.export(
            model, kwargs=inputs, dynamic_shapes=axes, dynamo=True, verbose=False, output_names=["logits"]
        )
    program.save(folder / "onnx" / "model.onnx", external_data=False)
    return folder


@pytest.fixture(autouse=True)
def own_rerankers(tmp_path, monkeypatch):
    monkeypatch.setenv("SAMESPACE_RERANKERS", str(tmp_path / "rerankers"))


def test_scores_are_those_of_sentence_transformers(published):
    from sentence_transformers import CrossEncoder as Reference

    reference = Reference(str(published), device="cpu", max_length=64)
    expected = reference.predict([("a dog in the snow", text) for text in TEXTS], activation_fn=torch.nn.Sigmoid())
    install(published, published.name)
    opened = CrossEncoder(RERANKERS.installed()[published.name])
    assert opened.scores("a dog in the snow", TEXTS) == pytest.approx(expected, abs=2e-6)
    assert np.ptp(expected) > 1e-4
    assert opened.scores("a dog", []).shape == (0,)


def test_a_changed_graph_is_refused(published):
    folder = install(published, "one")
    with open(folder / "model.onnx", "ab") as graph:
        graph.write(b"x")
    with pytest.raises(UnknownSpace, match="is not what was installed"):
        CrossEncoder(folder)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("labels", "tells 2 kinds of texts apart"),
        ("graph", "model.onnx cannot be opened"),
        ("no tokenizer", r"cannot be read as a cross-encoder .*tokenizer\.json"),
        ("no config", r"config\.json cannot be read"),
        ("config is a list", r"config\.json is not a JSON object"),
    ],
)
def test_what_is_no_cross_encoder_is_refused_and_leaves_nothing(published, tmp_path, fault, message):
    folder = tmp_path / "copy"
    shutil.copytree(published, folder)
    config = json.loads((folder / "config.json").read_text())
    if fault == "labels":
        config["id2label"] = {"0": "no", "1": "yes"}
        (folder / "config.json").write_text(json.dumps(config))
    elif fault == "graph":
        (folder / "onnx" / "model.onnx").write_bytes(b"no graph")
    elif fault == "no tokenizer":
        (folder / "tokenizer.json").unlink()
    elif fault == "no config":
        (folder / "config.json").unlink()
    else:
        (folder / "config.json").write_text("[]")
    with pytest.raises(UnknownSpace, match=message):
        install(folder, "copy")
    assert not list(RERANKERS.folder.iterdir())


def test_what_a_repository_needs_is_known_before_anything_is_downloaded():
    files = {"config.json": 1, "tokenizer.json": 1, "onnx/model.onnx": 9, "onnx/model_O4.onnx": 9, "model.safetensors": 9}
    assert needed(files) == ["onnx/model.onnx", "config.json", "tokenizer.json"]
    with pytest.raises(UnknownSpace, match="choose one that has"):
        needed({"config.json": 1, "tokenizer.json": 1, "model.safetensors": 9})


def test_one_is_pulled_listed_and_removed_by_command(published):
    from typer.testing import CliRunner

    from samespace.cli.main import app

    def run(*words: str) -> str:
        done = CliRunner().invoke(app, ["rerankers", *words])
        assert done.exit_code == 0, done.output
        return done.stdout

    run("pull", str(published))
    assert published.name in run("list")
    run("remove", published.name)
    assert run("list") == ""
    assert CliRunner().invoke(app, ["rerankers", "remove", published.name]).exit_code != 0
