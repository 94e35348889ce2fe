"""Gradients: a chunk at a time, and many processes together, give those of the whole batch."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from samespace.train.config import Card
from samespace.train.data import Batch
from samespace.train.run import Run
from samespace.train.tasks import backward


def gradients(card: Card, chunk: int, share: float = 1.0) -> tuple[float, dict[str, torch.Tensor]]:
    run = Run(card)
    batch = next(iter(run.loader))
    loss = backward(run.trainee, batch, run.objective, chunk, share)
    return loss.item(), {n: p.grad for n, p in run.model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("loss", ["clip", "siglip"])
@pytest.mark.parametrize("lock", [(), ("image",)], ids=["both", "LiT"])
def test_a_chunk_at_a_time_gives_the_whole_batchs_gradients(card, loss, lock):
    card = replace(card, loss=loss, lock=lock)
    whole, want = gradients(card, 0)
    for chunk in (4, 5):  # 5 leaves a rest of one
        found, got = gradients(card, chunk)
        assert found == pytest.approx(whole, abs=1e-6)
        assert got.keys() == want.keys() and ("image.patch_embed.weight" in got) == (not lock)
        for name in want:
            assert torch.allclose(got[name], want[name], atol=1e-6), name


def test_recomputing_activations_changes_nothing(card):
    _, want = gradients(card, 0)
    _, got = gradients(replace(card, recompute=True), 0)
    assert all(torch.allclose(got[name], want[name], atol=1e-7) for name in want)


def test_two_halves_accumulated_are_the_mean(card):
    _, whole = gradients(card, 0)
    _, half = gradients(card, 0, share=0.5)
    assert all(torch.allclose(2 * half[name], whole[name], atol=1e-6) for name in whole)


def test_a_teacher_pulls(card):
    """The starter as teacher: one more term, and it depends on the pictures."""
    plain, _ = gradients(card, 0)
    taught, _ = gradients(replace(card, teacher="starter", teacher_weight=0.5), 0)
    assert taught > plain + 0.01


PROCESS = """
import sys, torch
from dataclasses import replace
from pathlib import Path
from samespace.train.config import read_card
from samespace.train.data import Batch, groups_of
from samespace.train.run import Run, processes
from samespace.train.tasks import backward
card = read_card(Path(sys.argv[1]), sys.argv[3:])
batch = Batch(**torch.load(sys.argv[2], weights_only=True))
def main():
    with processes() as rank:
        run = Run(card)
        size = len(batch) // run.world
        loss = backward(run.trainee, batch.rows(rank * size, (rank + 1) * size), run.objective, card.chunk)
        whole = lambda g: g.full_tensor() if hasattr(g, "full_tensor") else g
        grads = {n: whole(p.grad) for n, p in run.model.named_parameters() if p.grad is not None}
        losses = torch.stack([torch.zeros(()) for _ in range(run.world)])
        losses[rank] = loss
        if run.world > 1:
            torch.distributed.all_reduce(losses)
        if rank == 0:
            torch.save({"loss": losses.mean(), "grads": grads}, sys.argv[1] + ".out")
main()  # so that nothing is left of it when the interpreter ends
"""


@pytest.mark.parametrize("settings", [[], ["loss=siglip"], ["chunk=4"], ["shard=true"], ["shard=true", "chunk=4"]], ids=str)
def test_two_processes_give_the_single_ones_loss_and_gradients(card, table, tmp_path, settings):
    image, text = (f"{{{', '.join(f'{k} = {v}' for k, v in sizes.items())}}}" for sizes in (
        dict(image_size=16, patch=8, width=16, layers=1, heads=2, mlp=32, dim=8),
        dict(context=8, width=16, layers=1, heads=2, mlp=32, dim=8)))  # fmt: skip
    path = tmp_path / "run.toml"
    path.write_text(f'train = "pairs.tsv"\nbatch = 16\nthreads = 1\ndevice = "cpu"\nimage = {image}\ntext = {text}\n')
    batch: Batch = next(iter(Run(card).loader))
    torch.save(vars(batch), tmp_path / "batch.pt")
    (tmp_path / "process.py").write_text(PROCESS)
    command = [str(tmp_path / "process.py"), str(path), str(tmp_path / "batch.pt"), *settings]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    found = []
    for launch in ([sys.executable], [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]):
        subprocess.run([*launch, *command], check=True, env=environment, timeout=100, capture_output=True)
        found.append(torch.load(f"{path}.out", weights_only=True))
    one, two = found
    assert two["loss"].item() == pytest.approx(one["loss"].item(), abs=1e-6)
    assert two["grads"].keys() == one["grads"].keys()
    for name, grad in one["grads"].items():
        near = 1e-6 * max(1.0, grad.abs().max().item())  # gradients of 60, as SigLIP's bias gives, round by more than 1e-6
        assert torch.allclose(two["grads"][name], grad, atol=near), name
