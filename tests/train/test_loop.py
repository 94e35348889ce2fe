"""The loop: it learns, it goes on bit for bit, it saves when asked to stop, it stops on nonsense."""

import math
import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from samespace.core.errors import TrainingStopped
from samespace.train import checkpoint as state
from samespace.train.config import Card
from samespace.train.loop import Trainer
from samespace.train.optim import lr_at
from samespace.train.run import Run


def trained(card: Card, resume: bool = False) -> tuple[Run, Trainer, list[float]]:
    losses: list[float] = []
    run = Run(card)
    folder = state.Path(card.out)
    folder.mkdir(exist_ok=True)
    trainer = Trainer(card, run.trainee, run.loader, folder)
    if resume:
        trainer.resume()
    trainer.train(run.backward, lambda progress: losses.append(progress.loss))
    return run, trainer, losses


def test_it_learns(card):
    _, _, losses = trained(replace(card, steps=150))
    assert losses[0] > 1.5 and sum(losses[-10:]) / 10 < 0.6 * losses[0]


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_ten_steps_and_ten_are_twenty(card, tmp_path, optimizer):
    """With a running average and several captions' order in play; equal to the last bit."""
    card = replace(card, average=0.9, augment="strong", optimizer=optimizer)
    straight, trainer, losses = trained(replace(card, out=str(tmp_path / "a")))
    part = replace(card, out=str(tmp_path / "b"))
    first = Run(part)
    (tmp_path / "b").mkdir()
    cut = Trainer(part, first.trainee, first.loader, tmp_path / "b")

    class Cut(Exception):
        pass

    def stop(progress):
        if progress.step == 13:  # three steps after a checkpoint are lost, and done again
            raise Cut

    with pytest.raises(Cut):
        cut.train(first.backward, stop)
    again, resumed, later = trained(part, resume=True)
    assert later == losses[10:]
    for name, tensor in straight.trainee.state_dict().items():
        assert torch.equal(tensor, again.trainee.state_dict()[name]), name
    for name, tensor in trainer.average.state_dict().items():
        assert torch.equal(tensor, resumed.average.state_dict()[name]), name


RUN = """
import sys, os, signal
from samespace.train.config import read_card
from samespace.train.run import run
card = read_card(__import__("pathlib").Path(sys.argv[1]))
def show(progress, card):
    if progress.step == 13 and sys.argv[-1].startswith("SIG"):
        os.kill(os.getpid(), getattr(signal, sys.argv[2]))
run(card, "resume" in sys.argv[-1], show)
"""
CARD = """
train = [{path = "pairs.tsv"}]
batch = 16
steps = 20
lr = 3e-3
warmup = 5
threads = 1
save_every = 10
evaluate_every = 10
device = "cpu"
out = "%s"
image = {image_size = 16, patch = 8, width = 16, layers = 1, heads = 2, mlp = 32, dim = 8}
text = {context = 8, width = 16, layers = 1, heads = 2, mlp = 32, dim = 8}
"""


def spawned(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", RUN, *arguments], capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("number", ["SIGKILL", "SIGTERM"])
def test_a_killed_run_goes_on_to_the_same_weights(table, tmp_path, number):
    for name in ("straight", "cut"):
        (tmp_path / f"{name}.toml").write_text(CARD % (tmp_path / name))
    assert spawned(str(tmp_path / "straight.toml")).returncode == 0
    killed = spawned(str(tmp_path / "cut.toml"), number)
    assert killed.returncode == (-signal.SIGKILL if number == "SIGKILL" else 1)
    kept = state.load(tmp_path / "cut" / "checkpoint.pt")["step"]
    assert kept == (10 if number == "SIGKILL" else 14)  # asked politely, it does one more step and saves
    assert number == "SIGKILL" or "--resume" in killed.stderr
    assert spawned(str(tmp_path / "cut.toml"), "resume").returncode == 0
    a, b = (state.load(tmp_path / name / "checkpoint.pt")["model"] for name in ("straight", "cut"))
    assert all(torch.equal(a[name], b[name]) for name in a)
    steps = [line.split(",")[0] for line in (tmp_path / "cut" / "metrics.jsonl").read_text().splitlines() if '"loss"' in line]
    assert steps == [f'{{"step": {i}' for i in range(1, 21)]  # none twice, none missing


def test_a_loss_that_is_no_number_stops_the_run_and_names_the_batch(card, tmp_path):
    run = Run(card)
    (tmp_path / "run").mkdir()
    trainer = Trainer(card, run.trainee, run.loader, tmp_path / "run")
    with pytest.raises(TrainingStopped, match=r"the loss is nan at step 0.*\.png"):
        trainer.train(lambda batch, share: torch.tensor(float("nan")), lambda progress: None)
    assert len((tmp_path / "run" / "bad_batch.txt").read_text().splitlines()) == 16

    def overflow(batch, share):
        run.model.logit_scale.grad = torch.tensor(float("inf"))
        return torch.tensor(1.0)

    before = run.model.logit_scale.item()
    with pytest.raises(TrainingStopped, match="the gradient is inf"):
        trainer.train(overflow, lambda progress: None)
    assert run.model.logit_scale.item() == before
    assert not (tmp_path / "run" / "checkpoint.pt").exists()


def test_a_full_disk_says_so_and_keeps_the_last_checkpoint(tmp_path):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    state.save(tmp_path / "checkpoint.pt", {"step": 1})
    (tmp_path / "checkpoint.part").symlink_to("/dev/full")
    with pytest.raises(TrainingStopped, match="disk is full"):
        state.save(tmp_path / "checkpoint.pt", {"step": 2, "weights": torch.zeros(10_000)})
    assert state.load(tmp_path / "checkpoint.pt")["step"] == 1


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path):
    (tmp_path / "checkpoint.pt").write_bytes(b"not a zip")
    with pytest.raises(TrainingStopped, match="no checkpoint"):
        state.load(tmp_path / "checkpoint.pt")


def test_the_learning_rate_warms_up_and_decays_to_nothing():
    card = Card(steps=100, lr=1.0, warmup=10)
    rates = [lr_at(step, card) for step in range(100)]
    assert rates[0] == pytest.approx(0.1) and max(rates) == 1.0 and rates[10] == 1.0
    assert rates[-1] < 1e-3 and all(a >= b for a, b in zip(rates[10:], rates[11:]))


def test_the_temperature_never_passes_100(card, tmp_path):
    run = Run(replace(card, steps=2, lr=10.0, warmup=0, clip=1e9))
    (tmp_path / "run").mkdir()
    trainer = Trainer(run.card, run.trainee, run.loader, tmp_path / "run")

    def push(batch, share):
        loss = -1000 * run.model.logit_scale
        loss.backward()
        return loss.detach()

    trainer.train(push, lambda progress: None)
    assert run.model.logit_scale.item() == pytest.approx(math.log(100))
