"""Training a space: a run config in, a space folder out; resumed, fine-tuned, in two processes."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny_checkpoints
from coloured_pairs import tiny_run, write_table
from typer.testing import CliRunner

import samespace
from samespace.cli.main import app
from samespace.core.errors import ConfigError, TrainingStopped
from samespace.spaces.convert import install
from samespace.train.config import Source
from samespace.train.runs import train
from samespace.train.space_run import SpaceRun

pytestmark = pytest.mark.usefixtures("traced_once")
CONFIG = """
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
ema_decay = {ema_decay}
image = {{image_size = 16, patch = 8, width = 16, layers = 1, heads = 2, mlp = 32, dim = 8}}
text = {{context = 8, width = 16, layers = 1, heads = 2, mlp = 32, dim = 8}}
"""


def quiet(progress, config) -> None:
    pass


@pytest.fixture
def without_gate(monkeypatch):
    """Spaces are exported as they are: weights in fp32, no calibration."""
    monkeypatch.setattr(SpaceRun, "_gate_pairs", lambda run, trained: None)


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory) -> Path:
    """Train a small space once and return the run's folder; no test changes it."""
    folder = tmp_path_factory.mktemp("finished")
    table = write_table(folder)
    config = replace(tiny_run(table, folder / "run"), steps=60, val=(Source(str(table)),), evaluate_every=30)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SpaceRun, "_gate_pairs", lambda run, trained: None)
        train(SpaceRun, config, False, quiet)
    return folder / "run"


@pytest.fixture(scope="module")
def space_folder(finished_run) -> Path:
    """The small space that was trained."""
    return finished_run / "space"


@pytest.fixture
def copied_run(finished_run, config) -> Path:
    """A copy of the finished run, where the run config writes."""
    return shutil.copytree(finished_run, config.out)


def test_the_command_trains_a_space_that_knows_colours(table, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "colours.toml").write_text(CONFIG.format(steps=120, ema_decay=0.9))
    done = CliRunner().invoke(app, ["train", "colours.toml", "augment=none", "evaluate_every=60"])
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
    assert [step for step, _ in curves["loss"]] == list(range(2, 121, 2))  # 120 points become 60, each the mean of two
    assert curves["loss"][-1][1] == pytest.approx(np.mean(losses[-2:]), abs=1e-5)
    assert curves["val/image_retrieval_recall@5"][-1] == [120, round(rows[-1]["val/image_retrieval_recall@5"], 5)]
    assert (tmp_path / "runs/colours/curve.png").read_bytes()[:4] == b"\x89PNG"
    assert list((tmp_path / "runs/colours/events").iterdir())
    again = CliRunner().invoke(app, ["train", "colours.toml"])
    assert again.exit_code == 1 and "--resume" in again.stderr


def test_a_dry_run_reports_and_trains_nothing(table, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "colours.toml").write_text(CONFIG.format(steps=120, ema_decay=0.0))
    done = CliRunner().invoke(app, ["train", "colours.toml", "--dry-run", 'lock=["image"]'])
    assert done.exit_code == 0, done.output
    assert "pixels uint8 (16, 16, 16, 3)" in done.stdout and "memory: about" in done.stdout
    trained = {line.split()[0]: float(line.split()[4]) for line in done.stdout.splitlines() if "M parameters" in line}
    assert trained["image.blocks"] == 0 and trained["text.token_embed"] > 0
    assert (tmp_path / "runs/colours/batch.png").exists() and not (tmp_path / "runs/colours/checkpoint.pt").exists()


@pytest.mark.parametrize(
    "settings",
    [
        {"lora": 2},
        {"adapter": 8},
        {"lock": ("image",), "teacher": "starter"},
        {"precision": "bf16", "gradient_checkpointing": True},
    ],
    ids=str,
)
def test_fine_tuning_reports_what_the_space_forgot(space_folder, config, table, tmp_path, without_gate, settings):
    config = replace(config, start=str(space_folder), out=str(tmp_path / "more"), val=(Source(str(table)),), steps=3, **settings)
    config = train(SpaceRun, config, False, quiet)
    assert config.card["before"].keys() == config.card["after"].keys() == {
        "image_retrieval_recall@1", "image_retrieval_recall@5", "zeroshot_acc1",
    }  # fmt: skip
    before, after = samespace.load(space_folder), samespace.load(tmp_path / "more" / "space")
    assert after.fingerprint != before.fingerprint and after.text(["red"]).shape == (1, 8)


COMMANDS = """
import contextlib, sys
from samespace.cli.main import app
from samespace.train import runs
from samespace.train.distributed import process_group
from samespace.train.space_run import SpaceRun
export = SpaceRun.export
with process_group("cpu") as rank:  # joined once for all commands: under one launch it cannot be joined again
    runs.process_group = lambda device: contextlib.nullcontext(rank)
    for words in sys.argv[1:]:
        SpaceRun.export = export if "--resume" in words else lambda *_: None  # they go on, and are exported at their end
        app(["train", *words.split()], standalone_mode=False)
"""


def test_two_processes_train_one_space_and_resume(table, tmp_path):
    """DDP with a moving average, FSDP2 without; two sources of odd sizes, so that the processes are at different positions."""
    (tmp_path / "odd.tsv").write_text("\n".join(table.read_text().splitlines()[:8]) + "\n")
    for name, ema_decay in (("ddp", 0.9), ("fsdp", 0.0)):
        config = CONFIG.format(steps=20, ema_decay=ema_decay).replace('train = "pairs.tsv"', 'train = ["pairs.tsv", "odd.tsv"]')
        (tmp_path / f"{name}.toml").write_text(f"fsdp = {str(name == 'fsdp').lower()}\n{config}")
    (tmp_path / "commands.py").write_text(COMMANDS)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "commands.py"]
    words = [f"{name}.toml {more}" for more in ("steps=10", "--resume") for name in ("ddp", "fsdp")]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, *words], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr[-3000:]
    for name in ("ddp", "fsdp"):
        run = tmp_path / "runs" / name
        rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        assert [r["step"] for r in rows if "loss" in r] == list(range(1, 21))
        assert samespace.load(run / "space").config.card["steps"] == 20
        single = CliRunner().invoke(app, ["train", str(tmp_path / f"{name}.toml"), f"out={run}", "--resume"])
        assert single.exit_code == 1 and "had 2 processes" in single.stderr


def test_a_checkpoint_of_another_model_is_refused(copied_run, config):
    with pytest.raises(TrainingStopped, match="another model"):
        train(SpaceRun, replace(config, image=replace(config.image, width=32), steps=80), True, quiet)


def test_a_tokenizer_and_validation_pairs_of_ones_own(config, table, tmp_path, clip_tokenizer_folder):
    """A tokenizer from a folder, with another vocabulary than the starter's; a validation row without a caption is skipped."""
    (tmp_path / "val.tsv").write_text(table.read_text() + "red 0.png\t\n")
    val = (Source(str(tmp_path / "val.tsv")),)
    run = SpaceRun(replace(config, tokenizer=str(clip_tokenizer_folder), val=val))
    assert run.space_config.text.vocab == run.tokenizer.get_vocab_size() == 49408 != SpaceRun(config).tokenizer.get_vocab_size()
    assert len(run.val[0]) == len(run.val[1]) == 40 and all(run.val[1]) and run.measure(run.model)


def test_a_space_of_shortened_vectors_is_not_fine_tuned(space_folder, config, tmp_path):
    """It would learn and measure other vectors than it gives."""
    short = Path(shutil.copytree(space_folder, tmp_path / "short"))
    values = json.loads((short / "space.json").read_text())
    (short / "space.json").write_text(json.dumps(values | {"short": 8}))
    with pytest.raises(ConfigError, match="uses 8 of its numbers"):
        train(SpaceRun, replace(config, start=str(short), out=config.out + "3"), False, quiet)


def test_a_softmax_space_cannot_be_fine_tuned_with_siglip(space_folder, config):
    with pytest.raises(ConfigError, match="no bias"):
        train(SpaceRun, replace(config, start=str(space_folder), loss="siglip", out=config.out + "2"), False, quiet)


@pytest.mark.parametrize("command", ["retrieval", "zeroshot", "probe"])
def test_eval_prints_json_as_clip_benchmark(space_folder, table, command):
    done = CliRunner().invoke(app, ["eval", command, str(table), "--space", str(space_folder), "--json"])
    assert done.exit_code == 0, done.output
    row = json.loads(done.stdout)
    assert row["task"].startswith({"probe": "linear"}.get(command, "zeroshot")) and row["model"] == str(space_folder)
    first = next(iter(row["metrics"].values()))
    assert 0.2 < first <= 1.0
    plain = CliRunner().invoke(app, ["eval", command, str(table), "--space", str(space_folder)])
    assert f"{first:.4f}" in plain.stdout


def test_eval_reports_a_missing_file_in_one_sentence(tmp_path):
    done = CliRunner().invoke(app, ["eval", "retrieval", str(tmp_path / "none.tsv")])
    assert done.exit_code == 1 and "check the path" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image": {"heads": 3}}, "no model can be built .*three h d"), ({"text": {"heads": 5}}, "no model can be built .*three h d"), ({"prep": {"size": 32}}, r"no model can be built .*tensor a \(17\)"),
        ({"text": {"vocab": 100}}, "no model can be built .*index out of range"), ({"prep": {"context": 16}}, r"no model can be built .*tensor a \(16\)"),
        ({"image": {"patch": 32}}, "a patch of 32 does not fit into 16 pixels"), ({"device": "gpu"}, "gpu cannot be used here"), ({"device": "cuda:99"}, "cuda:99 cannot be used here"),
    ],
    ids=str,
)  # fmt: skip
def test_impossible_settings_are_reported_before_training(config, settings, message):
    changed = {k: replace(getattr(config, k), **v) if isinstance(v, dict) else v for k, v in settings.items()}
    with pytest.raises(ConfigError, match=message):
        train(SpaceRun, replace(config, **changed), False, quiet)


def test_a_teacher_and_a_student_that_share_no_pictures(config, tmp_path, without_gate):
    install.convert(tiny_checkpoints.flex_siglip2(tmp_path / "model"), tmp_path / "flex", precision="fp32")
    for settings in ({"start": str(tmp_path / "flex"), "teacher": "starter"}, {"teacher": str(tmp_path / "flex")}):
        with pytest.raises(ConfigError, match="of any shape"):
            SpaceRun(replace(config, **settings))


def test_another_adapter_than_the_starts_is_refused(config, tmp_path, without_gate):
    train(SpaceRun, replace(config, adapter=8, steps=1), False, quiet)
    with pytest.raises(ConfigError, match="has an adapter of 8; write adapter = 8"):
        SpaceRun(replace(config, start=str(Path(config.out) / "space"), adapter=16, out=str(tmp_path / "other")))


def test_a_softmax_run_drops_the_bias_of_a_siglip_start(config, tmp_path, without_gate):
    """It is not trained, so it would be wrong."""
    first = train(SpaceRun, replace(config, loss="siglip", steps=2), False, quiet)
    start = str(Path(config.out) / "space")
    further = train(SpaceRun, replace(config, start=start, out=str(tmp_path / "soft"), steps=2), False, quiet)
    assert first.logit_bias is not None and further.logit_bias is None and further.card["steps"] == 2


def test_missing_validation_pictures_stop_the_run(config, table):
    lines = "filepath\ttitle\nred 0.png\tred\n" + "".join(f"gone {i}.png\tgone\n" for i in range(30))
    (table.parent / "val.tsv").write_text(lines)
    with pytest.raises(ConfigError, match="more than 1%"):
        train(SpaceRun, replace(config, val=(Source(str(table.parent / "val.tsv")),)), False, quiet)


def test_a_run_is_not_resumed_with_other_sources(copied_run, config, table):
    (table.parent / "more.tsv").write_text(table.read_text())
    more = (*config.train, Source(str(table.parent / "more.tsv")))
    with pytest.raises(ConfigError, match="the run began with pairs.tsv"):
        train(SpaceRun, replace(config, steps=80, train=more), True, quiet)
