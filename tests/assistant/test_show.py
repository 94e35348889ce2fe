"""What an assistant is shown of a sound."""

import numpy as np
import pytest
from media_files import recording, tone

import samespace
from samespace.assistant.hear import LIKE, NAMES, named, sounds_like
from samespace.assistant.show import shown
from samespace.errors import UnreadableMedia


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
