"""A run config that trains in seconds, and its data: coloured squares with the names of their colours."""

from pathlib import Path

import pytest
from coloured_pairs import write_table

from samespace.core.config import ImageTower, Prep, TextTower
from samespace.train.config import RunConfig, Source

TINY = dict(width=16, layers=1, heads=2, mlp=32, dim=8)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A TSV of 40 pictures."""
    return write_table(tmp_path)


@pytest.fixture
def config(table: Path, tmp_path: Path) -> RunConfig:
    """Return a run config for a tiny space on the CPU."""
    return RunConfig(
        name="colours", out=str(tmp_path / "run"), train=(Source(str(table)),), image=ImageTower(image_size=16, patch=8, **TINY),
        text=TextTower(context=8, **TINY), prep=Prep(size=16), batch=16, steps=20, lr=3e-3, warmup=5, threads=1,
        save_every=10, evaluate_every=10, device="cpu",
    )  # fmt: skip
