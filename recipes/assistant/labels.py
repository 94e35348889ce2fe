"""Between the two stages, and after them: give an assistant a bank of labels, each with one vector of the space.

    python recipes/assistant/labels.py STARTER_WORK START TARGET [half=first]

TARGET is START with labels for all training drawings, for shapes, and for an empty background; with `half=first` for half of the
drawings, so that the other half, which training asks about, is as unfamiliar to the bank as users' pictures will be. A label's
vector is a weighted mean of its pictures' vectors and of its name's.
"""

import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from prepare import read_props
from scenes import BACKGROUNDS, COLOURS, SHAPES, SIDE, Thing, draw_shape, draw_single, random_background

from samespace import Space, load
from samespace.assistant import checkpoint, registry
from samespace.assistant.language import Language
from samespace.core.errors import UnknownAssistant
from samespace.models.llava import Llava
from samespace.train.regions import BLANK

LABEL_LENGTH, CROP_GRID = 8, 3
"""Tokens of a label, longer names are cut; crops along each side of a picture."""
PADDING = "."
"""Pads the tokens of a label."""
VIEWS, BATCH = 2, 64
"""Pictures drawn of each thing; pictures embedded at once."""
CSLS_NEIGHBOURS = 10
"""Pictures whose mean cosine measures how near a label is to everything (K of Conneau et al.)."""
PICTURE_WEIGHT = 0.65
"""Weight of the pictures in a label's vector, beside its name's; the best of those tried on validation drawings."""

Labelled = tuple[str, str, Image.Image]
"""Key of a label, its name, and a picture of it."""


def drawings(things: list[Thing]) -> Iterator[Labelled]:
    """Yield views of drawings; drawings of one name share a label."""
    for i, thing in enumerate(things):
        for view in range(VIEWS):
            yield thing.names[0], thing.names[0], draw_single(np.random.default_rng([view, i]), thing)[0]


def shapes_and_backgrounds() -> Iterator[Labelled]:
    """Yield shapes of every colour, and backgrounds with nothing on them."""
    rng = np.random.default_rng(2)
    for shape in SHAPES:
        for colour in COLOURS:
            canvas, (x, y) = random_background(rng), SIDE / 2 + rng.uniform(-30, 30, 2)
            draw_shape(canvas, shape, colour, x, y, rng.uniform(36, 64))
            yield f"the shape {shape}", shape, canvas
    for colour in BACKGROUNDS:
        yield "nothing", BLANK.strip(), Image.new("RGB", (SIDE, SIDE), colour)


def build_labels(space: Space, pictures: Iterator[Labelled]) -> tuple[list[str], torch.Tensor, torch.Tensor]:
    """Return the names of all labels, their vectors (N, E), and the mean cosine of each to its nearest pictures (N,)."""
    vectors, names = defaultdict(list), {}
    while batch := list(islice(pictures, BATCH)):
        for (key, name, _), z in zip(batch, space.image([picture for _, _, picture in batch])):
            vectors[key].append(z)
            names[key] = name
    z_pictures = unit(np.stack([np.mean(z, axis=0) for z in vectors.values()]))
    z_names = unit(space.text(list(names.values())))
    z_labels = torch.from_numpy(unit(PICTURE_WEIGHT * z_pictures + (1 - PICTURE_WEIGHT) * z_names))
    all_pictures = torch.from_numpy(np.concatenate([np.stack(z) for z in vectors.values()]))
    common = [(z @ all_pictures.T).topk(CSLS_NEIGHBOURS).values.mean(dim=1) for z in z_labels.split(BATCH)]
    return list(names.values()), z_labels, torch.cat(common)


def unit(z: np.ndarray) -> np.ndarray:
    """Scale vectors (N, E) to unit length."""
    return z / np.linalg.norm(z, axis=-1, keepdims=True)


def with_labels(model: Llava, language: Language, names: list[str], z: torch.Tensor, common: torch.Tensor) -> Llava:
    """Return the same assistant with a bank of these labels."""
    encode = partial(language.tokenizer.encode, add_special_tokens=False)
    ids = [encode(f" {name}").ids[:LABEL_LENGTH] for name in names]
    padding = encode(PADDING).ids
    changes = dict(labels=len(names), label_length=LABEL_LENGTH, crop_grid=CROP_GRID, ocr=True)
    labelled = checkpoint.build(checkpoint.labelled_config(model.c, **changes))
    bank = {
        "memory.z": z,
        "memory.common": common,
        "memory.ids": torch.tensor([row + padding * (LABEL_LENGTH - len(row)) for row in ids], dtype=torch.int32),
        "memory.lengths": torch.tensor([len(row) for row in ids], dtype=torch.int32),
    }
    labelled.load_state_dict({n: t for n, t in model.state_dict().items() if not n.startswith("memory.")} | bank)
    return labelled


def main(starter: Path, start: str, target: Path, half: str) -> None:
    try:
        model, language = registry.load_starter() if start == registry.STARTER else checkpoint.read(registry.find(start))
    except UnknownAssistant as error:
        raise SystemExit(str(error)) from None
    space, things = load("starter"), read_props(starter, f"train {half}").things
    pictures = (picture for source in (drawings(things), shapes_and_backgrounds()) for picture in source)
    names, z, common = build_labels(space, pictures)
    print(len(things), "drawings,", len(names), "labels", flush=True)
    checkpoint.write(target, with_labels(model, language, names, z, common), language, precision="fp16", name="labelled")


if __name__ == "__main__":
    options = dict(option.split("=") for option in sys.argv[4:])
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), options.get("half", ""))
