"""Step 2: precompute the frozen lower backbone's features of several views of each picture.

    python recipes/starter/features.py WORK [VIEWS]

View 0 is the picture without augmentation; the others are augmented. Writes, for every picture that is not held out,
WORK/middle.npy, the middle map, fp16 (pictures, views, 112, 14, 14), WORK/colours.npy, the mean colours of 28×28 cells, uint8
(pictures, views, 28, 28, 3), and WORK/classes.npy, the backbone's class logits, fp16 (pictures, views, 1000); one view after the
other. Run again to go on after an interruption.
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
import skimage.data
import torch
from common import EFFICIENTNET, PREP, image_tower, read_pairs
from einops import rearrange
from PIL import Image

from samespace.media.image import opaque
from samespace.models.starter.hybrid_vit import HybridViT
from samespace.preprocess.pixels import normalize_pixels, square
from samespace.spaces.checkpoints.checkpoint import read_efficientnet
from samespace.spaces.checkpoints.tensors import fill
from samespace.train.augment import cutout_view

PHOTOS = ("grass.png", "gravel.png", "brick.png", "moon.png", "coins.png", "color.png")  # none of the six demo pictures
N_DRAWINGS = 30  # drawings among the backgrounds, as often as photographs
BATCH = 64
MIRROR_SENSITIVE = ("flags", "symbols")  # topics of emoji


class Frozen(torch.nn.Module):
    """Pixels → the middle map, where the second branch begins, and the pretrained backbone's class logits."""

    def __init__(self, tower: HybridViT):
        super().__init__()
        self.tower = tower

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        tower = self.tower
        middle = tower.trunk.bottom(pixels, tower.second_branch_at)
        return middle, tower.prior.classifier(tower.trunk.top(middle, tower.second_branch_at).mean(dim=(2, 3)))


def frozen_session(work: Path) -> onnxruntime.InferenceSession:
    """Return the frozen backbone in ONNX Runtime, five times as fast as eager torch."""
    tower = HybridViT(image_tower()).eval()
    weights = read_efficientnet(work / EFFICIENTNET)
    fill(tower, {k.removeprefix("image."): v for k, v in weights.items()}, partial=True)
    path, batch = work / "backbone.onnx", torch.export.Dim("batch")
    example = torch.zeros(2, 3, PREP.size, PREP.size)
    torch.onnx.export(Frozen(tower), (example,), path, dynamo=True, dynamic_shapes=({0: batch},), verbose=False)
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def is_mirror_sensitive(pair: dict) -> bool:
    """Return whether a picture means something else when mirrored: an arrow, a flag, a clock, writing."""
    return pair["topic"] in MIRROR_SENSITIVE or any({"left", "right"} & set(text.split()) for text in pair["captions"])


def load_backgrounds(files: list[Path]) -> list[Image.Image]:
    """Return backgrounds: photographs and drawings, equally many."""
    folder = Path(skimage.data.__file__).parent
    photos = [opaque(Image.open(folder / name)) for name in PHOTOS]
    drawings = [opaque(Image.open(file)) for file in files[:: len(files) // N_DRAWINGS]]
    for picture in (*photos, *drawings):
        picture.load()  # threads share them
    return photos * (len(drawings) // len(photos)) + drawings


def main(work: Path, views: int) -> None:
    pairs = read_pairs(work)
    files = [work / pair["file"] for pair in pairs]
    backgrounds = load_backgrounds([f for f, p in zip(files, pairs) if p["source"] == "openclipart" and p["split"] == "train"])
    session, progress = frozen_session(work), work / "views.done"
    done = int(progress.read_text()) if progress.exists() else 0
    mode, shape = "r+" if done else "w+", (len(files), views)
    middle = np.lib.format.open_memmap(work / "middle.npy", mode, np.float16, (*shape, 112, 14, 14))
    colours = np.lib.format.open_memmap(work / "colours.npy", mode, np.uint8, (*shape, 28, 28, 3))
    classes = np.lib.format.open_memmap(work / "classes.npy", mode, np.float16, (*shape, 1000))

    def load(job: tuple[int, int]) -> np.ndarray:
        i, v = job
        with Image.open(files[i]) as image:
            picture = image.convert("RGBA")
        if v == 0:
            return square(picture, PREP)
        return cutout_view(
            picture, np.random.default_rng([i, v]), PREP.size, backgrounds, mirror=not is_mirror_sensitive(pairs[i])
        )

    jobs = [(i, v) for v in range(views) for i in range(len(files))]
    with ThreadPoolExecutor(2) as pool:
        for start in range(done, len(jobs), BATCH):
            batch = jobs[start : start + BATCH]
            pixels, rows = np.stack(list(pool.map(load, batch))), tuple(np.array(batch).T)
            colours[rows] = rearrange(pixels, "b (h p) (w q) c -> b h w (p q) c", h=28, w=28).mean(axis=3).round()
            middle[rows], classes[rows] = session.run(None, {session.get_inputs()[0].name: normalize_pixels(pixels, PREP)})
            if start // BATCH % 50 == 0:
                progress.write_text(str(start))
                print(f"{start}/{len(jobs)}", flush=True)
    progress.write_text(str(len(jobs)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 8)
