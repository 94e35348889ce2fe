"""Training a native model: documents in rows, a run that learns, resumes and exports, and files that are refused."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from media_files import write_audio
from tiny_native import native_tokenizer, tiny_config, write_documents

from samespace.core.errors import ConfigError, TrainingStopped, UnreadableMedia
from samespace.core.native_config import PATCH, WORD
from samespace.generate.native import load_native
from samespace.models.generate.native import IGNORE
from samespace.preprocess.stream import PictureValues
from samespace.train import checkpoint, native_run, runs
from samespace.train.config import RunConfig, Source, validate
from samespace.train.data import Mixture
from samespace.train.documents import DocumentLoader, open_documents, shortened, spoken_words
from samespace.train.native_run import NativeRun, open_words


@pytest.fixture
def config(tmp_path) -> RunConfig:
    folder = tmp_path / "data"
    folder.mkdir()
    file = write_documents(folder)
    native_tokenizer().save(str(folder / "tokenizer.json"))
    return RunConfig(
        name="tiny", task="native", native=tiny_config(), tokenizer=str(folder), out=str(tmp_path / "run"), train=(Source(str(file)),),
        val=(Source(str(file)),), steps=6, batch=12, row=64, lr=3e-3, warmup=2, save_every=3, evaluate_every=3, ema_decay=0.9, threads=2,
        device="cpu",
    )  # fmt: skip


def batch_of(config: RunConfig):
    words = open_words(config)
    loader = DocumentLoader(Mixture(config.train, open_documents, 0), words, config.batch, config.row, 2)
    return words, next(iter(loader))


def test_documents_stand_in_rows_and_what_is_learnt_is_marked(config):
    words, batch = batch_of(config)
    stream, n = batch.stream, config.row
    assert stream.ids.shape[1] == n and len(stream.ids) < config.batch and int(stream.documents.max()) > 1
    ends = (stream.ids == words.end) & (stream.kinds == WORD) & (stream.documents > 0)
    assert int(ends.sum()) == config.batch  # every document is there, once
    for row in range(len(stream.ids)):
        for i in range(n - 1):
            target = int(batch.targets[row, i])
            if target != IGNORE:
                assert target == stream.ids[row, i + 1] and stream.documents[row, i] == stream.documents[row, i + 1]
                assert stream.kinds[row, i] == stream.kinds[row, i + 1] == WORD
    assert batch.drawn.any() and bool((stream.kinds[batch.drawn] == PATCH).all())
    for number in stream.blocks[batch.drawn].unique():  # a block is drawn as a whole, or not at all
        assert bool(batch.drawn[stream.blocks == number].all())
    blocks = [stream.documents[stream.blocks == b].unique().numel() for b in stream.blocks.unique() if b > 0]
    assert set(blocks) == {1}


def test_the_losses_of_processes_are_means_over_all_they_learn(config, monkeypatch):
    run = NativeRun(config)
    batch = batch_of(config)[1]
    words, numbers = batch.counts(config.native)
    used = run.model.used[batch.stream.kinds]
    assert words == int((batch.targets != IGNORE).sum()) and numbers == int((batch.drawn[..., None] & used).sum())
    alone = run.backward(batch)
    monkeypatch.setattr(native_run, "mean_count", lambda count: 2 * count)  # another process has three times as much to learn
    torch.testing.assert_close(run.backward(batch), alone / 2)


def test_a_document_with_several_pictures_sometimes_ends_after_one():
    parts = ("a", ("picture", "1"), "b", ("picture", "2"), "c")
    found = {shortened(parts, np.random.default_rng(i)) for i in range(40)}
    assert found == {parts, parts[:2], parts[:4]}


@pytest.mark.parametrize("encoder", [0, 1], ids=["early", "late"])
def test_a_run_learns_to_read_and_to_draw(config, encoder):
    config = replace(config, native=replace(config.native, encoder=encoder))
    losses = []
    config = replace(config, steps=120, batch=18, evaluate_every=120, save_every=120)
    runs.train(NativeRun, config, False, lambda progress, _: losses.append(progress.loss))
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:5])
    native = load_native(f"{config.out}/native")
    pictures = {
        c: PictureValues(np.concatenate([np.full((3, 16, 16), -0.85), np.ones((1, 16, 16))]).astype(np.float32))
        for c in ("red", "blue")
    }
    pictures["red"].values[0], pictures["blue"].values[2] = 0.8, 0.8
    for colour, picture in pictures.items():
        likely = native.log_likelihood([picture], ["red", "blue"])
        assert ["red", "blue"][int(likely.argmax())] == colour
        (drawn,) = native.draw([colour])
        red, _, blue, _ = drawn.values.mean(axis=(1, 2))
        assert (red > blue) == (colour == "red")
    assert native.config.card["documents_seen"] == 120 * 18 and set(native.config.card["validation"]) == {
        "loss",
        "words",
        "drawn",
    }


def test_a_resumed_run_equals_the_uninterrupted_one(config, tmp_path, monkeypatch):
    monkeypatch.setattr(NativeRun, "export", lambda *_: None)  # what is compared are checkpoints
    whole, parts = (replace(config, out=str(tmp_path / name), threads=1) for name in ("whole", "parts"))
    runs.train(NativeRun, whole, False, lambda *_: None)
    steps = []

    def stop(progress, config):
        steps.append(progress.step)
        if progress.step == 3 and len(steps) == 3:
            raise TrainingStopped("here")

    with pytest.raises(TrainingStopped, match="here"):
        runs.train(NativeRun, parts, False, stop)
    runs.train(NativeRun, parts, True, stop)
    assert steps == [1, 2, 3, 4, 5, 6]
    want, got = (checkpoint.load(Path(run.out) / "checkpoint.pt")["model"] for run in (whole, parts))
    assert want.keys() == got.keys() and all(torch.equal(tensor, got[name]) for name, tensor in want.items())


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ({"parts": []}, "is empty"),
        ({"parts": [{"video": "a.mp4"}]}, "has a video; give a picture, a sound or words"),
        ({"text": "a"}, "KeyError"),
        ({"parts": [7]}, "AttributeError|cannot be read"),
    ],
)
def test_files_that_are_no_documents_are_refused(tmp_path, row, sentence):
    file = tmp_path / "d.jsonl"
    file.write_text(json.dumps(row))
    with pytest.raises(ConfigError, match=sentence):
        open_documents(Source(str(file)))


def test_a_missing_picture_and_silence_are_skipped_with_a_reason(config, tmp_path):
    write_audio(tmp_path / "silent.wav", np.zeros(8000, np.float32))
    file = tmp_path / "d.jsonl"
    rows = [["a", {"picture": "none.png"}], [{"sound": "silent.wav"}, "b"], ["x" * 200], ["a word"]]
    file.write_text("\n".join(json.dumps({"parts": parts}) for parts in rows))
    loader = DocumentLoader(Mixture((Source(str(file)),), open_documents, 0), open_words(config), 2, config.row, 1)
    reasons = [loader.load(1, Source(), document) for document in open_documents(Source(str(file))).in_order()]
    assert [isinstance(reason, str) for reason in reasons] == [True, True, True, False]
    assert "No such file" in reasons[0] and "silent" in reasons[1] and "a row has 64" in reasons[2]


def test_settings_that_exclude_each_other_are_refused(config, tmp_path):
    with pytest.raises(ConfigError, match="trained from new weights"):
        validate(replace(config, start="starter"))
    with pytest.raises(ConfigError, match="cannot be read as a tokenizer"):
        open_words(replace(config, tokenizer=str(tmp_path / "none")))
    with pytest.raises(ConfigError, match=r"no model can be built of \[native\]"):
        NativeRun(replace(config, native=replace(config.native, patch=7)))
    with pytest.raises(ConfigError, match="no part of the model; parts begin with lm"):
        NativeRun(replace(config, lock=("text",)))
    assert torch.is_tensor(batch_of(config)[1].targets)


def test_spoken_words_are_one_sound_and_one_word_each(config, tmp_path):
    write_audio(tmp_path / "a.wav", np.sin(np.arange(8000, dtype=np.float32) / 5))
    file, words = tmp_path / "spoken.jsonl", open_words(config)
    file.write_text(
        json.dumps({"parts": [{"sound": "a.wav"}, "cat"]}) + "\n" + json.dumps({"parts": ["dog", {"sound": "a.wav"}]})
    )
    sounds, said = spoken_words(str(file), words, 10)
    assert said == ["cat", "dog"] and len(sounds) == 2 and len(spoken_words(str(file), words, 1)[1]) == 1
    for parts in (["cat", "dog"], [{"sound": "a.wav"}, "a", "b"], [{"sound": "none.wav"}, "a"]):
        file.write_text(json.dumps({"parts": parts}))
        with pytest.raises(UnreadableMedia, match=r"spoken\.jsonl"):
            spoken_words(str(file), words, 10)
