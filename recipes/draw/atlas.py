"""The pictures that a generator was trained on, small, into its folder: what is shown as the nearest to a drawing.

    python recipes/draw/atlas.py WORK GENERATOR [free]

Mirrored ones are left out: a drawing is compared with both sides. `free`: for a folder that is given away, only what may be given on, in its
own colours.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from samespace.generate.nearest import TILE, write_atlas
from samespace.train.augment import cutout

FREE = ("twitter", "fluent", "openmoji", "openclipart")
"""CC BY 4.0, MIT, CC BY-SA 4.0, public domain."""


def rows_of(folder: Path, only_free: bool) -> Iterator[dict[str, Any]]:
    """Yield the training pictures that are shown."""
    for line in (folder / "train.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        changed = row["filepath"].partition(".")[0].partition("-")[2]  # mirrored, or a colour
        if "-mirrored" not in row["filepath"] and not (only_free and (changed or row["source"] not in FREE)):
            yield row


def main(folder: Path, generator: Path, only_free: bool) -> None:
    pictures: list[np.ndarray] = []
    names: list[str] = []
    for row in rows_of(folder, only_free):
        with Image.open(folder / row["filepath"]) as picture:
            pictures.append(cutout(picture, TILE))
        names.append(row["captions"][0])
    write_atlas(pictures, names, generator)
    print(f"{len(pictures)} pictures in {generator}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) / "draw", Path(sys.argv[2]), sys.argv[3:] == ["free"])
