"""In addition to step 5: evaluate whether the heat map of a phrase peaks where the thing is.

    python recipes/starter/heatmaps.py WORK [COUNT]

Two held-out drawings with different captions are pasted on a white canvas, and a heat map is made for each caption. Prints the share
of maps that peak in the box of the right drawing, for stamps and for the held-out emoji design; the mean share of the canvas that a
box covers (chance); and the same with vectors of texts rotated at random.
"""

import json
import sys
from pathlib import Path

import numpy as np
from common import read_lines
from PIL import Image

import samespace
from samespace.explain.heatmap import GRID, embed_windows, phrase_directions
from samespace.media.image import opaque

CANVAS, BOX = 448, (130, 210)
"""Side of the canvas, and range of a drawing's longer side, in pixels."""


def draw_pair(rng: np.random.Generator, files: list[Path]) -> tuple[Image.Image, list[tuple[int, int, int, int]]]:
    """Return a canvas with each drawing in its own half, and their boxes: left, top, right, bottom."""
    canvas, boxes = Image.new("RGB", (CANVAS, CANVAS), "white"), []
    upright, order = rng.random() < 0.5, rng.permutation(2)
    for half, file in zip(order, files):
        side = int(rng.integers(*BOX))
        with Image.open(file) as drawing:
            drawing = opaque(drawing.convert("RGBA"), 255)
        scale = side / max(drawing.size)
        drawing = drawing.resize(tuple(max(1, round(n * scale)) for n in drawing.size), Image.Resampling.LANCZOS)
        room = (CANVAS // 2 - drawing.width, CANVAS - drawing.height)
        x, y = int(half) * CANVAS // 2 + int(rng.integers(0, max(1, room[0]))), int(rng.integers(0, max(1, room[1])))
        x, y = (x, y) if upright else (min(y, CANVAS - drawing.width), min(x, CANVAS - drawing.height))
        canvas.paste(drawing, (x, y))
        boxes.append((x, y, x + drawing.width, y + drawing.height))
    return canvas, boxes


def peaks_inside(heatmap: np.ndarray, box: tuple[int, int, int, int]) -> bool:
    """Return whether a heat map's maximum is in a box."""
    row, column = np.unravel_index(heatmap.argmax(), heatmap.shape)
    x, y = (column + 0.5) * CANVAS / GRID, (row + 0.5) * CANVAS / GRID
    return box[0] <= x <= box[2] and box[1] <= y <= box[3]


def measure(space: samespace.Space, work: Path, pairs: list[dict], count: int) -> dict[str, float]:
    """Return the share of peaks in the right box, the same for rotated texts, and the share of the canvas that a box covers."""
    rng, hits, rotated_hits, shares = np.random.default_rng(7), [], [], []
    rotation = np.linalg.qr(rng.normal(size=(space.dim, space.dim)))[0].astype(np.float32)
    while len(hits) < 2 * count:
        two = [pairs[i] for i in rng.choice(len(pairs), 2, replace=False)]
        names = [pair["captions"][0] for pair in two]
        if names[0] == names[1]:
            continue
        canvas, boxes = draw_pair(rng, [work / pair["file"] for pair in two])
        windows, z = embed_windows(space, canvas), [phrase_directions(space, name)[0] for name in names]
        hits += [peaks_inside(windows.heatmap(z[i]), boxes[i]) for i in range(2)]
        rotated_hits += [peaks_inside(windows.heatmap(rotation @ z[i]), boxes[i]) for i in range(2)]
        shares += [(box[2] - box[0]) * (box[3] - box[1]) / CANVAS**2 for box in boxes]
    return {
        "peak in the box": round(np.mean(hits), 3),
        "rotated": round(np.mean(rotated_hits), 3),
        "box": round(np.mean(shares), 3),
    }


def main(work: Path, count: int) -> None:
    space, pairs = samespace.load("starter"), read_lines(work / "pairs.jsonl")
    for split in ("stamps", "google"):
        print(split, json.dumps(measure(space, work, [p for p in pairs if p["split"] == split], count)), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 150)
