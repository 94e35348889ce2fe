"""CLAP's towers against transformers', and an alignment from one space to another."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from tokenizers.processors import TemplateProcessing

from samespace.core.errors import UnknownSpace
from samespace.models.htsat import Htsat
from samespace.spaces.convert import clap
from samespace.spaces.space import Space

WORDS = "rain thunder dog bark cat river drum bell voice wind engine bird clock horn glass step train wave fire door".split()

pytestmark = pytest.mark.usefixtures("traced_once")


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    """A tiny random CLAP of transformers, and its folder."""
    from transformers import ClapConfig, ClapModel

    torch.manual_seed(0)
    config = ClapConfig(
        projection_dim=20,
        audio_config=dict(
            spec_size=64, num_mel_bins=16, window_size=4, patch_size=4, patch_stride=[4, 4], depths=[2, 2, 2],
            num_attention_heads=[2, 4, 8], patch_embeds_hidden_size=8, hidden_size=32,
        ),
        text_config=dict(
            vocab_size=80, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
            max_position_embeddings=40,
        ),
    )  # fmt: skip
    model = ClapModel(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
        norm = model.audio_model.audio_encoder.batch_norm
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
    folder = tmp_path_factory.mktemp("clap")
    model.save_pretrained(folder)
    pre = dict(
        hop_length=100, nb_max_samples=20_000, sampling_rate=8000, fft_window_size=256, frequency_min=50, frequency_max=3500
    )
    (folder / "preprocessor_config.json").write_text(json.dumps(pre))
    letters = {c: i for i, c in enumerate(["<s>", "<pad>", "</s>", "<unk>", *"abcdefghijklmnopqrstuvwxyz "])}
    tokenizer = Tokenizer(models.WordLevel(letters, "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.post_processor = TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    tokenizer.save(str(folder / "tokenizer.json"))
    return model, folder


def test_sounds_are_theirs(theirs):
    model, folder = theirs
    ours = clap.load(folder)
    mels = torch.randn(3, 1, ours.c.frames, 16) * 20 - 40
    with torch.inference_mode():
        want = model.get_audio_features(mels).pooler_output
        got = ours.audio(mels[:, 0].transpose(1, 2))
    assert ours.c.frames == 201
    torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-4)


def test_texts_are_theirs_whatever_stands_beside_them(theirs):
    model, folder = theirs
    ours, texts = clap.load(folder), ["a dog", "thunder far away"]
    ids = torch.from_numpy(ours.words.ids(texts))
    with torch.inference_mode():
        want = model.get_text_features(ids, attention_mask=(ids != 1).long()).pooler_output
    torch.testing.assert_close(ours.encode_text(texts), want, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(ours.encode_text(texts[:1]), want[:1], atol=1e-5, rtol=1e-4)


def test_the_real_ones_shapes(theirs):
    """laion/clap-htsat-unfused has 64 bands, 1001 frames and a square of 256."""
    c = clap.audio_tower({}, {}, 512)
    assert (c.frames, c.mels, c.rate, c.stages, c.layers, c.seconds) == (1001, 64, 48_000, (2, 2, 6, 2), 12, 10.0)
    tower = Htsat(c).eval()
    assert 26e6 < sum(p.numel() for p in tower.parameters()) < 30e6
    with torch.inference_mode():
        z = tower(torch.from_numpy(clap.examples(c)[:1]))
    assert z.shape == (1, 512) and torch.isfinite(z).all()


def test_an_aligned_clap_tower_is_added_to_a_space(theirs, tiny_space, tmp_path, monkeypatch):
    _, folder = theirs
    train, trained = clap.train_alignment, []
    monkeypatch.setattr(clap, "STEPS", 600)
    monkeypatch.setattr(clap, "train_alignment", lambda *given: trained.append(train(*given)) or trained[-1])
    loaded = clap.load(folder)
    config = clap.add_clap(tiny_space, loaded, tmp_path / "hearing", "tiny+clap", WORDS, "theirs")
    made = Space(tmp_path / "hearing")
    assert made.has_audio and made.fingerprint == tiny_space.fingerprint and config.name == "tiny+clap"
    assert config.card["audio"]["from"] == "theirs" and config.audio.dim == tiny_space.dim
    rng = np.random.default_rng(0)
    clips = [rng.normal(0, 0.1, n).astype(np.float32) for n in (20_000, 5000, 3)]
    z = made.audio(clips)
    np.testing.assert_allclose(np.linalg.norm(z, axis=1), 1, atol=1e-5)
    ((alignment, _),) = trained
    with torch.inference_mode():
        near = torch.nn.functional.cosine_similarity(
            alignment(loaded.encode_text(WORDS)), torch.from_numpy(tiny_space.text(WORDS))
        )
    assert near.mean() > 0.6
    with pytest.raises(UnknownSpace, match="there already"):
        clap.add_clap(tiny_space, loaded, tmp_path / "hearing", "again", WORDS)


def test_models_of_other_kinds_are_refused(theirs, tiny_clip_folder, tmp_path):
    with pytest.raises(UnknownSpace, match="no CLAP model"):
        clap.load(tiny_clip_folder)
    values = json.loads((theirs[1] / "config.json").read_text())
    values["audio_config"]["enable_fusion"] = True
    (tmp_path / "config.json").write_text(json.dumps(values))
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(UnknownSpace, match="fusion"):
        clap.load(tmp_path)
    with pytest.raises(UnknownSpace, match="heads"):
        clap.audio_tower({"num_attention_heads": [4, 4]}, {}, 512)
    for values, extractor in (
        ({}, {"truncation": "fusion"}),
        ({"projection_hidden_act": "gelu"}, {}),
        ({"patch_stride": [2, 2]}, {}),
    ):
        with pytest.raises(UnknownSpace, match="not supported"):
            clap.audio_tower(values, extractor, 512)
    with pytest.raises(UnknownSpace, match="not supported"):
        clap.text_tower({"hidden_act": "relu"}, 512)


def test_words_to_learn_from_are_the_spaces_own(tiny_space):
    words = clap.vocabulary_words(tiny_space)
    assert len(words) > 1000 and "thunder" in words and all(w.isalpha() for w in words)


@pytest.mark.parametrize(
    ("tokens", "words"),
    [
        (["cat</w>", "phy", "fing</w>", "catch"], ["cat", "fing"]), (["▁cat", "phy", "▁thunder"], ["cat", "thunder"]),
        (["Ġcat", "cat", "phy", "ĠdÃ©j"], ["cat"]), (["cat", "##phy", "bird"], ["bird", "cat"]),
    ],
)  # fmt: skip
def test_parts_of_words_are_none(tokens, words):
    tokenizer = Tokenizer(models.WordLevel({token: i for i, token in enumerate(tokens)}, unk_token=tokens[0]))
    assert clap.vocabulary_words(SimpleNamespace(words=SimpleNamespace(tokenizer=tokenizer))) == words


def test_a_tower_in_its_own_space_has_no_alignment(theirs):
    own = clap.load(theirs[1])
    assert isinstance(own.audio.alignment, torch.nn.Identity)
    assert not any(name.startswith("alignment.") for name in own.audio.state_dict())


def test_the_command_installs_a_space_with_an_audio_tower(theirs, tiny_space_folder, tmp_path, monkeypatch):
    from typer.testing import CliRunner

    from samespace.cli import main as cli
    from samespace.spaces import registry

    monkeypatch.setattr(clap, "STEPS", 10)  # how well it is aligned is measured above
    (tmp_path / "words.txt").write_text("\n".join(WORDS))
    words = ["--words", str(tmp_path / "words.txt")]
    done = CliRunner().invoke(cli.app, ["spaces", "add-audio", str(tiny_space_folder), "--clap", str(theirs[1]), *words])
    assert done.exit_code == 0, done.output
    name = f"tiny+{theirs[1].name}"
    assert name in registry.SPACES.installed() and registry.load(name).has_audio
    again = CliRunner().invoke(cli.app, ["spaces", "add-audio", str(tiny_space_folder), "--clap", str(theirs[1]), *words])
    assert again.exit_code != 0
