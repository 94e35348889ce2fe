"""A library's audio vectors follow the audio tower of its space."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from samespace.library.indexing.indexer import AudioRefresh
from samespace.library.indexing.report import Report
from samespace.library.indexing.scan import Changes
from samespace.library.store.lance import Store
from samespace.library.store.metadata import SpaceRecord
from samespace.library.store.records import AUDIO, TEXT, File, Segment, SegmentWrite

FP, DIM = "abc123", 4
Z = np.ones(DIM, np.float32) / 2


def file(path: str, kind: str) -> File:
    return File(path, "/p", kind, 1, 1)


IMAGE_FILE, VIDEO, RECORDING = file("/p/a.jpg", "image"), file("/p/b.mp4", "video"), file("/p/c.wav", "audio")
SHOT, WINDOW = Segment(VIDEO.path, "video", 0.0, 4.0), Segment(VIDEO.path, "video", 2.0, 6.0, modality=AUDIO)
WAV = Segment(RECORDING.path, "audio", 0.0, 4.0, modality=AUDIO)


def space(audio: str) -> SimpleNamespace:
    """What AudioRefresh needs of a space: its names, and the hash of its audio tower."""
    return SimpleNamespace(fingerprint=FP, handle=f"tiny with {audio}", config=SimpleNamespace(audio_weights=audio))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A library that was embedded with the tower `old`."""
    made = Store(tmp_path / "library")
    with made.writing():
        made.add_space(FP, SpaceRecord("tiny", DIM, audio="old"))
        made.upsert(SegmentWrite(segment, {FP: Z}) for segment in (Segment(IMAGE_FILE.path, "image"), SHOT, WINDOW, WAV))
        made.finish(FP)
    return made


def has_vector(store: Store) -> list[bool]:
    return [store.segment(segment.id, FP) is not None for segment in (SHOT, WINDOW, WAV)]


def test_the_same_tower_changes_nothing(store):
    audio = AudioRefresh(store, space("old"))
    indexed = store.indexed(FP, stale_audio=audio.changed)
    assert not audio.changed and all(old.has_vector for old in indexed.values())
    changes = Changes([VIDEO], 0, [])
    audio.begin(changes)
    audio.finish(changes, indexed, Report(skipped=[(VIDEO.path, "it is broken")]))
    assert has_vector(store) == [True, True, True] and store.metadata.spaces[FP].name == "tiny"


def test_another_tower_removes_the_audio_vectors_of_files_that_are_embedded_again(store):
    audio = AudioRefresh(store, space("new"))
    indexed = store.indexed(FP, stale_audio=audio.changed)
    assert audio.changed and {path for path, old in indexed.items() if not old.has_vector} == {VIDEO.path, RECORDING.path}
    audio.begin(Changes([VIDEO, IMAGE_FILE], 0, []))
    assert has_vector(store) == [True, False, True]


def test_what_another_speech_model_wrote_down_is_removed_with_it(store):
    said = Segment(RECORDING.path, "audio", 0.0, 2.0, modality=TEXT, text="wrong")
    store.upsert([SegmentWrite(said, {FP: Z})])
    AudioRefresh(store, space("new")).begin(Changes([RECORDING], 0, []))
    assert store.segment(said.id, FP)  # the same model would write the same
    store.metadata.record_space(FP, SpaceRecord("tiny", DIM, audio="old+tiny.en"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("samespace.media.speech.model_name", lambda: "base.en")
        AudioRefresh(store, space("old")).begin(Changes([RECORDING], 0, []))
    assert store.segment(said.id, FP) is None


def test_the_tower_is_recorded_once_no_audio_is_stale(store):
    audio = AudioRefresh(store, space("new"))
    indexed = store.indexed(FP, stale_audio=audio.changed)
    audio.finish(Changes([VIDEO], 1, []), indexed, Report())
    assert store.metadata.spaces[FP] == SpaceRecord("tiny", DIM, True, "old")  # the recording is stale
    audio.finish(Changes([VIDEO], 1, [RECORDING.path]), indexed, Report())
    assert store.metadata.spaces[FP] == SpaceRecord("tiny with new", DIM, True, "new")


def test_a_file_that_could_not_be_read_is_forgotten(store):
    """It has lost its audio, and is to be new when it can be read."""
    audio = AudioRefresh(store, space("new"))
    indexed = store.indexed(FP, stale_audio=audio.changed)
    changes = Changes([VIDEO, RECORDING], 1, [])
    audio.begin(changes)
    audio.finish(changes, indexed, Report(skipped=[(VIDEO.path, "it cannot be read")]))
    assert store.files_below("/p") == {IMAGE_FILE.path, RECORDING.path}
