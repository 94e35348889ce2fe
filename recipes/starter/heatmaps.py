"""Beside step 5: whether the map of a phrase is warmest where the thing is.

    python recipes/starter/heatmaps.py WORK [COUNT]

Two held-out drawings, of different captions, stand in known places on a white canvas; each is asked for by its caption. Prints
the share of maps whose peak lies in the named drawing's box, for stamps and for the held-out emoji design; the share of canvas
that a box takes (what a peak anywhere would get); and the same with a text tower whose directions are shuffled.
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
"""Pixels of the canvas, and of a drawing's longer side from the smallest to the largest."""


def placed(rng: np.random.Generator, files: list[Path]) -> tuple[Image.Image, list[tuple[int, int, int, int]]]:
    """A canvas with each drawing in its own half, and their boxes: left, top, right, bottom."""
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


def inside(map: np.ndarray, box: tuple[int, int, int, int]) -> bool:
    row, column = np.unravel_index(map.argmax(), map.shape)
    x, y = (column + 0.5) * CANVAS / GRID, (row + 0.5) * CANVAS / GRID
    return box[0] <= x <= box[2] and box[1] <= y <= box[3]


def measured(space: samespace.Space, work: Path, pairs: list[dict], count: int) -> dict[str, float]:
    rng, hits, mixed, shares = np.random.default_rng(7), [], [], []
    turned = np.linalg.qr(rng.normal(size=(space.dim, space.dim)))[0].astype(np.float32)
    while len(hits) < 2 * count:
        two = [pairs[i] for i in rng.choice(len(pairs), 2, replace=False)]
        names = [pair["captions"][0] for pair in two]
        if names[0] == names[1]:
            continue
        canvas, boxes = placed(rng, [work / pair["file"] for pair in two])
        looked, z = embed_windows(space, canvas), [phrase_directions(space, name)[0] for name in names]
        hits += [inside(looked.heatmap(z[i]), boxes[i]) for i in range(2)]
        mixed += [inside(looked.heatmap(turned @ z[i]), boxes[i]) for i in range(2)]
        shares += [(box[2] - box[0]) * (box[3] - box[1]) / CANVAS**2 for box in boxes]
    return {"peak in the box": round(np.mean(hits), 3), "shuffled": round(np.mean(mixed), 3), "box": round(np.mean(shares), 3)}


def main(work: Path, count: int) -> None:
    space, pairs = samespace.load("starter"), read_lines(work / "pairs.jsonl")
    for split in ("stamps", "google"):
        print(split, json.dumps(measured(space, work, [p for p in pairs if p["split"] == split], count)), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 150)
