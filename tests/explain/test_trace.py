"""The six steps hold what the assistant computes, and their page needs no other file."""

import re

import numpy as np
import pytest
import torch
from tiny_assistant import pixels_of

from samespace.assistant.request import Outcome, Picture, question
from samespace.explain.report import attention_overlay, write_report
from samespace.explain.trace import lines, nearest_words, trace
from samespace.models.llava import IMAGE_TOKEN


@pytest.fixture
def cat(photographs):
    return Picture.read(photographs / "chelsea.png")


def test_the_steps_are_those_of_the_answer(tiny, cat):
    steps = trace(tiny, cat, "What is it?", max_tokens=6)
    request = question("What is it?", [cat], max_tokens=6)
    prompt, image_tokens = tiny.prompt(request.messages)
    ids = [i for i in tiny.generate(prompt, image_tokens, request, 6, Outcome()) if i is not None]
    assert [token.text for token in steps.answer] == [tiny.chat.tokenizer.decode([i]) for i in ids]
    assert steps.text == tiny.answer(request).text
    assert steps.pixels.shape == (tiny.model.c.prep.size, tiny.model.c.prep.size, 3)
    assert steps.features.shape == (steps.grid**2, tiny.model.image.feature_width)
    with torch.inference_mode():
        tokens = tiny.model.encode_image(torch.from_numpy(pixels_of(tiny, cat)[:1])).tokens[0]
    np.testing.assert_allclose(steps.projected, tokens, atol=1e-5)
    ids = tiny.prompt(question("What is it?", [cat]).messages)[0].ids
    assert (
        [token.cell >= 0 for token in steps.sequence] == [i == IMAGE_TOKEN for i in ids] == [t.is_image for t in steps.sequence]
    )
    assert "What is it?" in "".join(token.text for token in steps.sequence)


def test_labels_come_before_the_patches(tiny_with_labels, cat):
    steps = trace(tiny_with_labels, cat, "What is it?", max_tokens=2)
    image_tokens = [token for token in steps.sequence if token.is_image]
    assert [token.text for token in image_tokens[:8]] == ["label"] * 4 + ["crop"] * 4
    assert [token.cell for token in image_tokens[8:]] == list(range(steps.grid**2))
    assert len(steps.labels) == 1 + 4 and all(set(labels) == {"cat", "dog", "cow"} for labels in steps.labels)
    assert steps.answer[0].attention.shape == (steps.grid, steps.grid)
    assert any(f"nearest labels: of the whole '{steps.labels[0][0]}', of its crops" in line for line in lines(steps))


def test_a_token_is_the_likeliest_candidate_and_has_attention(tiny, cat):
    for token in trace(tiny, cat, "What is it?", max_tokens=6).answer:
        assert (
            token.candidates[0][0].strip("\ufffd") == token.text.strip("\ufffd")
            or token.candidates[0][1] == token.candidates[1][1]
        )
        assert token.attention.shape == (4, 4) and (token.attention >= 0).all() and token.attention.max() > 0


def test_nearest_words_of_a_word_are_the_word(tiny):
    tokenizer = tiny.chat.tokenizer
    with torch.inference_mode():
        table = tiny.model.lm.embed(torch.arange(tiny.model.c.lm.vocab))
    for i in (ord("a"), ord("Z")):
        assert nearest_words(tiny, table[[i]])[0][0] == tokenizer.decode([i])


def test_an_overlay_is_clear_where_attention_is_average():
    assert attention_overlay(np.ones((2, 2), np.float32))[..., 3].max() == 0
    assert attention_overlay(np.array([[0.5, 3.0], [1.0, 2.0]], np.float32))[..., 3].tolist() == [[0, 200], [0, 100]]


def test_the_page_needs_no_other_file(tiny, cat, tmp_path):
    steps = trace(tiny, cat, "What is <b>it</b>?", max_tokens=3)
    write_report(tmp_path / "steps.html", steps, "What is <b>it</b>?", "tiny")
    page = (tmp_path / "steps.html").read_text("utf-8")
    assert "&lt;b&gt;it" in page and "<b>it</b>" not in page
    assert not re.search(r"(src|href)=.(?!data:)", page)
    assert page.count("<li>") == len(steps.answer)
    assert any("4 × 4 = 16" in line for line in lines(steps))
    assert any("What is <b>it</b>?" in line for line in lines(steps))  # as the language model reads it
