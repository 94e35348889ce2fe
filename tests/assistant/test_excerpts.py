"""What an assistant is shown of a sound."""

import numpy as np
import pytest
from media_files import film, recording, scene, tone

import samespace
from samespace.assistant.audio_labels import LIKE, NAMES, named, sounds_like
from samespace.assistant.excerpts import WORDS, shown, written
from samespace.core.errors import UnreadableMedia
from samespace.library.indexing.segments import Segment


def test_a_sound_is_told_by_what_it_is_like(tmp_path):
    excerpt = shown(recording(tmp_path / "note.wav", tone(2.0)), "What is it?", samespace.load("starter"))
    (told,) = excerpt.parts
    where, _, names = told.partition(": a sound like ")
    assert where == excerpt.places[0] and len(names.split(", ")) == LIKE
    assert set(names.split(", ")) <= set(NAMES.read_text("utf-8").splitlines())


def test_a_name_sounds_like_itself():
    space = samespace.load("starter")
    names, z = named(space)
    for i in (0, len(names) // 2):
        assert sounds_like(space, z[[i, i]])[0] == names[i]
    assert np.allclose(np.linalg.norm(z, axis=1), 1, atol=1e-3)


def test_a_space_without_ears_says_so(tmp_path, tiny_space_folder):
    with pytest.raises(UnreadableMedia, match="no audio tower"):
        shown(recording(tmp_path / "note.wav", tone(2.0)), "What is it?", samespace.load(str(tiny_space_folder)))


def test_every_place_of_a_film_is_shown(tmp_path):
    """Windows of sound that begin within a shot have no picture, and are told in words."""
    file = film(tmp_path / "a.mp4", [(scene((200, 0, 0)), 11.0)], sound=tone(11.0))
    excerpt = shown(file, "What is heard - and seen?", samespace.load("starter"), most=9)
    told = [part for part in excerpt.parts if isinstance(part, str)]
    assert len(excerpt.places) == excerpt.of == len(told) > 1
    assert all(part.startswith(where) for part, where in zip(told, excerpt.places))
    assert sum("a sound like" in part for part in told) == excerpt.of - 1


def test_the_passage_that_answers_is_read_wherever_it_stands():
    space = samespace.load("starter")
    texts = [f"Chapter {i} tells of the weather, the fields and the long road. " * 9 for i in range(4)]
    texts[3] = "The plumber came for the new boiler, and stayed the day. " * 9 + "For that he was paid 450 euros."
    segments = [
        Segment(None, z, page=1, part=f"text {i}", text=text) for i, (z, text) in enumerate(zip(space.text(texts), texts))
    ]
    words = written(segments, space.text(["How much was the plumber paid?"])[0])
    assert len(words) <= WORDS and "450 euros" in words
