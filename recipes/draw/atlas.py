"""The pictures that a generator was trained on, small, into its folder: what is shown as the nearest to a drawing.

    python recipes/draw/atlas.py WORK GENERATOR

Mirrored ones are left out: a drawing is compared with both sides.
"""

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from samespace.generate.nearest import TILE, write_atlas
from samespace.train.augment import cutout


def main(folder: Path, generator: Path) -> None:
    pictures: list[np.ndarray] = []
    names: list[str] = []
    for line in (folder / "train.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        if "-mirrored" not in row["filepath"]:
            with Image.open(folder / row["filepath"]) as picture:
                pictures.append(cutout(picture, TILE))
            names.append(row["captions"][0])
    write_atlas(pictures, names, generator)
    print(f"{len(pictures)} pictures in {generator}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) / "draw", Path(sys.argv[2]))
