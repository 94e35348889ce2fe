"""One patch of an image, followed through a space's image tower."""

from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from ..assistant.request import Picture
from ..core.errors import UnknownSpace
from ..explain.patch import inspect_patch
from ..explain.report import png_uri
from ..models.flex_vit import FlexViT
from ..models.vit import PatchTransformer
from ..preprocess.pixels import normalize_pixels, square
from ..spaces.checkpoints import checkpoint
from ..spaces.space import Space

_LOADING = Lock()
"""Held while a tower is loaded: lru_cache alone would load it once per thread."""


def patch_values(space: Space, picture: Picture, number: int) -> dict[str, Any]:
    """Return what the image tower computes for patch `number`, counted row by row from 0, as values that JSON can hold.

    The keys are the fields of explain.patch.PatchActivations; `picture`, as the tower reads it; and `backbone`, the CNN of a hybrid
    tower, empty for others.
    Raises UnreadableMedia, RequestError where there is no such patch.
    """
    prep = space.config.prep
    read = square(space.decode(picture.data, picture.name), prep)
    activations = inspect_patch(image_tower(space), normalize_pixels(read[None], prep), number)
    arrays = {name: np.round(value, 4).tolist() for name, value in asdict(activations).items() if name != "grid"}
    return {"grid": activations.grid, "picture": png_uri(read), "backbone": getattr(space.config.image, "backbone", "")} | arrays


def image_tower(space: Space) -> PatchTransformer:
    """Return a space's image tower in torch, loaded once."""
    with _LOADING:
        return _load_image_tower(space.folder)


@lru_cache(maxsize=4)
def _load_image_tower(folder: Path) -> PatchTransformer:
    tower = checkpoint.load(folder).model.image
    if isinstance(tower, FlexViT):
        raise UnknownSpace("a tower for pictures of any shape cannot be looked into; choose another space for this step")
    assert isinstance(tower, PatchTransformer)  # all others are
    return tower
