"""Excerpts: what an assistant is shown of an audio, video or document file."""

import numpy as np
import pytest
from media_files import tone, write_audio

import samespace
from samespace.assistant.audio_labels import LABELS, NEAREST, nearest_labels
from samespace.assistant.excerpts import MAX_CHARACTERS, excerpt, text_of
from samespace.core.errors import UnreadableMedia
from samespace.library.indexing.segments import EncodedSegment
from samespace.library.store.records import TEXT


class Unasked:
    """An assistant that must not be asked anything: what is shown of these files does not depend on it."""

    takes_sound = False


def test_a_sound_is_described_by_its_nearest_labels(tmp_path):
    shown = excerpt(write_audio(tmp_path / "note.wav", tone(2.0)), "What is it?", samespace.load("starter"), Unasked())
    (text,) = shown.parts
    locator, _, labels = text.partition(": a sound like ")
    assert locator == shown.locators[0] and len(labels.split(", ")) == NEAREST
    assert set(labels.split(", ")) <= set(LABELS.read_text("utf-8").splitlines())


def test_a_label_is_nearest_to_itself():
    space, labels = samespace.load("starter"), LABELS.read_text("utf-8").splitlines()
    z = space.text(labels)
    for i in (0, len(labels) // 2):
        assert nearest_labels(space, z[[i, i]])[0] == labels[i]
    assert np.allclose(np.linalg.norm(z, axis=1), 1, atol=1e-3)


def test_a_space_without_an_audio_tower_says_so(tmp_path, tiny_space_folder):
    with pytest.raises(UnreadableMedia, match="no audio tower"):
        excerpt(write_audio(tmp_path / "note.wav", tone(2.0)), "What is it?", samespace.load(str(tiny_space_folder)), Unasked())


def test_the_passage_that_answers_is_shown_wherever_it_is():
    space = samespace.load("starter")
    texts = [f"Chapter {i} tells of the weather, the fields and the long road. " * 9 for i in range(4)]
    texts[3] = "The plumber came for the new boiler, and stayed the day. " * 9 + "For that he was paid 450 euros."
    place = [EncodedSegment(z, TEXT, page=1, ordinal=i, text=text) for i, (z, text) in enumerate(zip(space.text(texts), texts))]
    shown = text_of(place, space.text(["How much was the plumber paid?"])[0])
    assert len(shown) <= MAX_CHARACTERS and "450 euros" in shown
