"""Two spaces side by side: the same pictures ranked by each for the same words."""

import threading
from functools import cache
from typing import Any

import numpy as np
from fastapi import FastAPI
from PIL import Image

from .. import hub
from ..demo import photographs
from ..errors import UnreadableMedia
from ..index.paths import to_text
from ..library import Library
from ..space import Space
from .files import Pictures
from .shapes import CompareRequest

SOME = 48
"""Pictures of the library that are compared."""


class Comparing:
    """Some pictures of a library, or the demo's where it has none, as several spaces see them."""

    def __init__(self, library: Library):
        self.library, self.pictures, self.one = library, Pictures(library), threading.Lock()
        self.seen: dict[tuple[str, int], tuple[list[dict[str, str]], np.ndarray]] = {}  # by space and size of the library
        self.space = cache(hub.load)

    def ranked(self, name: str, words: str) -> dict[str, Any]:
        """The pictures, best first, with their cosines. Raises UnknownSpace."""
        with self.one:  # the first time, pictures are decoded and embedded
            space: Space = self.space(name)
            key = name, self.library.store.count() if self.library.store.exists else 0
            if key not in self.seen:
                shown, images = zip(*self.some())
                self.seen[key] = list(shown), space.image(list(images))
        shown, z = self.seen[key]
        scores = z @ space.text([words])[0]
        hits = [shown[i] | {"score": round(float(scores[i]), 4)} for i in np.argsort(-scores)]
        return {"name": name, "dim": space.dim, "hits": hits}

    def some(self) -> list[tuple[dict[str, str], Image.Image]]:
        """Where each is shown, and the picture. Raises MissingExtra."""
        store, found = self.library.store, []
        for segment in store.pictures(SOME) if store.exists else []:
            try:
                shown = {"url": f"/pictures/{segment['id']}/small", "name": to_text(segment["path"])}
                found.append((shown, self.pictures.open(segment)))
            except UnreadableMedia:
                continue  # it has gone since
        return found or [({"url": f"/app/lesson/photographs/{p.name}", "name": p.stem}, Image.open(p)) for p in photographs()]


def add_comparison(app: FastAPI, library: Library) -> None:
    """The route of the page of spaces."""
    comparing = Comparing(library)

    @app.post("/app/compare")
    def compare(said: CompareRequest) -> dict[str, Any]:
        return {"spaces": [comparing.ranked(name, said.query) for name in said.spaces]}
