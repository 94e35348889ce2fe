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

from samespace import Space, load
from samespace.assistant import folder
from samespace.assistant.chat import MARK
from samespace.assistant.pointing import Pointer
from samespace.model.llava import Llava
from samespace.prep.pixels import normalise, square

BATCH = 8


def looked(model: Llava, space: Space, files: list[Path]) -> torch.Tensor:
    """The vectors (B, 1 + G², E) of pictures and their windows; by the space's own graph, faster than by torch."""
    squares = []
    for file in files:
        with Image.open(file) as image:
            squares.append(square(image.convert("RGB"), model.c.prep))
    pixels = torch.from_numpy(normalise(np.stack(squares), model.c.prep))
    views = torch.cat([pixels[:, None], model.windows(pixels).unflatten(0, (len(files), -1))], dim=1)  # (B, 1 + G², 3, S, S)
    rows = [space.image_tower.run(["z"], {"pixels": some.numpy()})[0] for some in views]
    return torch.from_numpy(np.stack(rows))


def pointed(pointer: Pointer, row: dict[str, Any], z: torch.Tensor) -> dict[str, Any]:
    turns = [
        turn | {"value": pointer.text(turn["value"], z)} if turn["from"] == "human" and "(" not in turn["value"] else turn
        for turn in row["conversations"]
    ]
    return row | {"conversations": turns}


def main(assistant: Path, files: list[Path]) -> None:
    model, language = folder.read(assistant)
    pointer, space = Pointer(model.memory, language.tokenizer), load(model.c.space)
    assert MARK.strip("<>") not in pointer.things, "the mark of a picture would be taken for a thing"
    for file in files:
        rows, told = json.loads(file.read_text("utf-8")), []
        for start in range(0, len(rows), BATCH):
            some = rows[start : start + BATCH]
            told += map(pointed, [pointer] * len(some), some, looked(model, space, [file.parent / row["image"] for row in some]))
        file.write_text(json.dumps(told), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
