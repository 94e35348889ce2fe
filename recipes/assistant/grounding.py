"""Before `answers`: add to the questions where the things they name are, and their colours, as in inference.

    python recipes/assistant/grounding.py ASSISTANT CONVERSATIONS.json …

Each file is rewritten in place. The assistant is one with labels (labels.py). Questions with a bracket are left as they are: they
say a position already.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from PIL import Image

from samespace.assistant import checkpoint
from samespace.assistant.chat import MARK
from samespace.assistant.grounding import GroundingAugmenter
from samespace.models.llava import ImageFeatures
from samespace.models.starter.labelled_llava import LabelledLlava
from samespace.preprocess.pixels import normalize_pixels, square
from samespace.spaces import registry

BATCH = 8


def image_features(model: LabelledLlava, image_tower: onnxruntime.InferenceSession, files: list[Path]) -> list[ImageFeatures]:
    """Return the features of pictures, without tokens. The space's ONNX graph computes the vectors: it is faster than torch."""
    squares = []
    for file in files:
        with Image.open(file) as image:
            squares.append(square(image.convert("RGB"), model.c.prep))
    pixels = torch.from_numpy(normalize_pixels(np.stack(squares), model.c.prep))
    views = torch.cat([pixels[:, None], model.crops(pixels).unflatten(0, (len(files), -1))], dim=1)  # (B, 1 + G², 3, S, S)
    vectors = [torch.from_numpy(image_tower.run(["z"], {"pixels": of_picture.numpy()})[0]) for of_picture in views]
    with torch.inference_mode():
        return [ImageFeatures(patches[:0], patches, z) for z, patches in zip(vectors, model.projected(pixels))]


def ground(augmenter: GroundingAugmenter, row: dict[str, Any], image: ImageFeatures) -> dict[str, Any]:
    """Return an entry of LLaVA's JSON with positions and colours in its questions."""
    turns = [
        turn | {"value": augmenter.grounded(turn["value"], image)}
        if turn["from"] == "human" and "(" not in turn["value"]
        else turn
        for turn in row["conversations"]
    ]
    return row | {"conversations": turns}


def main(assistant: Path, files: list[Path]) -> None:
    model, language = checkpoint.read(assistant)
    augmenter = GroundingAugmenter(model.memory, language.tokenizer, model.lm.embed)
    graph = registry.find(model.c.space) / "image.onnx"
    image_tower = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    assert MARK.strip("<>") not in augmenter.things, "the placeholder of a picture would be taken for a thing"
    for file in files:
        rows, grounded = json.loads(file.read_text("utf-8")), []
        for start in range(0, len(rows), BATCH):
            batch = rows[start : start + BATCH]
            images = image_features(model, image_tower, [file.parent / row["image"] for row in batch])
            grounded += [ground(augmenter, row, image) for row, image in zip(batch, images)]
        file.write_text(json.dumps(grounded), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
