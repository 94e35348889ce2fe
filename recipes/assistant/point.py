"""Before `answers`: questions say where the things that they name are, and their colours, as they will when people ask.

    python recipes/assistant/point.py ASSISTANT TALKS.json …

Each file is written anew in its place. The assistant is one with a memory of names (names.py); questions that say a place
already are left as they are.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from samespace import Space, load
from samespace.assistant import checkpoint as folder
from samespace.assistant.chat import MARK
from samespace.assistant.grounding import Pointer
from samespace.models.llava import ImageFeatures, Llava
from samespace.preprocess.pixels import normalize_pixels, square

BATCH = 8


def seen(model: Llava, space: Space, files: list[Path]) -> list[ImageFeatures]:
    """What is seen in pictures but for their tokens; windows by the space's own graph, faster than by torch."""
    squares = []
    for file in files:
        with Image.open(file) as image:
            squares.append(square(image.convert("RGB"), model.c.prep))
    pixels = torch.from_numpy(normalize_pixels(np.stack(squares), model.c.prep))
    views = torch.cat([pixels[:, None], model.windows(pixels).unflatten(0, (len(files), -1))], dim=1)  # (B, 1 + G², 3, S, S)
    looked = [torch.from_numpy(space.image_tower.run(["z"], {"pixels": some.numpy()})[0]) for some in views]
    with torch.inference_mode():
        return [ImageFeatures(patches[:0], z, patches) for z, patches in zip(looked, model.projected(pixels))]


def pointed(pointer: Pointer, row: dict[str, Any], sight: ImageFeatures) -> dict[str, Any]:
    turns = [
        turn | {"value": pointer.text(turn["value"], sight)} if turn["from"] == "human" and "(" not in turn["value"] else turn
        for turn in row["conversations"]
    ]
    return row | {"conversations": turns}


def main(assistant: Path, files: list[Path]) -> None:
    model, language = folder.read(assistant)
    pointer, space = Pointer(model.memory, language.tokenizer, model.lm.embed), load(model.c.space)
    assert MARK.strip("<>") not in pointer.things, "the mark of a picture would be taken for a thing"
    for file in files:
        rows, told = json.loads(file.read_text("utf-8")), []
        for start in range(0, len(rows), BATCH):
            some = rows[start : start + BATCH]
            sights = seen(model, space, [file.parent / row["image"] for row in some])
            told += map(pointed, [pointer] * len(some), some, sights)
        file.write_text(json.dumps(told), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
