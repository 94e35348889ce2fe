"""Training pairs that tests make themselves: coloured squares with the names of their colours; and a run that trains on them."""

from pathlib import Path

from PIL import Image

from samespace.core.config import ImageTower, Prep, TextTower
from samespace.train.config import RunConfig, Source

COLOURS = {
    "red": (220, 30, 30), "green": (20, 160, 40), "blue": (30, 60, 220), "yellow": (240, 220, 40),
    "black": (10, 10, 10), "white": (245, 245, 245), "purple": (130, 30, 150), "orange": (250, 140, 20),
}  # fmt: skip
TINY = dict(width=16, layers=1, heads=2, mlp=32, dim=8)


def write_table(folder: Path) -> Path:
    """Write a TSV of 40 pictures, eight colours in five shades, and return its path."""
    rows = ["filepath\ttitle"]
    for name, colour in COLOURS.items():
        for shade in range(5):
            file = f"{name} {shade}.png"
            Image.new("RGB", (24, 20), tuple(max(0, v - 6 * shade) for v in colour)).save(folder / file)
            rows.append(f"{file}\t{name}")
    (folder / "pairs.tsv").write_text("\n".join(rows) + "\n", "utf-8")
    return folder / "pairs.tsv"


def tiny_run(table: Path, out: Path) -> RunConfig:
    """Return a run config for a tiny space on the CPU, which trains in seconds."""
    return RunConfig(
        name="colours", out=str(out), train=(Source(str(table)),), image=ImageTower(image_size=16, patch=8, **TINY),
        text=TextTower(context=8, **TINY), prep=Prep(size=16), batch=16, steps=20, lr=3e-3, warmup=5, threads=1,
        save_every=10, evaluate_every=10, device="cpu",
    )  # fmt: skip
