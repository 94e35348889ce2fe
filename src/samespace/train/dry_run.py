"""`--dry-run`: what a card would do, seen before hours are spent on it."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from .adapters import sizes
from .config import Card
from .data import Batch
from .metrics import contact_sheet
from .run import Run

SAMPLE = 4
"""Pairs whose activations are counted, to estimate a batch's."""


def report(card: Card) -> Iterator[str]:
    """Lines to print; the first batch is drawn to OUT/batch.png."""
    run = Run(card)
    batch = next(iter(run.loader))
    pixels, ids = tuple(batch.pixels.shape), tuple(batch.ids.shape)
    yield f"a batch: {len(batch)} pairs, pixels uint8 {pixels}, ids int64 {ids}, {run.config.dim}-d space"
    for name, (total, learning) in sizes(run.model).items():
        yield f"  {name:24} {total / 1e6:9.2f} M parameters, {learning / 1e6:9.2f} M learn"
    yield f"memory: about {estimate(run, batch) / 1e9:.1f} GB (weights, gradients, AdamW, activations)"
    folder = Path(card.out)
    folder.mkdir(parents=True, exist_ok=True)
    contact_sheet(batch, folder / "batch.png")
    yield f"first batch: {folder / 'batch.png'}"
    for name, reason in run.loader.bad.names.items():
        yield f"left out {name}: {reason}"


def estimate(run: Run, batch: Batch) -> int:
    """Bytes at the peak: counted for a few pairs and for twice as many, drawn out to what is in memory at a time."""
    few = max(1, min(SAMPLE, len(batch) // 2))
    once, twice = kept_for(run, batch.rows(0, few)), kept_for(run, batch.rows(0, 2 * few))
    activations = (twice - once) / few
    at_a_time = min(run.card.chunk or len(batch), len(batch))
    total, learning = (sum(v[i] for v in sizes(run.model).values()) for i in (0, 1))
    weights = 4 * (total * (2 if run.card.average else 1) + 3 * learning)
    return int(weights + activations * at_a_time + 3 * batch.pixels.nbytes)  # this batch, and the next as it comes in


def kept_for(run: Run, batch: Batch) -> int:
    """Bytes that a forward pass keeps for its backward pass."""
    kept: dict[int, int] = {}

    def keep(x: Tensor) -> Tensor:
        kept[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        out = run.trainee(batch.pixels.to(run.device), batch.ids.to(run.device))
    del out
    return sum(kept.values())
