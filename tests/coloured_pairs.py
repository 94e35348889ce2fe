"""Training pairs that tests make themselves: coloured squares with the names of their colours."""

from pathlib import Path

from PIL import Image

COLOURS = {
    "red": (220, 30, 30), "green": (20, 160, 40), "blue": (30, 60, 220), "yellow": (240, 220, 40),
    "black": (10, 10, 10), "white": (245, 245, 245), "purple": (130, 30, 150), "orange": (250, 140, 20),
}  # fmt: skip


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
