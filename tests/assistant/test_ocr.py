"""What is written in a picture stands beside it in the conversation."""

import io

import pytest
from PIL import Image, ImageDraw, ImageFont

from samespace.assistant.ocr_augmenter import CACHED_IMAGES, MAX_CHARACTERS, OcrAugmenter
from samespace.assistant.request import Message, Picture, question
from samespace.media import ocr


def written(text: str, **settings) -> Picture:
    image, out = Image.new("RGB", (400, 120), "white"), io.BytesIO()
    ImageDraw.Draw(image).text((20, 30), text, font=ImageFont.load_default(48), fill="black")
    image.save(out, "PNG")
    return Picture(out.getvalue(), **settings)


@pytest.fixture
def read(monkeypatch):
    """Sizes of the pictures that were read."""
    sizes = []
    monkeypatch.setattr(ocr, "words", lambda picture: sizes.append(picture.size) or f"number {len(sizes)}")
    return sizes


def test_words_follow_their_picture_and_each_is_read_once(read):
    reading, one, two = OcrAugmenter(), written("one"), written("two")
    messages = (Message("user", (one, two, "What?")), Message("assistant", ("A word.",)), Message("user", (one, "And this?")))
    first, answer, again = reading.augment(messages, {})
    assert first.parts == (one, 'The picture says "number 1".', two, 'The picture says "number 2".', "What?")
    assert answer.parts == ("A word.",) and again.parts == (one, 'The picture says "number 1".', "And this?")
    assert len(read) == 2


def test_what_stands_beside_a_picture_already_is_not_read(read):
    page = written("one", has_text_beside=True)
    assert OcrAugmenter().augment((Message("user", (page, "What?")),), {})[0].parts == (page, "What?") and not read


def test_nothing_is_told_of_a_picture_without_words_and_not_all_of_a_long_one(monkeypatch):
    picture = written("one")
    for words, told in (("", 0), ("long " * MAX_CHARACTERS, MAX_CHARACTERS)):
        monkeypatch.setattr(ocr, "words", lambda _, words=words: words)
        parts = OcrAugmenter().augment((Message("user", (picture, "What?")),), {})[0].parts
        assert sum(len(part) - len('The picture says "".') for part in parts[1:-1]) == told


def test_only_so_many_are_remembered(read):
    reading = OcrAugmenter()
    for i in range(CACHED_IMAGES + 3):
        reading.text_in(Picture(written("one").data + bytes([i])))
    assert len(reading.cache) == CACHED_IMAGES


def test_an_answer_depends_on_what_is_written(tiny, monkeypatch):
    picture, prompts = written("one"), []
    for words in ("", "one", "two"):
        monkeypatch.setattr(ocr, "words", lambda _, words=words: words)
        tiny.augmenters = [OcrAugmenter()]
        prompts.append(tiny.prompt(question("What?", [picture]).messages)[0].ids)
    assert len(prompts[0]) < len(prompts[1]) == len(prompts[2]) and prompts[1] != prompts[2]
    tiny.augmenters = []
    assert tiny.prompt(question("What?", [picture]).messages)[0].ids == prompts[0]  # as it was trained


def test_a_drawn_word_is_read():
    pytest.importorskip("rapidocr")
    assert ocr.words(written("LIGHTHOUSE").decoded(400)) == "LIGHTHOUSE"
    assert ocr.words(written("O").decoded(400)) == ""


def test_without_a_reader_nothing_is_read(monkeypatch):
    monkeypatch.setattr(ocr, "reader", lambda: None)
    assert ocr.words(Image.new("RGB", (8, 8))) == ""
