"""Transcripts, through a model that stands for faster-whisper's."""

from types import SimpleNamespace

import pytest
from media_files import film, recording, scene, tone

import samespace
from samespace import moments
from samespace.errors import UnreadableMedia
from samespace.library import Library
from samespace.media import speech


class Model:
    def transcribe(self, path: str, vad_filter: bool):
        said = [(0.0, 2.0, " The lighthouse keeper drinks tea."), (2.0, 3.0, "  "), (3.5, 5.0, "Then it rains.")]
        return (SimpleNamespace(start=a, end=b, text=t) for a, b, t in said), None


def test_without_a_model_nothing_is_written_down(tmp_path, monkeypatch):
    monkeypatch.setattr(speech, "whisper", lambda: None)
    assert list(speech.transcript(tmp_path / "any.wav")) == []


def test_what_is_said_is_found_with_its_time(tmp_path, monkeypatch):
    monkeypatch.setattr(speech, "whisper", Model)
    library = Library(tmp_path / "library", samespace.load("starter"))
    library.add([recording(tmp_path / "talk.wav", tone(6.0))])
    best = library.search("lighthouse keeper", 1)[0]
    assert (best.start, best.end, best.part) == (0.0, 2.0, "text 1") and best.relevance > 0.5
    assert library.search('"lighthouse keeper"', 1)[0].part == "text 1"


def test_a_model_that_fails_names_the_file_as_unreadable(tmp_path, monkeypatch):
    def fail(path: str, vad_filter: bool):
        raise RuntimeError("bad packet")

    monkeypatch.setattr(speech, "whisper", lambda: SimpleNamespace(transcribe=fail))
    with pytest.raises(UnreadableMedia, match="bad packet"):
        list(speech.transcript(tmp_path / "any.wav"))


def test_a_model_that_fails_takes_no_shot_or_sound_with_it(tmp_path, monkeypatch):
    def fail(path: str, vad_filter: bool):
        raise RuntimeError("bad packet")

    monkeypatch.setattr(speech, "whisper", lambda: SimpleNamespace(transcribe=fail))
    space = samespace.load("starter")
    mute = film(tmp_path / "mute.mp4", [(scene((200, 0, 0)), 1.0)])
    assert [s.part for s in moments.film(mute, space)] == [None]
    assert {s.part for s in moments.sound(recording(tmp_path / "talk.wav", tone(6.0)), space)} == {"sound"}
    with pytest.raises(UnreadableMedia, match="bad packet"):
        list(moments.sound(recording(tmp_path / "silence.wav", 0 * tone(6.0)), space))
