"""Regions: the cells of a box, the words a token means, and a projector that learns to name regions."""

import json
import math
from dataclasses import replace

import pytest
import torch
from PIL import Image
from tiny_assistant import TEMPLATE, byte_tokenizer, tiny_llava

from samespace.assistant import checkpoint
from samespace.assistant.language import Language
from samespace.core.errors import ConfigError
from samespace.models.starter.labelled_llava import token_log_probs
from samespace.train.assistant_run import AssistantRun
from samespace.train.config import read_config
from samespace.train.regions import Region, cells_of, initial_positions, region_loss
from samespace.train.runs import train

WORDS = torch.eye(6, 8) * 4
"""Six words at equal distances."""


def test_a_box_has_the_cells_it_covers_and_always_one():
    assert cells_of((0, 0, 1, 1), 3).all()
    assert cells_of((0, 0, 1 / 3, 1), 3).tolist() == [True, False, False] * 3
    assert cells_of((0.3, 0.3, 0.7, 0.7), 3).nonzero().flatten().tolist() == [4]  # it covers too little of the others
    assert cells_of((0.4, 0.4, 0.41, 0.41), 3).nonzero().flatten().tolist() == [4]
    assert cells_of((1, 1, 1, 1), 3).nonzero().flatten().tolist() == [8]
    cells = cells_of((0.2, 0.4, 0.45, 0.6), 3).reshape(3, 3)  # across the border of two cells
    assert cells.nonzero().tolist() == [[1, 0], [1, 1]]


def test_a_token_means_the_word_it_is_nearest_to():
    probabilities = token_log_probs(WORDS[None, [2, 5]], WORDS).exp()
    assert probabilities.argmax(dim=-1).tolist() == [[2, 5]]
    torch.testing.assert_close(probabilities.sum(dim=-1), torch.ones(1, 2))
    between = token_log_probs((WORDS[0] + WORDS[1])[None, None] / 2, WORDS).exp()[0, 0]
    torch.testing.assert_close(between[0], between[1])
    assert between[0] > between[2]


def test_the_loss_is_lowest_where_every_cell_means_its_words():
    regions = [[Region((0, 0, 0.5, 0.5), (1,)), Region((0.5, 0.5, 1, 1), (2, 3))], [Region((0, 0, 1, 1), (4,))]]
    middle = (WORDS[2] + WORDS[3]) / 2
    right = torch.stack([torch.stack([WORDS[1], WORDS[0], WORDS[0], middle]), WORDS[4].expand(4, -1)])
    best = region_loss(right, regions, WORDS, blank=0)
    for wrong in (right.flip(0), right.flip(1), right.roll(1, dims=2)):
        assert region_loss(wrong, regions, WORDS, blank=0) > best + 0.5


def test_cells_of_a_region_may_share_its_words():
    """The mixture of a region's cells has to name it, not each cell."""
    regions = [[Region((0, 0, 1, 1), (1, 2))]]
    shared = WORDS[[1, 2, 1, 2]][None]
    between = ((WORDS[1] + WORDS[2]) / 2).expand(1, 4, -1)
    assert region_loss(shared, regions, WORDS, 0) <= region_loss(between, regions, WORDS, 0) + 1e-4


@pytest.fixture
def configure(tmp_path):
    """Write pictures with halves of two colours, and return a function that makes a config to learn their names."""
    model = tiny_llava()
    model.c = replace(model.c, prep=replace(model.c.prep, resize="squash"))
    checkpoint.write(tmp_path / "start", model, Language(model.lm, byte_tokenizer(), TEMPLATE, {}), "fp16")
    rows = []
    for i, (left, right) in enumerate([("red", "blue"), ("blue", "red"), ("red", "red"), ("blue", "blue")]):
        picture = Image.new("RGB", (32, 32), left)
        picture.paste(Image.new("RGB", (16, 32), right), (16, 0))
        picture.save(tmp_path / f"{i}.png")
        turns = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "Halves."}]
        parts = [{"box": [0, 0, 0.5, 1], "text": left[0]}, {"box": [0.5, 0, 1, 1], "text": right[0]}]
        rows.append({"image": f"{i}.png", "conversations": turns, "regions": parts})
    (tmp_path / "conversations.json").write_text(json.dumps(rows))

    def configured(*more):
        path = tmp_path / "run.toml"
        path.write_text(
            'task = "regions"\nlock = ["image", "lm"]\nstart = "start"\ntrain = ["conversations.json"]\nval = ["conversations.json"]\n'
        )
        steps = () if any(setting.startswith("steps=") for setting in more) else ("steps=60",)
        return read_config(path, [f"start={tmp_path}/start", f"out={tmp_path}/run", "batch=4", "warmup=5", *steps, *more])

    return configured


def test_only_the_projector_is_trained_on_regions(configure, tmp_path):
    config = train(AssistantRun, configure("lr=3e-3"), False, lambda *_: None, "as tested")
    metrics = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    losses = [m["loss"] for m in metrics if "loss" in m]
    optimum = math.log(2)  # a word is two tokens here, a space and a letter, and the best mixture gives each a half
    assert config.card["validation"]["loss"] < optimum + 0.05 < losses[0]
    before = checkpoint.read(tmp_path / "start")[0].state_dict()
    after = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)["model"]
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[f"model.{name}"])}
    assert changed == {"projector"}


def test_errors_are_one_sentence(configure, tmp_path):
    with pytest.raises(ConfigError, match="freeze the language model"):
        configure('lock=["image"]')
    rows = json.loads((tmp_path / "conversations.json").read_text())
    (tmp_path / "conversations.json").write_text(json.dumps([{k: v for k, v in row.items() if k != "regions"} for row in rows]))
    with pytest.raises(ConfigError, match="no picture with regions"):
        train(AssistantRun, configure(), False, lambda *_: None)


@pytest.mark.parametrize("wrong", [{"box": [0.5, 0, 0.1, 1], "text": "x"}, {"box": [0, 0, 1], "text": "x"}, {"box": [0, 0, 1, 1], "text": " "},
                                   {"box": [0, 0, 300, 300], "text": "x"}])  # fmt: skip
def test_a_malformed_region_is_refused(configure, tmp_path, wrong):
    rows = json.loads((tmp_path / "conversations.json").read_text())
    rows[0]["regions"].append(wrong)
    (tmp_path / "conversations.json").write_text(json.dumps(rows))
    with pytest.raises(ConfigError, match="cannot be read as conversations"):
        train(AssistantRun, configure(), False, lambda *_: None)


def test_positions_are_interpolated_between_words():
    rows, columns = torch.eye(3, 6), torch.eye(3, 6).roll(3, dims=1)
    positions = initial_positions(rows, columns, 5).reshape(5, 5, 6)
    torch.testing.assert_close(positions[0, 0], (rows[0] + columns[0]) / 2)
    torch.testing.assert_close(positions[2, 2], (rows[1] + columns[1]) / 2)
    torch.testing.assert_close(positions[4, 1], (rows[2] + (columns[0] + columns[1]) / 2) / 2)


def test_positions_are_trained_and_exported(configure, tmp_path):
    config = train(
        AssistantRun,
        configure('task="assistant"', "position_embedding=true", "lora=2", 'lock=["image"]', "steps=4"),
        False,
        lambda *_: None,
    )
    model, _ = checkpoint.read(tmp_path / "run" / "assistant")
    assert config.position_grid**2 == len(model.place) and model.place.abs().min() > 0
    pixels = torch.rand(1, 3, config.prep.size, config.prep.size)
    torch.testing.assert_close(model.encode_image(pixels).tokens - model.projected(pixels), model.place[None])
