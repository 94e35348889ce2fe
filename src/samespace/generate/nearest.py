"""Which picture of the training set a drawing is nearest to: what is shown beside it, so that anyone can see whether it was copied."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .sampler import on_white

if TYPE_CHECKING:
    from PIL import Image

ATLAS, NAMES = "training.webp", "training.json"
"""Files of a generator's folder: its training pictures, TILE pixels a side, row by row on white; and what they are called."""
TILE, CELLS = 32, 16
"""Sides of a training picture, and of what is compared, in pixels."""
BLOCK = 2048
"""Pictures that are compared at a time."""


@dataclass(frozen=True)
class Nearest:
    """The training picture that is nearest to a drawing."""

    name: str
    distance: float
    """Root of the mean squared difference of 16 × 16 cells on white, 0 to 1; the picture or its mirror image."""
    picture: "Image.Image"
    """RGB, TILE pixels a side."""


class TrainingPictures:
    """What a generator was trained on."""

    def __init__(self, tiles: np.ndarray, names: list[str]):
        """tiles: uint8 (N, TILE, TILE, 3); names: what each is called."""
        self.tiles, self.names, self.cells = tiles, names, _cells(tiles)

    @staticmethod
    def read(folder: Path) -> "TrainingPictures":
        """Read a generator's folder. Raises OSError where it does not have them, ValueError where they are damaged."""
        from PIL import Image

        names: list[str] = json.loads((folder / NAMES).read_text("utf-8"))
        with Image.open(folder / ATLAS) as atlas:
            pixels = np.asarray(atlas.convert("RGB"))
        across = pixels.shape[1] // TILE
        tiles = pixels.reshape(-1, TILE, across, TILE, 3).transpose(0, 2, 1, 3, 4).reshape(-1, TILE, TILE, 3)
        return TrainingPictures(np.ascontiguousarray(tiles[: len(names)]), names)

    def nearest(self, drawings: np.ndarray) -> list[Nearest]:
        """Return the nearest training picture of each drawing: uint8 (B, S, S, 4)."""
        from PIL import Image

        shown = on_white(drawings)
        wanted = [_cells(shown).astype(np.float32), _cells(shown[:, :, ::-1]).astype(np.float32)]
        distances = np.concatenate([
            np.minimum(*(_squared_distances(sides, self.cells[i : i + BLOCK].astype(np.float32)) for sides in wanted))
            for i in range(0, len(self.cells), BLOCK)
        ], axis=1)  # fmt: skip
        best = distances.argmin(axis=1)
        scale = 255 * np.sqrt(self.cells.shape[1])
        return [
            Nearest(self.names[j], round(float(np.sqrt(max(0.0, distances[i, j])) / scale), 4), Image.fromarray(self.tiles[j]))
            for i, j in enumerate(best)
        ]


def _cells(pictures: np.ndarray) -> np.ndarray:
    """Return pictures, uint8 (B, S, S, 3), as CELLS × CELLS mean colours: uint8 (B, CELLS² · 3)."""
    step = pictures.shape[1] // CELLS
    pictures = pictures[:, : CELLS * step, : CELLS * step]
    blocks = pictures.reshape(len(pictures), CELLS, step, CELLS, step, 3)
    cells: np.ndarray = blocks.mean(axis=(2, 4)).round().astype(np.uint8).reshape(len(pictures), -1)
    return cells


def _squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the squared distances of rows: float32 (A, D), (B, D) → (A, B)."""
    squared: np.ndarray = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
    return squared


def write_atlas(pictures: list[np.ndarray], names: list[str], folder: Path, quality: int = 40) -> None:
    """Write training pictures, uint8 (S, S, 4) each, into a generator's folder."""
    from PIL import Image

    across = int(np.ceil(np.sqrt(len(pictures))))
    atlas = Image.new("RGB", (across * TILE, -(-len(pictures) // across) * TILE), "white")
    for i, picture in enumerate(pictures):
        tile = Image.fromarray(on_white(picture[None])[0]).resize((TILE, TILE), Image.Resampling.BICUBIC)
        atlas.paste(tile, (i % across * TILE, i // across * TILE))
    atlas.save(folder / ATLAS, quality=quality, method=6)
    (folder / NAMES).write_text(json.dumps(names, ensure_ascii=False), "utf-8")
