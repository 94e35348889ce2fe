"""A native model as an assistant, as a generator and looked into."""

import wave

import numpy as np
import pytest
from media_files import scene, tone, write_audio
from PIL import Image
from tiny_native import tiny_native

from samespace.assistant.excerpts import excerpt
from samespace.assistant.native_assistant import NativeAssistant
from samespace.assistant.open import open_assistant
from samespace.assistant.request import Message, Picture, Recording, Request, question
from samespace.cli.draw import Wish, draw_with_native, native_folder
from samespace.core.errors import QueryError, RequestError, UnreadableMedia
from samespace.core.native_config import PATCH, WORD
from samespace.explain.stream import stream_lines, trace_stream
from samespace.generate.native import Settings, export, load_native
from samespace.preprocess.stream import PictureValues, SoundValues


@pytest.fixture
def folder(tmp_path):
    native = tiny_native()
    export(native.model, native.words.tokenizer, native.config, tmp_path / "native")
    return tmp_path / "native"


@pytest.fixture
def picture(tmp_path):
    scene((200, 30, 30)).save(tmp_path / "a.png")
    return Picture.read(tmp_path / "a.png")


def test_it_is_opened_by_its_folder_and_answers(folder, picture):
    assistant = open_assistant(str(folder))
    assert isinstance(assistant, NativeAssistant) and assistant.name == "tiny"
    assert assistant.room == 96 and assistant.picture_tokens(picture) == 6
    reply = assistant.answer(question("What?", [picture], max_tokens=5))
    text = reply.text
    assert reply.outcome.prompt == 6 + len("\nWhat?\n") and reply.outcome.pictures == 4 and reply.outcome.answer <= 5
    assert text == assistant.answer(question("What?", [picture], max_tokens=5)).text
    odds = assistant.choose(question("What?", [picture]), ["red", "blue"])
    assert sum(odds) == pytest.approx(1) and min(odds) > 0


def test_a_conversation_is_a_document(picture):
    assistant = NativeAssistant(tiny_native())
    parts = assistant.document(
        (Message("user", (picture, "What?")), Message("assistant", ("A square.",)), Message("user", ("Red?",)))
    )
    assert [part if isinstance(part, str) else type(part) for part in parts] == [
        PictureValues,
        "\nWhat?\n",
        "\nA square.\n",
        "\nRed?\n",
    ]
    assert parts[0].values.shape == (4, 16, 16) and parts[0].values[0].mean() > 0 > parts[0].values[2].mean()
    with pytest.raises(RequestError, match="the model reads 96; shorten it"):
        assistant.answer(Request((Message("user", ("a" * 100,)),)))


def test_it_hears(tmp_path):
    assistant = NativeAssistant(tiny_native())
    shown = excerpt(write_audio(tmp_path / "a.wav", tone(0.5)), "What?", None, assistant)
    (recording,) = shown.parts
    assert isinstance(recording, Recording) and recording.decode(64).width > 32  # a waveform, for others
    (sound, _) = assistant.document((Message("user", (recording, "What?")),))
    assert isinstance(sound, SoundValues) and sound.values.shape == (16, 8)
    (tmp_path / "b.wav").write_bytes(b"RIFF")
    with pytest.raises(UnreadableMedia, match=r"b\.wav: "):
        Recording.of(tmp_path / "b.wav")


def test_a_stop_string_ends_the_answer(picture):
    assistant = NativeAssistant(tiny_native())
    whole = assistant.answer(question("What?", [picture], max_tokens=12, temperature=1.0, seed=3)).text
    assert len(whole) > 2
    stopped = assistant.answer(question("What?", [picture], max_tokens=12, temperature=1.0, seed=3, stop=(whole[2],))).text
    assert stopped == whole[: whole.index(whole[2])]


def test_it_draws_pictures_and_sounds_from_words_pictures_and_sounds(folder, tmp_path, capsys, picture):
    assert native_folder(str(folder)) == folder and native_folder("starter") is None
    draw_with_native(folder, Wish("a red square", tmp_path / "out.png", 4, 1, 3, 2.0, 2))
    with Image.open(tmp_path / "out.png") as sheet:
        assert sheet.size == (64, 64) and sheet.info["Description"] == "a red square" and "tiny" in sheet.info["Comment"]
    draw_with_native(folder, Wish(str(tmp_path / "a.png"), tmp_path / "out.wav", 1, 1, 3, 2.0))
    with wave.open(str(tmp_path / "out.wav")) as file:
        assert file.getframerate() == 16_000 and file.getnframes() == 7 * 160
    assert "out.wav" in capsys.readouterr().out
    native = load_native(folder)
    heard = native.pictures(str(write_audio(tmp_path / "t.wav", tone(0.5))), 1, Settings(steps=2))
    assert heard.shape == (1, 4, 16, 16)


@pytest.mark.parametrize(
    ("query", "settings", "sentence"),
    [
        ("a", {"steps": 0}, "steps is 0"),
        ("a", {"guidance": 99.0}, "guidance is 99"),
        ("tests/conftest.py", {}, "neither a picture nor a sound"),
        ("a dog + snow", {}, "adds or weighs nothing"),
        ("2:castle", {}, "adds or weighs nothing"),
        ("./gone.png", {}, "is no file"),
        ("a", {"seed": -1}, "seed is -1"),
    ],
)
def test_what_cannot_be_drawn_is_a_sentence(query, settings, sentence):
    with pytest.raises((QueryError, UnreadableMedia), match=sentence):
        tiny_native().pictures(query, 1, Settings(**settings))


def test_the_one_stream_is_shown(picture):
    native = tiny_native()
    parts = NativeAssistant(native).document((Message("user", (picture, "What?")),))
    trace = trace_stream(native, parts, 4)
    assert [(run.start, run.stop, run.kind) for run in trace.runs] == [(0, 1, WORD), (1, 5, PATCH), (5, 13, WORD)]
    assert trace.runs[0].text == "<picture>" and trace.runs[2].text == "</picture>\nWhat?\n"
    assert trace.answer
    for word in trace.answer:
        assert sum(word.shares.values()) == pytest.approx(1, abs=1e-4) and word.candidates[0][1] >= word.candidates[1][1]
    lines = list(stream_lines(trace))
    assert (
        lines[0] == "one stream of 13 tokens:"
        and "4 patches, which see each other" in lines[2]
        and "rows 1–2, columns 1–2" in lines[2]
    )
    likely = [p for _, p in trace.answer[0].candidates]
    assert sum(likely) <= 1 + 1e-6 and likely == sorted(likely, reverse=True)


def test_its_likelihoods_agree_with_its_answers(picture):
    """The first word of the greedy answer is the likeliest of all first words, and as likely as the answer's trace says."""
    native = tiny_native()
    parts = NativeAssistant(native).document((Message("user", (picture, "What?")),))
    trace = trace_stream(native, parts, 1)
    assert trace.answer
    reading = native.read(parts)
    first = int(native.model.lm.logits(reading.hidden)[0].argmax())
    text, (_, p) = trace.answer[0].text, trace.answer[0].candidates[0]
    assert native.words.tokenizer.decode([first]) == text and native.words.ids(text) == [first]
    native.step(reading, first)
    ends = native.model.lm.logits(reading.hidden)[0].log_softmax(dim=-1)[native.words.end]
    assert native.log_likelihood(parts, [text])[0] == pytest.approx(np.log(p) + float(ends), abs=1e-4)
