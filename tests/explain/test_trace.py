"""The six steps: what they hold is what the assistant computes, and the page of them stands alone."""

import re

import numpy as np
import pytest
import torch

from samespace.assistant.request import Picture, question
from samespace.explain.report import warm, write_report
from samespace.explain.trace import lines, nearest, trace
from samespace.models.llava import IMAGE_TOKEN


@pytest.fixture
def cat(photographs):
    return Picture.read(photographs / "chelsea.png")


def test_the_steps_are_those_of_the_answer(tiny, cat):
    steps = trace(tiny, cat, "What is it?", max_tokens=6)
    assert steps.text == tiny.answer(question("What is it?", [cat], max_tokens=6)).text
    assert steps.pixels.shape == (tiny.model.c.prep.size, tiny.model.c.prep.size, 3)
    assert steps.features.shape == (steps.grid**2, tiny.model.image.feature_width)
    with torch.inference_mode():
        seen = tiny.model.encode_image(torch.from_numpy(tiny.pixels(cat)[:1])).tokens[0]
    np.testing.assert_allclose(steps.projected, seen, atol=1e-5)
    ids = tiny.prompt(question("What is it?", [cat]).messages)[0].ids
    assert [token.cell >= 0 for token in steps.sequence] == [i == IMAGE_TOKEN for i in ids] == [t.seen for t in steps.sequence]
    assert "What is it?" in "".join(token.text for token in steps.sequence)


def test_names_come_before_the_cells(tiny_with_names, cat):
    steps = trace(tiny_with_names, cat, "What is it?", max_tokens=2)
    seen = [token for token in steps.sequence if token.seen]
    assert [token.text for token in seen[:8]] == ["name"] * 4 + ["part"] * 4
    assert [token.cell for token in seen[8:]] == list(range(steps.grid**2))
    assert len(steps.called) == 1 + 4 and all(set(names) == {"cat", "dog", "cow"} for names in steps.called)
    assert steps.answer[0].cells.shape == (steps.grid, steps.grid)
    assert any(f"the whole is called '{steps.called[0][0]}'" in line for line in lines(steps))


def test_a_token_is_the_likeliest_and_looks_somewhere(tiny, cat):
    for said in trace(tiny, cat, "What is it?", max_tokens=6).answer:
        assert said.likely[0][0].strip("\ufffd") == said.text.strip("\ufffd") or said.likely[0][1] == said.likely[1][1]
        assert said.cells.shape == (4, 4) and (said.cells >= 0).all() and said.cells.max() > 0


def test_nearest_words_of_a_word_are_the_word(tiny):
    tokenizer = tiny.chat.tokenizer
    with torch.inference_mode():
        table = tiny.model.lm.embed(torch.arange(tiny.model.c.lm.vocab))
    for i in (ord("a"), ord("Z")):
        assert nearest(tiny, table[[i]])[0][0] == tokenizer.decode([i])


def test_a_map_is_clear_where_nothing_stands_out():
    assert warm(np.ones((2, 2), np.float32))[..., 3].max() == 0
    assert warm(np.array([[0.5, 3.0], [1.0, 2.0]], np.float32))[..., 3].tolist() == [[0, 200], [0, 100]]


def test_the_page_stands_alone(tiny, cat, tmp_path):
    steps = trace(tiny, cat, "What is <b>it</b>?", max_tokens=3)
    write_report(tmp_path / "steps.html", steps, "What is <b>it</b>?", "tiny")
    page = (tmp_path / "steps.html").read_text("utf-8")
    assert "&lt;b&gt;it" in page and "<b>it</b>" not in page
    assert not re.search(r"(src|href)=.(?!data:)", page)
    assert page.count("<li>") == len(steps.answer)
    assert any("4 × 4 = 16" in line for line in lines(steps))
    assert any("What is <b>it</b>?" in line for line in lines(steps))  # as the language model reads it
