"""Step 2: pictures -> what the frozen bottom of the trunk makes of several views of each.

    python recipes/starter/features.py WORK [VIEWS]

What is frozen gives the same answer each time, so each view passes through it once and the answer is kept: view 0 is
the picture as it will be seen when searched; the rest are augmented. Writes, for every picture that is not held out,
WORK/middle.npy, fp16 (pictures, views, 112, 14, 14), and WORK/classes.npy, fp16 (pictures, views, 1000), the whole
trunk's class logits; one view at a time, and goes on where it was stopped.
"""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
import skimage.data
import torch
from common import EFFICIENTNET, PREP, image_tower, read_pairs
from PIL import Image

from samespace.checkpoint import fill, read_efficientnet
from samespace.media.image import opaque
from samespace.model.vit import ViT
from samespace.prep.pixels import normalise, square
from samespace.train.augment import view

PHOTOS = ("grass.png", "gravel.png", "brick.png", "moon.png", "coins.png", "color.png")  # none of the six demo pictures
DRAWN = 30  # drawings among the backgrounds, as often as photographs
BATCH = 64


class Frozen(torch.nn.Module):
    """Pixels → the map where the tower forks, and the class logits of the trunk as it came."""

    def __init__(self, tower: ViT):
        super().__init__()
        self.tower = tower

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        tower = self.tower
        middle = tower.trunk.bottom(pixels, tower.fork)
        return middle, tower.prior.classifier(tower.trunk.top(middle, tower.fork).mean(dim=(2, 3)))


def frozen(work: Path) -> Frozen:
    tower = ViT(image_tower()).eval()
    weights = read_efficientnet(work / EFFICIENTNET)
    fill(tower, {k.removeprefix("image."): v for k, v in weights.items()}, partial=True)
    return Frozen(tower)


def session_of(module: torch.nn.Module, path: Path) -> onnxruntime.InferenceSession:
    """A module that reads pixels, in ONNX Runtime: five times as fast as eager torch."""
    example, batch = torch.zeros(2, 3, PREP.size, PREP.size), torch.export.Dim("batch")
    torch.onnx.export(module.eval(), (example,), path, dynamo=True, dynamic_shapes=({0: batch},), verbose=False)
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def grounds(work: Path, files: list[Path]) -> list[Image.Image]:
    """Backgrounds: photographs and drawings, evenly."""
    folder = Path(skimage.data.__file__).parent
    photos = [opaque(Image.open(folder / name)) for name in PHOTOS]
    drawings = [opaque(Image.open(file)) for file in files[:: len(files) // DRAWN]]
    for picture in (*photos, *drawings):
        picture.load()  # threads share them
    return photos * (len(drawings) // len(photos)) + drawings


def views_of(
    work: Path, pairs: list[dict], views: int, done: int = 0
) -> Iterator[tuple[int, tuple[np.ndarray, ...], np.ndarray]]:
    """Views of pictures, from number `done` on: its number, the pictures' and views' numbers, pixels (B, 3, S, S)."""
    files = [work / pair["file"] for pair in pairs]
    behind = grounds(work, [f for f, p in zip(files, pairs) if p["source"] == "openclipart" and p["split"] == "train"])

    def load(job: tuple[int, int]) -> np.ndarray:
        i, v = job
        with Image.open(files[i]) as image:
            picture = image.convert("RGBA")
        return square(picture, PREP) if v == 0 else view(picture, np.random.default_rng([i, v]), PREP.size, behind)

    jobs = [(i, v) for v in range(views) for i in range(len(files))]
    with ThreadPoolExecutor(2) as pool:
        for start in range(done, len(jobs), BATCH):
            batch = jobs[start : start + BATCH]
            yield start, tuple(np.array(batch).T), normalise(np.stack(list(pool.map(load, batch))), PREP)


def keep(work: Path, pairs: list[dict], views: int, session: onnxruntime.InferenceSession, shapes: dict[str, tuple]) -> None:
    """Write what the session makes of each view to WORK/NAME.npy, fp16 (pictures, views, …); goes on where it was stopped."""
    progress = work / f"{next(iter(shapes))}.done"
    done, total = int(progress.read_text()) if progress.exists() else 0, len(pairs) * views
    kept = [
        np.lib.format.open_memmap(work / f"{name}.npy", "r+" if done else "w+", np.float16, (len(pairs), views, *shape))
        for name, shape in shapes.items()
    ]
    for start, rows, pixels in views_of(work, pairs, views, done):
        for array, made in zip(kept, session.run(None, {session.get_inputs()[0].name: pixels})):
            array[rows] = made
        if start // BATCH % 50 == 0:
            progress.write_text(str(start))
            print(f"{start}/{total}", flush=True)
    progress.write_text(str(total))


def main(work: Path, views: int) -> None:
    keep(
        work,
        read_pairs(work),
        views,
        session_of(frozen(work), work / "trunk.onnx"),
        {"middle": (112, 14, 14), "classes": (1000,)},
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 8)
