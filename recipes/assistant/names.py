"""Between the stages, and after them: an assistant learns things by name, a vector of the space for each.

    python recipes/assistant/names.py STARTER_WORK START TARGET [half=known]

TARGET becomes START with a memory of all training drawings, shapes, and an empty ground; with `half=known` of half the drawings,
so that the other half can be asked about in training and are as strange to it as what people will show it. A thing's vector
is the mean of its pictures', and of its name's.
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
from prepare import props_of
from scenes import COLOURS, GROUNDS, SHAPES, SIDE, Thing, draw_shape, ground, standing

from samespace import Space, load
from samespace.assistant import checkpoint as folder
from samespace.assistant import registry as shelf
from samespace.assistant.language import Language
from samespace.core.errors import UnknownAssistant
from samespace.models.llava import Llava
from samespace.train.regions import BLANK

TOKENS, GLANCES = 8, 3
"""Of a name, longer ones are cut; glances along each side of a picture."""
END = "."
"""What fills up the tokens that a name leaves."""
VIEWS, BATCH = 2, 64
"""Pictures drawn of each thing; how many are embedded at once."""
NEAREST_PICTURES = 10
"""Of all that are drawn, as many tell how near a thing is to whatever is seen (Conneau et al.'s K)."""
SEEN = 0.65
"""The pictures' part in a thing's vector, beside its name's; of the values tried, validation drawings are named best by it."""

Named = tuple[str, str, Image.Image]
"""Which thing, its name, and a picture of it."""


def drawings(things: list[Thing]) -> Iterator[Named]:
    """Drawings of one name are one thing."""
    for i, thing in enumerate(things):
        for view in range(VIEWS):
            yield thing.names[0], thing.names[0], standing(np.random.default_rng([view, i]), thing)[0]


def figures() -> Iterator[Named]:
    """Shapes of every colour, and grounds with nothing on them."""
    rng = np.random.default_rng(2)
    for shape in SHAPES:
        for paint in COLOURS:
            canvas, (x, y) = ground(rng), SIDE / 2 + rng.uniform(-30, 30, 2)
            draw_shape(canvas, shape, paint, x, y, rng.uniform(36, 64))
            yield f"the shape {shape}", shape, canvas
    for colour in GROUNDS:
        yield "nothing", BLANK.strip(), Image.new("RGB", (SIDE, SIDE), colour)


def known(space: Space, pictures: Iterator[Named]) -> tuple[list[str], torch.Tensor, torch.Tensor]:
    """Of all things their names, their vectors (N, E), and how near each is to the pictures that are nearest to it (N,)."""
    vectors, names = defaultdict(list), {}
    while some := list(islice(pictures, BATCH)):
        for (thing, name, _), z in zip(some, space.image([picture for _, _, picture in some])):
            vectors[thing].append(z)
            names[thing] = name
    seen = unit(np.stack([np.mean(z, axis=0) for z in vectors.values()]))
    both = torch.from_numpy(unit(SEEN * seen + (1 - SEEN) * unit(space.text(list(names.values())))))
    shown = torch.from_numpy(np.concatenate([np.stack(z) for z in vectors.values()]))
    common = torch.cat([(some @ shown.T).topk(NEAREST_PICTURES).values.mean(dim=1) for some in both.split(BATCH)])
    return list(names.values()), both, common


def unit(z: np.ndarray) -> np.ndarray:
    return z / np.linalg.norm(z, axis=-1, keepdims=True)


def remembering(model: Llava, language: Language, names: list[str], z: torch.Tensor, common: torch.Tensor) -> Llava:
    """The same assistant with these things in its memory, and no others."""
    encode = partial(language.tokenizer.encode, add_special_tokens=False)
    ids = [encode(f" {name}").ids[:TOKENS] for name in names]
    told = folder.build(folder.labelled_config(model.c, labels=len(names), label_length=TOKENS, crop_grid=GLANCES, ocr=True))
    memory = {
        "memory.z": z,
        "memory.common": common,
        "memory.ids": torch.tensor([some + encode(END).ids * (TOKENS - len(some)) for some in ids], dtype=torch.int32),
        "memory.lengths": torch.tensor([len(some) for some in ids], dtype=torch.int32),
    }
    told.load_state_dict({n: t for n, t in model.state_dict().items() if not n.startswith("memory.")} | memory)
    return told


def main(starter: Path, start: str, target: Path, half: str) -> None:
    try:
        model, language = folder.read(shelf.find(start)) if start != shelf.STARTER else shelf.starter()
    except UnknownAssistant as error:
        raise SystemExit(str(error)) from None
    space, things = load("starter"), props_of(starter, f"train {half}").things
    names, z, common = known(space, (named for kind in (drawings(things), figures()) for named in kind))
    print(len(things), "drawings,", len(names), "things", flush=True)
    folder.write(target, remembering(model, language, names, z, common), language, int8=False, name="named")


if __name__ == "__main__":
    options = dict(option.split("=") for option in sys.argv[4:])
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), options.get("half", ""))
