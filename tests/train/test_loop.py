"""The training loop: it learns, resumes to the last bit, saves when stopped, and refuses losses that are not finite."""

import math
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from coloured_pairs import write_table

from samespace.core.errors import ConfigError, TrainingStopped
from samespace.train import checkpoint
from samespace.train.config import RunConfig
from samespace.train.loop import Trainer
from samespace.train.optim import lr_at
from samespace.train.space_run import SpaceRun


def trained(config: RunConfig, resume: bool = False) -> tuple[SpaceRun, Trainer, list[float]]:
    losses: list[float] = []
    run = SpaceRun(config)
    folder = Path(config.out)
    folder.mkdir(exist_ok=True)
    trainer = Trainer(config, run.training_model, run.loader, folder)
    if resume:
        trainer.resume()
    trainer.train(run.backward, lambda progress: losses.append(progress.loss))
    return run, trainer, losses


def test_it_learns(config):
    _, _, losses = trained(replace(config, steps=150))
    assert losses[0] > 1.5 and sum(losses[-10:]) / 10 < 0.6 * losses[0]


@pytest.mark.filterwarnings("ignore:.torch.jit.script_method:DeprecationWarning")  # in torch itself
@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler on a CPU")
def test_a_compiled_model_learns_the_same_and_its_weights_keep_their_names(config, tmp_path):
    plain, _, losses = trained(replace(config, steps=4, out=str(tmp_path / "plain")))
    run, trainer, compiled_losses = trained(replace(config, steps=4, ema_decay=0.9, compile=True, out=str(tmp_path / "compiled")))
    assert compiled_losses == pytest.approx(losses, rel=1e-4)
    weights, expected = run.training_model.state_dict(), plain.training_model.state_dict()
    assert list(weights) == list(expected)
    assert "._orig_mod" not in "".join(trainer.ema.state_dict())


def test_a_step_is_of_several_batches_where_they_are_accumulated(config):
    run = SpaceRun(replace(config, steps=2, accumulate=2))
    Path(config.out).mkdir()
    seen, losses = [], []

    def backward(batch, weight):
        seen.append((tuple(batch.names), weight))
        return run.backward(batch, weight)

    Trainer(run.config, run.training_model, run.loader, Path(config.out)).train(
        backward, lambda progress: losses.append(progress.loss)
    )
    assert len({names for names, _ in seen}) == 4 and {weight for _, weight in seen} == {0.5} and len(losses) == 2


def test_what_was_skipped_before_a_resume_is_remembered(config):
    run = SpaceRun(replace(config, steps=1))
    Path(config.out).mkdir()
    trainer = Trainer(config, run.training_model, run.loader, Path(config.out))
    run.loader.skipped.reasons["a.png"] = "it is broken"
    trainer.save()
    later = SpaceRun(config)
    again = Trainer(config, later.training_model, later.loader, Path(config.out))
    again.resume()
    assert again.skipped == {"a.png": "it is broken"} and not later.loader.skipped.reasons


def test_without_a_compiler_a_compiled_run_is_refused_in_a_sentence(config, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigError, match=r"needs a C\+\+ compiler.*install g\+\+"):
        trained(replace(config, device="cpu", compile=True))


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_resumed_run_equals_the_uninterrupted_one(config, tmp_path, optimizer):
    """To the last bit, with a moving average and random augmentation."""
    config = replace(config, ema_decay=0.9, augment="strong", optimizer=optimizer)
    run, trainer, losses = trained(replace(config, out=str(tmp_path / "a")))
    interrupted = replace(config, out=str(tmp_path / "b"))
    first = SpaceRun(interrupted)
    (tmp_path / "b").mkdir()

    class Interrupted(Exception):
        pass

    def interrupt(progress):
        if progress.step == 13:  # the three steps after a checkpoint are lost and repeated
            raise Interrupted

    with pytest.raises(Interrupted):
        Trainer(interrupted, first.training_model, first.loader, tmp_path / "b").train(first.backward, interrupt)
    resumed, resumed_trainer, later_losses = trained(interrupted, resume=True)
    assert later_losses == losses[10:]
    for name, tensor in run.training_model.state_dict().items():
        assert torch.equal(tensor, resumed.training_model.state_dict()[name]), name
    for name, tensor in trainer.ema.state_dict().items():
        assert torch.equal(tensor, resumed_trainer.ema.state_dict()[name]), name


RUN = """
import os, signal, sys
from pathlib import Path
from samespace.train.config import read_config
from samespace.train.runs import train
from samespace.train.space_run import SpaceRun
SpaceRun.export = lambda *_: None  # what is compared are checkpoints
config = read_config(Path(sys.argv[1]))
def show(progress, config):
    if progress.step == 13 and sys.argv[-1].startswith("SIG"):
        os.kill(os.getpid(), getattr(signal, sys.argv[2]))
train(SpaceRun, config, "resume" in sys.argv[-1], show)
"""
CONFIG = """
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


@pytest.fixture(scope="module")
def undisturbed_weights(tmp_path_factory):
    """Those of a run that nothing interrupts."""
    folder = tmp_path_factory.mktemp("undisturbed")
    write_table(folder)
    (folder / "whole.toml").write_text(CONFIG % (folder / "whole"))
    assert spawned(str(folder / "whole.toml")).returncode == 0
    return checkpoint.load(folder / "whole" / "checkpoint.pt")["model"]


@pytest.mark.parametrize("number", ["SIGKILL", "SIGTERM"])
def test_a_killed_run_resumes_to_the_same_weights(table, tmp_path, number, undisturbed_weights):
    (tmp_path / "killed.toml").write_text(CONFIG % (tmp_path / "killed"))
    done = spawned(str(tmp_path / "killed.toml"), number)
    assert done.returncode == (-signal.SIGKILL if number == "SIGKILL" else 1)
    step = checkpoint.load(tmp_path / "killed" / "checkpoint.pt")["step"]
    assert step == (10 if number == "SIGKILL" else 14)  # on SIGTERM it finishes the step it is in, and saves
    assert number == "SIGKILL" or "--resume" in done.stderr
    assert spawned(str(tmp_path / "killed.toml"), "resume").returncode == 0
    weights = checkpoint.load(tmp_path / "killed" / "checkpoint.pt")["model"]
    assert all(torch.equal(weights[name], tensor) for name, tensor in undisturbed_weights.items())
    steps = [line.split(",")[0] for line in (tmp_path / "killed" / "metrics.jsonl").read_text().splitlines() if '"loss"' in line]
    assert steps == [f'{{"step": {i}' for i in range(1, 21)]  # none repeated, none missing


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_batch(config, tmp_path):
    run = SpaceRun(config)
    (tmp_path / "run").mkdir()
    trainer = Trainer(config, run.training_model, run.loader, tmp_path / "run")
    with pytest.raises(TrainingStopped, match=r"the loss is nan at step 0.*\.png"):
        trainer.train(lambda batch, weight: torch.tensor(float("nan")), lambda progress: None)
    assert len((tmp_path / "run" / "bad_batch.txt").read_text().splitlines()) == 16

    trainer.loader = [object()]
    with pytest.raises(TrainingStopped, match=r"the loss is nan at step 0; lower lr"):  # a batch that has no names
        trainer.train(lambda batch, weight: torch.tensor(float("nan")), lambda progress: None)
    trainer.loader = run.loader

    def overflow(batch, weight):
        run.model.logit_scale.grad = torch.tensor(float("inf"))
        return torch.tensor(1.0)

    before = run.model.logit_scale.item()
    with pytest.raises(TrainingStopped, match="the gradient is inf"):
        trainer.train(overflow, lambda progress: None)
    assert run.model.logit_scale.item() == before
    assert not (tmp_path / "run" / "checkpoint.pt").exists()


def test_a_full_disk_is_reported_and_the_last_checkpoint_kept(tmp_path, monkeypatch):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    checkpoint.save(tmp_path / "checkpoint.pt", {"step": 1})

    def urandom(size):  # the file that is written next is on a full disk
        (tmp_path / f"checkpoint.pt.{os.getpid()}-{b'full'.hex()}.part").symlink_to("/dev/full")
        return b"full"

    monkeypatch.setattr(os, "urandom", urandom)
    with pytest.raises(TrainingStopped, match="disk is full"):
        checkpoint.save(tmp_path / "checkpoint.pt", {"step": 2, "weights": torch.zeros(10_000)})
    assert checkpoint.load(tmp_path / "checkpoint.pt")["step"] == 1


def test_a_checkpoint_replaces_what_a_killed_process_left(tmp_path):
    (tmp_path / "checkpoint.pt.123-abc.part").write_bytes(b"half")
    checkpoint.save(tmp_path / "checkpoint.pt", {"step": 1})
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_a_file_that_is_not_a_checkpoint_is_refused(tmp_path):
    (tmp_path / "checkpoint.pt").write_bytes(b"not a zip")
    with pytest.raises(TrainingStopped, match="no checkpoint"):
        checkpoint.load(tmp_path / "checkpoint.pt")


def test_the_learning_rate_warms_up_and_decays_to_zero():
    config = RunConfig(steps=100, lr=1.0, warmup=10)
    rates = [lr_at(step, config) for step in range(100)]
    assert rates[0] == pytest.approx(0.1) and max(rates) == 1.0 and rates[10] == 1.0
    assert rates[-1] < 1e-3 and all(a >= b for a, b in zip(rates[10:], rates[11:]))


def test_the_temperature_never_passes_100(config, tmp_path):
    run = SpaceRun(replace(config, steps=2, lr=10.0, warmup=0, grad_clip=1e9))
    (tmp_path / "run").mkdir()
    trainer = Trainer(run.config, run.training_model, run.loader, tmp_path / "run")

    def push(batch, weight):
        loss = -1000 * run.model.logit_scale
        loss.backward()
        return loss.detach()

    trainer.train(push, lambda progress: None)
    assert run.model.logit_scale.item() == pytest.approx(math.log(100))
