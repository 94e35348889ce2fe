"""Run cards: what they say, what is laid over them, and what is wrong with them."""

import pytest

from samespace.core.errors import ConfigError
from samespace.train.config import read_card


def write(folder, text: str):
    (folder / "run.toml").write_text(text, "utf-8")
    return folder / "run.toml"


def test_a_card_reads_with_its_defaults(tmp_path):
    card = read_card(write(tmp_path, 'train = "pairs.tsv"\nlr = 1e-3\n[image]\nwidth = 64\n'))
    assert (card.name, card.out, card.lr, card.image.width, card.batch) == ("run", "runs/run", 1e-3, 64, 256)
    assert card.train[0].path == str(tmp_path / "pairs.tsv") and card.train[0].weight == 1.0


def test_settings_are_laid_over_it(tmp_path):
    path = write(tmp_path, 'train = ["a.tsv", {path = "s3://bucket/b.tar", weight = 3}]\n')
    card = read_card(path, ["lr=2e-4", "image.width=96", "rates={image = 0.1}", "name=mine", "recompute=true"])
    assert (card.lr, card.image.width, card.rates, card.name, card.recompute) == (2e-4, 96, {"image": 0.1}, "mine", True)
    assert [s.path for s in card.train] == [str(tmp_path / "a.tsv"), "s3://bucket/b.tar"] and card.train[1].weight == 3.0


@pytest.mark.parametrize(
    "text, overrides, words",
    [
        ('train = "a.tsv"\nlearning_rate = 1', [], "unknown setting 'learning_rate'"),
        ('train = "a.tsv"', ["batch=many"], "'batch' of Card is 'many'"),
        ('train = "a.tsv"', ["batch=0"], "at least 1"),
        ('train = "a.tsv"', ["loss=hinge"], "clip, siglip"),
        ('train = "a.tsv"', ["lr"], "key=value"),
        ("", [], "no pairs to train on"),
        ("train = [", [], "cannot be read as a run card"),
        ('train = {path = "a.tsv", templates = ["a photo"]}', [], "has no {}"),
        ("train = {weight = 2.0}", [], "has no path"),
        ('train = "a.tsv"\nstart = "starter"\nlora = 4\nconnector = 8', [], "choose one"),
        ('train = "a.tsv"\nlora = 4', [], "name them"),
        ('train = "a.tsv"\nshard = true', ["optimizer=muon"], "neither average, lora nor muon"),
        ('train = "a.tsv"', ["average=1.0"], "average is 1.0"),
        ('train = "a.tsv"', ["chunk=-1"], "0 or more"),
        ('train = {path = "a.tsv", weight = 0}', [], "the weight of"),
        ('train = "a.tsv"\nimage = 3', [], "'image' of Card"),
        ("", ["train=0.tar", "train=1.tar"], "more than once"),
        ('train = "a.tsv"', ["image.pool=mean"], "image.pool is 'mean'; choose one of class, attention"),
        ('train = "a.tsv"', ["text.mask=causl"], "text.mask"),
        ('train = "a.tsv"', ["prep.resize=crop"], "prep.resize"),
        ('train = "a.tsv"', ["rates={image = -1.0}"], "from 0 on"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, overrides, words):
    with pytest.raises(ConfigError, match=words):
        read_card(write(tmp_path, text), overrides)


def test_a_card_that_is_not_there_is_said_so(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        read_card(tmp_path / "none.toml")


def test_a_home_is_a_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert read_card(write(tmp_path, 'train = "a.tsv"\nout = "~/runs/x"')).out == str(tmp_path / "runs/x")
