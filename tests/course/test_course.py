"""The course's exercises: token arithmetic, pairs, one patch."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from samespace import server
from samespace.assistant.request import AssistantBackend, Outcome, Picture, Reply, question
from samespace.core.errors import RequestError
from samespace.course.contrast import train_pairs
from samespace.course.outline import PARTS
from samespace.course.patches import patch_values
from samespace.course.photographs import find_photograph
from samespace.course.token_costs import assistant_cost


class Remote:
    """An assistant that runs elsewhere."""

    name = "remote"

    def answer(self, _) -> Reply:
        return Reply(iter(()), Outcome())


def picture_of(width: int, height: int, tmp_path) -> Picture:
    file = tmp_path / f"{width}x{height}.png"
    Image.new("RGB", (width, height), "teal").save(file)
    return Picture.read(file)


@pytest.mark.parametrize("sides", [(32, 32), (400, 120), (100, 300), (640, 640)])
def test_the_cost_of_an_image_is_what_its_prompt_takes(tiny, tmp_path, sides):
    cost = assistant_cost(tiny, *sides)
    short, long = (tiny.answer(question("What?", [picture_of(*sides, tmp_path)], max_tokens=count)) for count in (1, 6))
    text = short.text
    assert long.text.startswith(text) and cost.tokens == short.outcome.pictures
    assert cost.tokens == cost.views * cost.tokens_per_view


def test_the_cost_of_a_remote_assistant_is_unknown():
    remote: AssistantBackend = Remote()
    assert assistant_cost(remote, 640, 480) is None


def test_pairs_are_trained_and_anything_else_is_refused():
    z = np.random.default_rng(0).normal(size=(2, 4, 16))
    images, texts = (z / np.linalg.norm(z, axis=-1, keepdims=True)).tolist()
    trained = train_pairs(images, texts, 0.1)
    assert trained.losses[-1] < trained.losses[0] and np.array(trained.images).shape == (4, 16)
    for wrong in ((images[:1], texts[:1]), (images, texts[:3]), (images, [z[:8] for z in texts])):
        with pytest.raises(RequestError, match="between 2 and 32"):
            train_pairs(*wrong, 0.1)


def test_a_patch_is_followed_by_its_number(tiny_space, tmp_path):
    picture = picture_of(64, 64, tmp_path)
    values = patch_values(tiny_space, picture, 0)
    assert values["grid"] == 4 and values["backbone"] == "" and len(values["embedding"]) == 48
    with pytest.raises(RequestError, match="no patch 16"):
        patch_values(tiny_space, picture, 16)


def test_only_the_demos_photographs_are_found():
    assert find_photograph("chelsea.png").is_file()
    assert find_photograph("moon.png") is None and find_photograph("../conftest.py") is None


def test_every_part_is_on_the_page():
    page = (Path(server.__file__).parent / "templates" / "learn.html").read_text("utf-8")
    assert [part.id for part in PARTS] == re.findall(r'<section id="([^"]+)"', page)
