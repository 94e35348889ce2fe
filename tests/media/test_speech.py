"""Transcripts, by a fake of faster-whisper's model."""

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import av
import numpy as np
import pytest
from media_files import scene, tone, write_audio, write_samples, write_video

import samespace
from samespace.core.errors import UnreadableMedia
from samespace.library.indexing import segments
from samespace.library.library import Library
from samespace.media import speech


class Model:
    """A model that returns two utterances, and an empty one."""

    def transcribe(self, samples: np.ndarray, vad_filter: bool):
        spoken = [(0.0, 2.0, " The lighthouse keeper drinks tea."), (2.0, 3.0, "  "), (3.5, 5.0, "Then it rains.")]
        return (SimpleNamespace(start=a, end=b, text=t) for a, b, t in spoken), None


def test_without_a_model_there_is_no_transcript(tmp_path, monkeypatch):
    monkeypatch.setattr(speech, "whisper", lambda: None)
    assert list(speech.transcript(tmp_path / "any.wav")) == []


def test_speech_is_found_with_its_time(tmp_path, monkeypatch):
    monkeypatch.setattr(speech, "whisper", Model)
    library = Library(tmp_path / "library", samespace.load("starter"))
    library.add([write_audio(tmp_path / "talk.wav", tone(6.0))])
    best = library.search("lighthouse keeper", 1)[0]
    assert (best.start, best.end, best.modality, best.ordinal) == (0.0, 2.0, "text", 1) and best.relevance > 0.5
    assert library.search('"lighthouse keeper"', 1)[0].id == best.id


def test_a_model_that_fails_raises_unreadable_media(tmp_path, monkeypatch):
    def fail(samples: np.ndarray, vad_filter: bool):
        raise RuntimeError("bad packet")

    monkeypatch.setattr(speech, "whisper", lambda: SimpleNamespace(transcribe=fail))
    with pytest.raises(UnreadableMedia, match="bad packet"):
        list(speech.transcript(write_audio(tmp_path / "any.wav", tone(1.0))))


def test_a_model_gets_audio_at_the_times_of_a_player(tmp_path, monkeypatch):
    """faster-whisper's own decoder leaves out the time before the audio begins."""
    received = []
    model = SimpleNamespace(transcribe=lambda samples, vad_filter: (received.append(samples) or [], None))
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
    assert np.flatnonzero(np.abs(received[0]) > 0.1)[0] / 16_000 == pytest.approx(3.0, abs=0.1)


def test_threads_share_one_model(monkeypatch):
    made = []
    monkeypatch.setitem(
        sys.modules, "faster_whisper", SimpleNamespace(WhisperModel=lambda *_, **__: time.sleep(0.05) or made.append(1) or made)
    )
    speech._load_whisper.cache_clear()
    with ThreadPoolExecutor(8) as pool:
        assert all(model is made for model in pool.map(lambda _: speech.whisper(), range(8)))
    speech._load_whisper.cache_clear()
    assert made == [1]


def test_a_model_that_fails_leaves_shots_and_audio(tmp_path, monkeypatch):
    def fail(samples: np.ndarray, vad_filter: bool):
        raise RuntimeError("bad packet")

    monkeypatch.setattr(speech, "whisper", lambda: SimpleNamespace(transcribe=fail))
    space = samespace.load("starter")
    mute = write_video(tmp_path / "mute.mp4", [(scene((200, 0, 0)), 1.0)])
    assert [s.modality for s in segments.video_segments(mute, space)] == ["image"]
    talk = write_audio(tmp_path / "talk.wav", tone(6.0))
    assert {s.modality for s in segments.audio_file_segments(talk, space)} == {"audio"}
    with pytest.raises(UnreadableMedia, match="bad packet"):
        list(segments.audio_file_segments(write_audio(tmp_path / "silence.wav", 0 * tone(6.0)), space))


def test_long_recordings_are_heard_in_passages_that_are_cut_where_it_is_quiet(monkeypatch):
    monkeypatch.setattr(speech, "PASSAGE", 10)
    monkeypatch.setattr(speech, "CUT_WITHIN", 4)
    rate, sound = 100, np.random.default_rng(0).uniform(0.5, 1, 2500).astype(np.float32)
    sound[800:860] = 0
    found = list(speech.passages(np.split(sound, 25), rate))
    assert [begin for begin, _ in found] == pytest.approx([0, 8.25, 18], abs=1.6) and found[1][0] == 8.25
    assert np.array_equal(np.concatenate([samples for _, samples in found]), sound)
    assert list(speech.passages([], rate)) == []


def test_times_of_later_passages_are_those_of_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(speech, "PASSAGE", 2)
    monkeypatch.setattr(speech, "CUT_WITHIN", 1)
    segment = SimpleNamespace(start=0.25, end=0.5, text="word")
    monkeypatch.setattr(speech, "whisper", lambda: SimpleNamespace(transcribe=lambda samples, vad_filter: ([segment], None)))
    file = write_audio(tmp_path / "long.wav", np.zeros(5 * 16_000, np.float32))
    starts = [utterance.start for utterance in speech.transcript(file)]
    assert len(starts) >= 3 and starts[0] == 0.25 and starts == sorted(starts) and starts[-1] > 3
