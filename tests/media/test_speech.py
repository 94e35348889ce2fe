"""Transcripts, through a model that stands for faster-whisper's."""

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import av
import numpy as np
import pytest
from media_files import film, recording, scene, tone, write_samples

import samespace
from samespace.core.errors import UnreadableMedia
from samespace.library.indexing import segments as moments
from samespace.library.library import Library
from samespace.media import speech


class Model:
    def transcribe(self, samples: np.ndarray, vad_filter: bool):
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
    def fail(samples: np.ndarray, vad_filter: bool):
        raise RuntimeError("bad packet")

    monkeypatch.setattr(speech, "whisper", lambda: SimpleNamespace(transcribe=fail))
    with pytest.raises(UnreadableMedia, match="bad packet"):
        list(speech.transcript(recording(tmp_path / "any.wav", tone(1.0))))


def test_a_model_hears_sound_where_a_player_has_it(tmp_path, monkeypatch):
    """faster-whisper's own decoder begins with the first sound, however late it is played."""
    heard = []
    model = SimpleNamespace(transcribe=lambda samples, vad_filter: (heard.append(samples) or [], None))
    monkeypatch.setattr(speech, "whisper", lambda: model)
    file = tmp_path / "late.mkv"
    with av.open(str(file), "w") as out:
        pictures, stream = out.add_stream("libx264", rate=10), out.add_stream("aac", rate=16_000, layout="mono")
        pictures.width, pictures.height, pictures.pix_fmt = 320, 180, "yuv420p"
        for _ in range(50):
            out.mux(pictures.encode(av.VideoFrame.from_image(scene((200, 0, 0)))))
        out.mux(pictures.encode(None))
        write_samples(out, stream, tone(2.0), begin=3 * 16_000)
    assert list(speech.transcript(file)) == []
    assert np.flatnonzero(np.abs(heard[0]) > 0.1)[0] / 16_000 == pytest.approx(3.0, abs=0.1)


def test_threads_share_one_model(monkeypatch):
    made = []
    monkeypatch.setitem(
        sys.modules, "faster_whisper", SimpleNamespace(WhisperModel=lambda *_, **__: time.sleep(0.05) or made.append(1) or made)
    )
    speech.opened.cache_clear()
    with ThreadPoolExecutor(8) as pool:
        assert all(model is made for model in pool.map(lambda _: speech.whisper(), range(8)))
    speech.opened.cache_clear()
    assert made == [1]


def test_a_model_that_fails_takes_no_shot_or_sound_with_it(tmp_path, monkeypatch):
    def fail(samples: np.ndarray, vad_filter: bool):
        raise RuntimeError("bad packet")

    monkeypatch.setattr(speech, "whisper", lambda: SimpleNamespace(transcribe=fail))
    space = samespace.load("starter")
    mute = film(tmp_path / "mute.mp4", [(scene((200, 0, 0)), 1.0)])
    assert [s.part for s in moments.film(mute, space)] == [None]
    assert {s.part for s in moments.sound(recording(tmp_path / "talk.wav", tone(6.0)), space)} == {"sound"}
    with pytest.raises(UnreadableMedia, match="bad packet"):
        list(moments.sound(recording(tmp_path / "silence.wav", 0 * tone(6.0)), space))
