"""A run config that trains in seconds, and its data: coloured squares with the names of their colours."""

from pathlib import Path

import pytest
from PIL import Image

from samespace.core.config import ImageTower, Prep, TextTower
from samespace.train.config import RunConfig, Source

COLOURS = {
    "red": (220, 30, 30), "green": (20, 160, 40), "blue": (30, 60, 220), "yellow": (240, 220, 40),
    "black": (10, 10, 10), "white": (245, 245, 245), "purple": (130, 30, 150), "orange": (250, 140, 20),
}  # fmt: skip
TINY = dict(width=16, layers=1, heads=2, mlp=32, dim=8)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Write a TSV of 40 pictures, eight colours in five shades, and return its path."""
    rows = ["filepath\ttitle"]
    for name, colour in COLOURS.items():
        for shade in range(5):
            file = f"{name} {shade}.png"
            Image.new("RGB", (24, 20), tuple(max(0, v - 6 * shade) for v in colour)).save(tmp_path / file)
            rows.append(f"{file}\t{name}")
    (tmp_path / "pairs.tsv").write_text("\n".join(rows) + "\n", "utf-8")
    return tmp_path / "pairs.tsv"


@pytest.fixture
def config(table: Path, tmp_path: Path) -> RunConfig:
    """Return a run config for a tiny space on the CPU."""
    return RunConfig(
        name="colours", out=str(tmp_path / "run"), train=(Source(str(table)),), image=ImageTower(image_size=16, patch=8, **TINY),
        text=TextTower(context=8, **TINY), prep=Prep(size=16), batch=16, steps=20, lr=3e-3, warmup=5, threads=1,
        save_every=10, evaluate_every=10, device="cpu",
    )  # fmt: skip
