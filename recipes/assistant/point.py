"""Before `answers`: questions say where the things that they name are, as they will when people ask.

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

from samespace.assistant import folder
from samespace.assistant.chat import MARK
from samespace.assistant.pointing import Pointer
from samespace.prep.pixels import normalise, square

BATCH = 8


def looked(model, files: list[Path]) -> torch.Tensor:
    """The vectors (B, 1 + G², E) of pictures and their windows."""
    squares = []
    for file in files:
        with Image.open(file) as image:
            squares.append(square(image.convert("RGB"), model.c.prep))
    with torch.inference_mode():
        pixels = torch.from_numpy(normalise(np.stack(squares), model.c.prep))
        return model.looked(pixels, model.image(pixels))


def pointed(pointer: Pointer, row: dict[str, Any], z: torch.Tensor) -> dict[str, Any]:
    turns = [
        turn | {"value": pointer.text(turn["value"], z)} if turn["from"] == "human" and "(" not in turn["value"] else turn
        for turn in row["conversations"]
    ]
    return row | {"conversations": turns}


def main(assistant: Path, files: list[Path]) -> None:
    model, language = folder.read(assistant)
    pointer = Pointer(model.memory, language.tokenizer)
    assert MARK.strip("<>") not in pointer.things, "the mark of a picture would be taken for a thing"
    for file in files:
        rows, told = json.loads(file.read_text("utf-8")), []
        for start in range(0, len(rows), BATCH):
            some = rows[start : start + BATCH]
            told += map(pointed, [pointer] * len(some), some, looked(model, [file.parent / row["image"] for row in some]))
        file.write_text(json.dumps(told), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
