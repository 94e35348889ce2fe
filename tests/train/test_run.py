"""A card in, a space out, as a person would do it."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import samespace
from samespace.cli.main import app
from samespace.core.errors import ConfigError, TrainingStopped
from samespace.train.config import Source
from samespace.train.run import run

CARD = """
train = "pairs.tsv"
val = "pairs.tsv"
batch = 16
steps = {steps}
lr = 3e-3
warmup = 5
threads = 1
save_every = 10
evaluate_every = 10
device = "cpu"
average = {average}
image = {{image_size = 16, patch = 8, width = 16, layers = 1, heads = 2, mlp = 32, dim = 8}}
text = {{context = 8, width = 16, layers = 1, heads = 2, mlp = 32, dim = 8}}
"""


def quiet(progress, card) -> None:
    pass


@pytest.fixture
def made(card, table) -> Path:
    """A trained space's folder."""
    run(replace(card, steps=60, val=(Source(str(table)),), evaluate_every=30), False, quiet)
    return Path(card.out) / "space"


def test_the_command_makes_a_space_that_knows_its_colours(table, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "colours.toml").write_text(CARD.format(steps=120, average=0.9))
    done = CliRunner().invoke(app, ["train", "colours.toml", "augment=none"])
    assert done.exit_code == 0, done.output
    assert "image_retrieval_recall@1" in done.stdout and "--space runs/colours/space" in done.stdout
    space = samespace.load("runs/colours/space")
    assert space.dim == 8 and space.name == "colours" and space.config.card["pairs_seen"] == 120 * 16
    names = ["red", "green", "blue", "yellow", "black", "white", "purple", "orange"]
    scores = space.text(names) @ space.image([tmp_path / f"{n} 0.png" for n in names]).T
    assert (scores.argmax(axis=1) == np.arange(8)).mean() >= 0.75
    rows = [json.loads(line) for line in (tmp_path / "runs/colours/metrics.jsonl").read_text().splitlines()]
    assert [r["step"] for r in rows if "loss" in r] == list(range(1, 121))
    assert rows[-1]["val/image_retrieval_recall@5"] == space.config.card["validation"]["image_retrieval_recall@5"]
    curves, losses = space.config.card["curves"], [r["loss"] for r in rows if "loss" in r]
    assert [step for step, _ in curves["loss"]] == list(range(2, 121, 2))  # of more than 100 points, pairs
    assert curves["loss"][-1][1] == pytest.approx(np.mean(losses[-2:]), abs=1e-5)
    assert curves["val/image_retrieval_recall@5"][-1] == [120, round(rows[-1]["val/image_retrieval_recall@5"], 5)]
    assert (tmp_path / "runs/colours/curve.png").read_bytes()[:4] == b"\x89PNG"
    assert list((tmp_path / "runs/colours/events").iterdir())
    again = CliRunner().invoke(app, ["train", "colours.toml"])
    assert again.exit_code == 1 and "--resume" in again.stderr


def test_a_dry_run_shows_and_trains_nothing(table, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "colours.toml").write_text(CARD.format(steps=120, average=0.0))
    done = CliRunner().invoke(app, ["train", "colours.toml", "--dry-run", 'lock=["image"]'])
    assert done.exit_code == 0, done.output
    assert "pixels uint8 (16, 16, 16, 3)" in done.stdout and "memory: about" in done.stdout
    learning = {line.split()[0]: float(line.split()[4]) for line in done.stdout.splitlines() if "M parameters" in line}
    assert learning["image.blocks"] == 0 and learning["text.token_embed"] > 0
    assert (tmp_path / "runs/colours/batch.png").exists() and not (tmp_path / "runs/colours/checkpoint.pt").exists()


@pytest.mark.parametrize(
    "settings",
    [{"lora": 2}, {"connector": 8}, {"lock": ("image",), "teacher": "starter"}, {"precision": "bf16", "recompute": True}],
    ids=str,
)
def test_a_space_is_trained_further_and_what_it_forgot_is_told(made, card, table, tmp_path, settings):
    card = replace(card, start=str(made), out=str(tmp_path / "more"), val=(Source(str(table)),), steps=10, **settings)
    config = run(card, False, quiet)
    assert config.card["before"].keys() == config.card["after"].keys() == {
        "image_retrieval_recall@1", "image_retrieval_recall@5", "zeroshot_acc1",
    }  # fmt: skip
    before, after = samespace.load(made), samespace.load(tmp_path / "more" / "space")
    assert after.fingerprint != before.fingerprint and after.text(["red"]).shape == (1, 8)


@pytest.mark.parametrize("shard", ["false", "true"])
def test_two_processes_train_one_space_and_go_on_after_a_stop(table, tmp_path, shard):
    """DDP with a running average, FSDP2 without; two sources of odd sizes, so that processes stand at different places."""
    (tmp_path / "odd.tsv").write_text("\n".join(table.read_text().splitlines()[:8]) + "\n")
    card = CARD.format(steps=20, average=0.9 if shard == "false" else 0.0).replace(
        'train = "pairs.tsv"', 'train = ["pairs.tsv", "odd.tsv"]'
    )
    (tmp_path / "colours.toml").write_text(f"shard = {shard}\n{card}")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--no-python",
               "samespace", "train", "colours.toml"]  # fmt: skip
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for more in (["steps=10"], ["--resume"]):
        done = subprocess.run([*command, *more], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=400)
        assert done.returncode == 0, done.stderr[-3000:]
    rows = [json.loads(line) for line in (tmp_path / "runs/colours/metrics.jsonl").read_text().splitlines()]
    assert [r["step"] for r in rows if "loss" in r] == list(range(1, 21))
    assert samespace.load(tmp_path / "runs/colours/space").config.card["steps"] == 20
    alone = CliRunner().invoke(app, ["train", str(tmp_path / "colours.toml"), f"out={tmp_path}/runs/colours", "--resume"])
    assert alone.exit_code == 1 and "had 2 processes" in alone.stderr


def test_a_run_of_another_model_is_not_gone_on_with(made, card):
    with pytest.raises(TrainingStopped, match="another model"):
        run(replace(card, image=replace(card.image, width=32), steps=80), True, quiet)


def test_a_sigmoid_space_is_trained_further_with_softmax(card, tmp_path):
    run(replace(card, loss="siglip", steps=2, out=str(tmp_path / "a")), False, quiet)
    further = replace(card, start=str(tmp_path / "a" / "space"), steps=2, out=str(tmp_path / "b"))
    assert run(further, False, quiet).card["steps"] == 2


def test_a_folder_with_a_tokenizer_will_do(card, tmp_path, made):
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "tokenizer.json").write_bytes((made / "tokenizer.json").read_bytes())
    assert run(replace(card, tokenizer=str(tmp_path / "words"), steps=1, out=str(tmp_path / "c")), False, quiet).dim == 8


def test_a_validation_row_without_a_caption_is_left_out(card, table, tmp_path):
    (tmp_path / "val.tsv").write_text(table.read_text() + "red 0.png\t\n")
    run(replace(card, steps=1, val=(Source(str(tmp_path / "val.tsv")),)), False, quiet)


def test_a_softmax_space_is_not_trained_with_the_sigmoid(made, card):
    with pytest.raises(ConfigError, match="no bias"):
        run(replace(card, start=str(made), loss="siglip", out=card.out + "2"), False, quiet)


@pytest.mark.parametrize("command", ["retrieval", "zeroshot", "probe"])
def test_eval_prints_clip_benchmarks_lines(made, table, command):
    done = CliRunner().invoke(app, ["eval", command, str(table), "--space", str(made), "--json"])
    assert done.exit_code == 0, done.output
    row = json.loads(done.stdout)
    assert row["task"].startswith({"probe": "linear"}.get(command, "zeroshot")) and row["model"] == str(made)
    first = next(iter(row["metrics"].values()))
    assert 0.2 < first <= 1.0
    plain = CliRunner().invoke(app, ["eval", command, str(table), "--space", str(made)])
    assert f"{first:.4f}" in plain.stdout


def test_eval_of_what_is_not_there_is_one_sentence(tmp_path):
    done = CliRunner().invoke(app, ["eval", "retrieval", str(tmp_path / "none.tsv")])
    assert done.exit_code == 1 and "check the path" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "settings",
    [
        {"image": {"heads": 3}}, {"text": {"heads": 5}}, {"prep": {"size": 32}}, {"text": {"vocab": 100}}, {"prep": {"context": 16}},
        {"image": {"patch": 32}}, {"device": "gpu"}, {"device": "cuda:99"},
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_built_is_said_before_anything_is_trained(card, settings):
    changed = {k: replace(getattr(card, k), **v) if isinstance(v, dict) else v for k, v in settings.items()}
    with pytest.raises(ConfigError):
        run(replace(card, **changed), False, quiet)


def test_a_softmax_run_keeps_no_bias_of_a_sigmoid_start(card, tmp_path):
    """It would not learn, and mean nothing."""
    run(replace(card, loss="siglip", steps=2), False, quiet)
    config = run(replace(card, start=str(Path(card.out) / "space"), out=str(tmp_path / "soft"), steps=2), False, quiet)
    assert config.logit_bias is None


def test_validation_that_is_mostly_missing_stops_the_run(card, table):
    lines = "filepath\ttitle\nred 0.png\tred\n" + "".join(f"gone {i}.png\tgone\n" for i in range(30))
    (table.parent / "val.tsv").write_text(lines)
    with pytest.raises(ConfigError, match="more than 1%"):
        run(replace(card, val=(Source(str(table.parent / "val.tsv")),)), False, quiet)


def test_other_sources_do_not_resume_a_run(card, table):
    run(replace(card, steps=4), False, quiet)
    (table.parent / "more.tsv").write_text(table.read_text())
    more = (*card.train, Source(str(table.parent / "more.tsv")))
    with pytest.raises(ConfigError, match="the run began with pairs.tsv"):
        run(replace(card, steps=8, train=more), True, quiet)
