"""Run configs: defaults, overrides, and what a wrong one is told."""

import pytest

from samespace.core.errors import ConfigError
from samespace.train.config import config_from, read_config


def write(folder, text: str):
    (folder / "run.toml").write_text(text, "utf-8")
    return folder / "run.toml"


def test_a_config_has_defaults(tmp_path):
    config = read_config(write(tmp_path, 'train = "pairs.tsv"\nlr = 1e-3\n[image]\nwidth = 64\n'))
    assert (config.name, config.out, config.lr, config.image.width, config.batch) == ("run", "runs/run", 1e-3, 64, 256)
    assert config.train[0].path == str(tmp_path / "pairs.tsv") and config.train[0].weight == 1.0


def test_overrides_replace_settings(tmp_path):
    path = write(tmp_path, 'train = ["a.tsv", {path = "s3://bucket/b.tar", weight = 3}]\n')
    overrides = ["lr=2e-4", "image.width=96", "lr_multipliers={image = 0.1}", "name=mine", "gradient_checkpointing=true"]
    config = read_config(path, overrides)
    assert (config.lr, config.image.width, config.lr_multipliers, config.name) == (2e-4, 96, {"image": 0.1}, "mine")
    assert config.gradient_checkpointing
    assert [s.path for s in config.train] == [str(tmp_path / "a.tsv"), "s3://bucket/b.tar"] and config.train[1].weight == 3.0


def test_overridden_paths_are_relative_to_the_working_directory(tmp_path, monkeypatch):
    (tmp_path / "configs").mkdir()
    monkeypatch.chdir(tmp_path)
    config = read_config(write(tmp_path / "configs", 'train = "a.tsv"\nval = "b.tsv"\n'), ["train=c.tsv"])
    assert (config.train[0].path, config.val[0].path) == (str(tmp_path / "c.tsv"), str(tmp_path / "configs" / "b.tsv"))


@pytest.mark.parametrize(
    "text, overrides, message",
    [
        ('train = "a.tsv"\nlearning_rate = 1', [], "unknown setting 'learning_rate'"),
        ('train = "a.tsv"', ["batch=many"], "'batch' of RunConfig is 'many'"),
        ('train = "a.tsv"', ["batch=0"], "at least 1"),
        ('train = "a.tsv"', ["loss=hinge"], "clip, siglip"),
        ('train = "a.tsv"', ["lr"], "key=value"),
        ("", [], "no pairs to train on"),
        ("train = [", [], "cannot be read as a run config"),
        ("train = 3", [], "3 is not a source"),
        ('train = {path = "a.tsv", templates = ["a photo"]}', [], "has no {}"),
        ("train = {weight = 2.0}", [], "has no path"),
        ('train = "a.tsv"\nstart = "starter"\nlora = 4\nadapter = 8', [], "choose one"),
        ('train = "a.tsv"\nlora = 4', [], "name them"),
        ('train = "a.tsv"\nfsdp = true', ["optimizer=muon"], "neither ema_decay, lora nor muon"),
        ('train = "a.tsv"', ["ema_decay=1.0"], "ema_decay is 1.0"),
        ('train = "a.tsv"', ["grad_cache_chunk=-1"], "0 or more"),
        ('train = {path = "a.tsv", weight = 0}', [], "the weight of"),
        ('train = "a.tsv"\nimage = 3', [], "'image' of RunConfig"),
        ("", ["train=0.tar", "train=1.tar"], "more than once"),
        ("", ["image=3", "image.width=2"], "leave out one of them"),
        ('train = "a.tsv"', ["image.pool=mean"], "image.pool is 'mean'; choose one of class, attention"),
        ('train = "a.tsv"', ["text.mask=causl"], "text.mask"),
        ('train = "a.tsv"', ["prep.resize=crop"], "prep.resize"),
        ('train = "a.tsv"', ["lr_multipliers={image = -1.0}"], "from 0 on"),
        ('train = "a.tsv"\ntask = "draw"\nstart = "starter"', ["teacher=starter"], "does not read teacher"),
        ('train = "a.tsv"\ntask = "native"', ["gradient_checkpointing=true"], "does not read gradient_checkpointing"),
        ('train = "a.tsv"', ["generator.width=64"], "does not read generator"),
        ('train = "a.tsv"\ntask = "draw"\nstart = "starter"', ["tokenizer=other"], "does not read tokenizer"),
        ('train = "a.tsv"\nstart = "starter"', ["image.width=64"], "image is that of starter"),
        ('train = "a.json"\ntask = "assistant"\nstart = "starter"', ["tiles=4"], "tiles is that of starter"),
        (
            'train = "a.json"\ntask = "regions"\nstart = "starter"\nlock = ["image", "lm"]',
            ["grad_cache_chunk=1"],
            "does not read grad_cache",
        ),
    ],
)
def test_errors_name_the_setting(tmp_path, text, overrides, message):
    with pytest.raises(ConfigError, match=message):
        read_config(write(tmp_path, text), overrides)


def test_a_recipe_refuses_what_it_fixes_and_what_cannot_be():
    assert config_from({"steps": 5}, ["lr=1e-4"]).lr == 1e-4
    for override, message in (("batch=3", "fixed"), ("optimizer=sgd", "adamw, muon"), ("steps=0", "at least 1")):
        with pytest.raises(ConfigError, match=message):
            config_from({"batch": 8}, [override], fixed=("batch",))


def test_a_missing_file_is_reported(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        read_config(tmp_path / "none.toml")


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert read_config(write(tmp_path, 'train = "a.tsv"\nout = "~/runs/x"')).out == str(tmp_path / "runs/x")


def test_a_byte_order_mark_before_a_file_is_none_of_its_content(tmp_path):
    from samespace.core.files import read_json

    (tmp_path / "run.toml").write_bytes(b'\xef\xbb\xbfname = "mine"\ntrain = "pairs.tsv"\n')
    assert read_config(tmp_path / "run.toml").name == "mine"
    (tmp_path / "config.json").write_bytes(b'\xef\xbb\xbf{"model_type": "clip"}')
    assert read_json(tmp_path / "config.json") == {"model_type": "clip"}
