"""Gradients of the whole batch: from chunks (GradCache), accumulated, and from several processes."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from coloured_pairs import TINY, tiny_run, write_table

from samespace.train.config import RunConfig
from samespace.train.contrastive import backward
from samespace.train.data import Batch
from samespace.train.space_run import SpaceRun


def gradients(config: RunConfig, chunk: int = 0, weight: float = 1.0) -> tuple[float, dict[str, torch.Tensor]]:
    run = SpaceRun(config)
    batch = next(iter(run.loader))
    loss = backward(run.training_model, batch, run.objective, chunk, weight)
    return loss.item(), {n: p.grad for n, p in run.model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("loss", ["clip", "siglip"])
@pytest.mark.parametrize("lock", [(), ("image",)], ids=["both", "LiT"])
def test_chunks_give_the_gradients_of_the_whole_batch(config, loss, lock):
    config = replace(config, loss=loss, lock=lock)
    loss_of_batch, want = gradients(config)
    for chunk in (4, 5):  # 5 leaves a last chunk of one
        loss_of_chunks, got = gradients(config, chunk)
        assert loss_of_chunks == pytest.approx(loss_of_batch, abs=1e-6)
        assert got.keys() == want.keys() and ("image.patch_embed.weight" in got) == (not lock)
        for name in want:
            assert torch.allclose(got[name], want[name], atol=1e-6), name


def test_gradient_checkpointing_changes_no_gradient(config):
    _, want = gradients(config)
    _, got = gradients(replace(config, gradient_checkpointing=True))
    assert all(torch.allclose(got[name], want[name], atol=1e-7) for name in want)


def test_half_the_weight_gives_half_the_gradient(config):
    _, full = gradients(config)
    _, half = gradients(config, weight=0.5)
    assert all(torch.allclose(2 * half[name], full[name], atol=1e-6) for name in full)


def test_a_teacher_adds_to_the_loss(config):
    """With the starter as teacher, the distillation loss is added."""
    plain, _ = gradients(config)
    distilled, _ = gradients(replace(config, teacher="starter", teacher_weight=0.5))
    assert distilled > plain + 0.01


SETTINGS = ([], ["loss=siglip"], ["grad_cache_chunk=4"], ["fsdp=true"], ["fsdp=true", "grad_cache_chunk=4"])
PROCESS = f"""
import sys, torch
from dataclasses import replace
from pathlib import Path
from samespace.train.config import read_config
from samespace.train.contrastive import backward
from samespace.train.data import Batch
from samespace.train.distributed import mean_count, process_group, world_size
from samespace.train.space_run import SpaceRun
def results(settings):
    config = read_config(Path(sys.argv[1]), settings)
    batch = Batch(**torch.load(sys.argv[2], weights_only=True))
    run = SpaceRun(config)
    size = len(batch) // run.world
    loss = backward(run.training_model, batch.rows(run.rank * size, (run.rank + 1) * size), run.objective, config.grad_cache_chunk)
    unsharded = lambda g: g.full_tensor() if hasattr(g, "full_tensor") else g
    grads = {{n: unsharded(p.grad) for n, p in run.model.named_parameters() if p.grad is not None}}
    losses = torch.stack([torch.zeros(()) for _ in range(run.world)])
    losses[run.rank] = loss
    if run.world > 1:
        torch.distributed.all_reduce(losses)
    return {{"loss": losses.mean(), "grads": grads}}
def main():
    with process_group() as rank:
        assert mean_count(rank + 1) == (1.5 if world_size() > 1 else 1)
        found = [results(settings) for settings in {SETTINGS}]
        if rank == 0:
            torch.save(found, sys.argv[1] + ".out")
main()  # a function, so that no tensor outlives the process group
"""


@pytest.fixture(scope="module")
def of_one_and_two(tmp_path_factory) -> list[list[dict]]:
    """Loss and gradients with each of SETTINGS: of one process, and of two."""
    folder = tmp_path_factory.mktemp("processes")
    config = tiny_run(write_table(folder), folder / "run")
    image, text = (f"{{{', '.join(f'{k} = {v}' for k, v in sizes.items())}}}" for sizes in (
        dict(image_size=16, patch=8, **TINY), dict(context=8, **TINY)))  # fmt: skip
    path = folder / "run.toml"
    path.write_text(f'train = "pairs.tsv"\nbatch = 16\nthreads = 1\ndevice = "cpu"\nimage = {image}\ntext = {text}\n')
    batch: Batch = next(iter(SpaceRun(config).loader))
    torch.save(vars(batch), folder / "batch.pt")
    (folder / "process.py").write_text(PROCESS)
    command = [str(folder / "process.py"), str(path), str(folder / "batch.pt")]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    results = []
    for launch in ([sys.executable], [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]):
        subprocess.run([*launch, *command], check=True, env=environment, timeout=100, capture_output=True)
        results.append(torch.load(f"{path}.out", weights_only=True))
    return results


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_two_processes_give_the_loss_and_gradients_of_one(of_one_and_two, settings):
    one, two = (results[SETTINGS.index(settings)] for results in of_one_and_two)
    # A relative tolerance too: SigLIP's loss begins at 23, where float32 has steps of 2e-6.
    assert two["loss"].item() == pytest.approx(one["loss"].item(), rel=1e-6, abs=1e-6)
    assert two["grads"].keys() == one["grads"].keys()
    for name, grad in one["grads"].items():
        tolerance = 1e-6 * max(1.0, grad.abs().max().item())  # gradients of 60, as SigLIP's bias gives, round by more than 1e-6
        assert torch.allclose(two["grads"][name], grad, atol=tolerance), name
