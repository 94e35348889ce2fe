"""One stream of words, pictures and sounds: what is cut comes together again, and what is read in parts is read as a whole."""

import numpy as np
import pytest
import torch
from media_files import tone, write_audio
from tiny_native import native_tokenizer, tiny_config, tiny_native

from samespace.core.errors import RequestError, UnknownGenerator, UnreadableMedia
from samespace.core.native_config import CHUNK, PATCH, PICTURE, SOUND, WORD
from samespace.generate.native import NATIVES, Settings, export, load_native, read_sound
from samespace.models.generate.native import Stream
from samespace.preprocess import vocoder
from samespace.preprocess.mel import log_mel
from samespace.preprocess.stream import PictureValues, SoundValues, StreamWords, decibels_of, sound_values

RNG = np.random.default_rng(0)


@pytest.fixture
def picture() -> PictureValues:
    return PictureValues(RNG.uniform(-1, 1, (4, 16, 16)).astype(np.float32))


@pytest.fixture
def sound() -> SoundValues:
    return SoundValues(RNG.uniform(-1, 1, (16, 8)).astype(np.float32))


def test_what_is_cut_comes_together_again(picture, sound):
    words = tiny_native().words
    assert words.cut(picture).shape == (4, 256) and words.cut(sound).shape == (2, 64)
    assert np.array_equal(words.joined(PICTURE, words.cut(picture)).values, picture.values)
    assert np.array_equal(words.joined(SOUND, words.cut(sound)).values, sound.values)
    assert np.array_equal(words.cut(picture)[1].reshape(4, 8, 8), picture.values[:, :8, 8:])  # row by row
    assert np.array_equal(words.cut(sound)[1].reshape(4, 16), sound.values[:, 4:].T)  # frame by frame


def test_a_document_is_one_stream(picture, sound):
    words = tiny_native().words
    tokens = words.tokens(["ab", picture, "c", sound])
    kinds = [WORD] * 3 + [PATCH] * 4 + [WORD] * 3 + [CHUNK] * 2 + [WORD]
    assert tokens.kinds.tolist() == kinds
    assert [int(i) for i in tokens.ids[[2, 7, 9, 12]]] == [words.picture, words.picture_end, words.sound, words.sound_end]
    assert tokens.blocks.tolist() == [0] * 3 + [1] * 4 + [0] * 3 + [2] * 2 + [0]
    time, row, column = tokens.positions.tolist()
    assert time == [0, 1, 2, 3, 3, 3, 3, 5, 6, 7, 8, 9, 10]
    assert row[3:7] == [3, 3, 4, 4] and column[3:7] == [3, 4, 3, 4] and row[7:] == column[7:] == time[7:]


def test_a_mark_in_a_text_is_words_and_an_empty_document_is_refused():
    words = tiny_native().words
    ids = words.ids("a</picture><end>")
    assert max(ids) < 256 and words.tokenizer.decode(ids) == "a</picture><end>"
    assert words.tokenizer.decode(words.ids("half \ud83d")) == "half ?"
    with pytest.raises(RequestError, match="the document is empty"):
        words.tokens(["", ""])
    with pytest.raises(RequestError, match="silent"):
        sound_values(np.zeros(8000, np.float32), tiny_config())


def whole(native, parts, values=None):
    """Run a document at once and return its stream and its hidden states."""
    tokens = native.words.tokens(parts)
    arrays = (tokens.ids, tokens.kinds, tokens.values, tokens.blocks, np.ones_like(tokens.ids))
    stream = Stream(*(torch.from_numpy(x)[None] for x in arrays), torch.from_numpy(tokens.positions)[:, None])
    with torch.inference_mode():
        return stream, native.model(stream, stream.values, torch.ones(stream.ids.shape))


@pytest.mark.parametrize("encoder", [0, 2], ids=["early", "late"])
def test_patches_see_each_other_and_words_only_what_is_before(picture, encoder):
    native = tiny_native(encoder)
    _, hidden = whole(native, ["ab", picture, "cd"])
    changed = PictureValues(picture.values.copy())
    changed.values[:, 8:, 8:] *= -1  # the last patch
    _, other = whole(native, ["ab", changed, "cd"])
    same = (hidden - other).abs().amax(dim=(0, 2)) < 1e-6
    assert same.tolist() == [True] * 3 + [False] * 7
    _, longer = whole(native, ["ab", picture, "xy"])
    assert torch.allclose(hidden[:, :8], longer[:, :8], atol=1e-6) and not torch.allclose(hidden[:, 8], longer[:, 8])


@pytest.mark.parametrize("encoder", [0, 2], ids=["early", "late"])
def test_documents_of_a_row_do_not_see_each_other(picture, encoder):
    native = tiny_native(encoder)
    stream, hidden = whole(native, ["ab", picture])
    twice = Stream(
        *(torch.cat([x, x], dim=1) for x in (stream.ids, stream.kinds, stream.values, stream.blocks)),
        torch.cat([stream.documents, stream.documents + 1], dim=1), torch.cat([stream.positions] * 2, dim=2),
    )  # fmt: skip
    with torch.inference_mode():
        both = native.model(twice, twice.values, torch.ones(twice.ids.shape))
    assert torch.allclose(both[:, : hidden.shape[1]], hidden, atol=1e-5) and torch.allclose(
        both[:, hidden.shape[1] :], hidden, atol=1e-5
    )


@pytest.mark.parametrize("encoder", [0, 2], ids=["early", "late"])
def test_what_is_read_step_by_step_equals_the_whole(picture, sound, encoder):
    native = tiny_native(encoder)
    parts = ["ab", picture, "c", sound]
    _, hidden = whole(native, parts)
    reading = native.read(parts)
    assert torch.allclose(reading.hidden, hidden[:, -1], atol=1e-5) and reading.position == 11
    reading = native.read(["ab"])
    for word in native.words.ids("cd"):
        native.step(reading, word)
    assert torch.allclose(reading.hidden, whole(native, ["abcd"])[1][:, -1], atol=1e-5)


def test_a_drawn_picture_is_read_where_it_stands():
    native = tiny_native()
    reading = native.read(["ab"])
    native.step(reading, native.words.picture)
    (drawn,) = native.draw_block(reading, PICTURE, Settings(steps=3), np.random.default_rng(0))
    native.step(reading, native.words.picture_end)
    assert np.abs(drawn.values).max() <= 1
    _, hidden = whole(native, ["ab", drawn])
    assert torch.allclose(reading.hidden, hidden[:, -1], atol=1e-4) and reading.cache.length == hidden.shape[1]


def test_drawings_depend_on_the_words_and_the_seed():
    native = tiny_native()
    first, again = (native.draw(["ab"], count=2, settings=Settings(steps=4)) for _ in range(2))
    assert all(np.array_equal(a.values, b.values) for a, b in zip(first, again))
    assert not np.array_equal(first[0].values, first[1].values)
    other = native.draw(["zz"], count=2, settings=Settings(steps=4))
    assert np.abs(other[0].values - first[0].values).max() > 1e-3
    (sound,) = native.draw(["ab"], SOUND, settings=Settings(steps=2))
    assert isinstance(sound, SoundValues) and sound.values.shape == (16, 8)


def test_the_likelihood_of_texts_is_that_of_their_words(picture):
    native = tiny_native()
    scores = native.log_likelihood([picture], ["a", "bcd", ""])
    for text, score in zip(["a", "bcd", ""], scores):
        ids = [*native.words.ids(text), native.words.end]
        _, hidden = whole(native, [picture, text] if text else [picture])
        logp = torch.log_softmax(native.model.lm.logits(hidden[0]), dim=-1)
        expected = sum(float(logp[5 + i, word]) for i, word in enumerate(ids))
        assert score == pytest.approx(expected, abs=1e-3)


def test_texts_that_do_not_fit_are_refused(picture):
    native = tiny_native()
    room = native.config.lm.context - native.read([picture]).cache.length
    assert len(native.log_likelihood([picture], ["a" * (room - 1)])) == 1
    with pytest.raises(RequestError, match="shorten them"):
        native.log_likelihood([picture], ["b", "a" * room])


def test_of_a_long_recording_the_beginning_is_read(tmp_path):
    c = tiny_config()
    word = np.sin(np.arange(c.audio.rate) / 5).astype(np.float32) * 0.5
    quiet = np.zeros(5 * c.audio.rate, np.float32)
    write_audio(tmp_path / "short.wav", np.concatenate([quiet, word]), rate=c.audio.rate)
    write_audio(tmp_path / "long.wav", np.concatenate([quiet, word, *[quiet] * 8, word]), rate=c.audio.rate)
    short, long = (read_sound(tmp_path / f"{name}.wav", c).values for name in ("short", "long"))
    assert np.allclose(short[:, :80], long[:, :80], atol=0.02)
    write_audio(tmp_path / "empty.wav", np.empty(0, np.float32), rate=c.audio.rate)
    with pytest.raises((RequestError, UnreadableMedia)):
        read_sound(tmp_path / "empty.wav", c)


def test_a_document_goes_on_until_there_is_no_room(picture):
    native = tiny_native()
    pieces = [
        piece for piece in native.go_on(["ab", picture], Settings(temperature=1.0, longest=40, steps=1)) if piece is not None
    ]
    assert pieces and native.read(["ab", picture]).cache.length < native.config.lm.context
    with pytest.raises(RequestError, match="the model reads 96; shorten it"):
        native.read(["a" * 96])


def test_no_picture_is_drawn_beyond_what_the_model_reads():
    native = tiny_native()
    room = native.config.lm.context - native.config.lengths["picture"] - 2
    words = "a" * (room - len(native.words.tokens(["a"])) + 1)
    assert len(native.draw([words], settings=Settings(steps=1))) == 1
    with pytest.raises(RequestError, match="shorten it"):
        native.draw([words + "a"], settings=Settings(steps=1))


def test_a_folder_is_what_was_written(tmp_path, picture):
    native = tiny_native()
    config = export(native.model, native.words.tokenizer, native.config, tmp_path / "native")
    again = load_native(tmp_path / "native")
    assert again.config == config and set(config.files) == {"model.safetensors", "tokenizer.json"}
    a, b = (model.log_likelihood([picture], ["a", "b"]) for model in (native, again))
    assert np.allclose(a, b, atol=0.1)  # int8
    (tmp_path / "native" / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(UnknownGenerator, match="cannot be opened"):
        load_native(tmp_path / "native")
    with pytest.raises(UnknownGenerator, match="there is no native model 'none'; installed:"):
        load_native("none")
    assert NATIVES.file == "native.json"


def test_a_tokenizer_without_marks_is_refused():
    from tokenizers import Tokenizer, models

    with pytest.raises(ValueError, match="lacks one of the words <picture>"):
        StreamWords(Tokenizer(models.BPE({"a": 0}, [])), tiny_config())
    assert StreamWords(native_tokenizer(), tiny_config()).end == 260


def test_a_sound_is_heard_again_from_its_spectrogram():
    """Griffin-Lim: the spectrogram of the samples is near the one that they were made from, and so is their pitch."""
    c = tiny_config().audio.__class__(frames=50)
    decibels = log_mel(tone(0.49, 600.0), c)
    samples = vocoder.griffin_lim(decibels, c)
    again = log_mel(samples, c)[:, :50]
    loud = decibels[:, 2:48] > decibels.max() - 20
    assert np.abs(again[:, 2:48] - decibels[:, 2:48])[loud].mean() < 3.0
    spectrum = np.abs(np.fft.rfft(samples))
    assert abs(np.fft.rfftfreq(len(samples), 1 / c.rate)[spectrum.argmax()] - 600) < 30


def test_decibels_come_back():
    c = tiny_config()
    sound = sound_values(tone(0.4, 900.0), c)
    assert sound.values.shape == (16, 8) and np.abs(sound.values).max() <= 1
    assert np.abs(decibels_of(sound) - log_mel(tone(0.4, 900.0) / 0.3, c.audio)[:, :8])[sound.values > -1].max() < 1.0
