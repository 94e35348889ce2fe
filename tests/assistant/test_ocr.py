"""OCR: the text in an image is added after it in the conversation."""

import io
from dataclasses import replace

import pytest
from PIL import Image, ImageDraw, ImageFont

from samespace.assistant.engine import Assistant
from samespace.assistant.ocr_augmenter import CACHED_IMAGES, MAX_CHARACTERS, OcrAugmenter
from samespace.assistant.request import Message, Picture, question
from samespace.media import ocr


def image_of(text: str, **settings) -> Picture:
    """Return a PNG of a text."""
    image, out = Image.new("RGB", (400, 120), "white"), io.BytesIO()
    ImageDraw.Draw(image).text((20, 30), text, font=ImageFont.load_default(48), fill="black")
    image.save(out, "PNG")
    return Picture(out.getvalue(), **settings)


@pytest.fixture
def read(monkeypatch):
    """Sizes of the images that were read, each found to contain `number N`."""
    sizes = []
    monkeypatch.setattr(ocr, "words", lambda picture: sizes.append(picture.size) or f"number {len(sizes)}")
    return sizes


def test_text_follows_its_image_and_each_is_read_once(read):
    augmenter, one, two = OcrAugmenter(), image_of("one"), image_of("two")
    messages = (Message("user", (one, two, "What?")), Message("assistant", ("A word.",)), Message("user", (one, "And this?")))
    first, answer, again = augmenter.augment(messages, {})
    assert first.parts == (one, 'The picture says "number 1".', two, 'The picture says "number 2".', "What?")
    assert answer.parts == ("A word.",) and again.parts == (one, 'The picture says "number 1".', "And this?")
    assert len(read) == 2


def test_an_image_whose_text_is_included_is_not_read(read):
    page = image_of("one", text_included=True)
    assert OcrAugmenter().augment((Message("user", (page, "What?")),), {})[0].parts == (page, "What?") and not read


def test_nothing_is_added_for_an_image_without_text_and_not_all_of_a_long_text(monkeypatch):
    picture = image_of("one")
    for text, added in (("", 0), ("long " * MAX_CHARACTERS, MAX_CHARACTERS)):
        monkeypatch.setattr(ocr, "words", lambda _, text=text: text)
        parts = OcrAugmenter().augment((Message("user", (picture, "What?")),), {})[0].parts
        assert sum(len(part) - len('The picture says "".') for part in parts[1:-1]) == added


def test_the_cache_is_bounded(read):
    augmenter = OcrAugmenter()
    for i in range(CACHED_IMAGES + 3):
        augmenter.text_in(Picture(image_of("one").data + bytes([i])))
    assert len(augmenter.cache) == CACHED_IMAGES


def test_a_prompt_depends_on_the_text_in_its_image(tiny, monkeypatch):
    asked, prompts = question("What?", [image_of("one")]), []
    tiny.model.c = replace(tiny.model.c, ocr=True)
    for text in ("", "one", "two"):
        monkeypatch.setattr(ocr, "words", lambda _, text=text: text)
        prompts.append(Assistant(tiny.model, tiny.chat).prompt(asked.messages)[0].ids)
    assert len(prompts[0]) < len(prompts[1]) == len(prompts[2]) and prompts[1] != prompts[2]
    tiny.model.c = replace(tiny.model.c, ocr=False)
    assert Assistant(tiny.model, tiny.chat).prompt(asked.messages)[0].ids == prompts[0]  # as it was trained


def test_a_word_is_read():
    pytest.importorskip("rapidocr")
    assert ocr.words(image_of("LIGHTHOUSE").decode(400)) == "LIGHTHOUSE"
    assert ocr.words(image_of("O").decode(400)) == ""


def test_without_a_reader_nothing_is_read(monkeypatch):
    monkeypatch.setattr(ocr, "reader", lambda: None)
    assert ocr.words(Image.new("RGB", (8, 8))) == ""
