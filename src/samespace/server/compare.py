"""Two spaces side by side: the same pictures ranked by each for the same words."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from fastapi import FastAPI
from PIL import Image

from ..core.errors import UnknownSpace, UnreadableMedia
from ..core.paths import to_text
from ..library.demo import photographs
from ..library.library import Library
from ..spaces import hub
from ..spaces.space import Space
from .files import Pictures
from .schemas import CompareRequest

SOME = 48
"""Pictures of the library that are compared."""


@dataclass(frozen=True)
class Seen:
    """Some pictures as a space sees them."""

    size: int
    """Segments in the library when they were looked at."""
    z: np.ndarray
    """float32 (P, dim)"""
    shown: list[dict[str, str]]
    """The address and name of each."""


class Comparing:
    """Some pictures of a library, or the demo's where it has none, as several spaces see them."""

    def __init__(self, library: Library):
        self.library, self.pictures, self.one = library, Pictures(library), threading.Lock()
        self.seen: dict[str, Seen] = {}  # by the space's name
        self.space = cache(hub.load)

    def ranked(self, name: str, words: str) -> dict[str, Any]:
        """The pictures, best first, with their cosines. Raises UnknownSpace where it is not installed."""
        if name not in hub.installed():
            raise UnknownSpace(f"there is no space {name!r} here; pull it first: samespace spaces pull {name}")
        with self.one:  # the first time, pictures are decoded and embedded
            space: Space = self.space(name)
            seen = self.seen[name] = self.look(space, self.seen.get(name))
        scores = seen.z @ space.text([words])[0]
        hits = [seen.shown[i] | {"score": round(float(scores[i]), 4)} for i in np.argsort(-scores)]
        return {"name": name, "dim": space.dim, "hits": hits}

    def look(self, space: Space, before: Seen | None) -> Seen:
        """What a space sees now; the same as before where the library is as large as it was. Raises MissingExtra."""
        size, shown = self.library.store.count() if self.library.store.exists else 0, []

        def pictures() -> Iterator[Image.Image]:  # one at a time: each may be large
            for where, picture in self.some():
                shown.append(where)
                yield picture

        return before if before and before.size == size else Seen(size, space.image(pictures()), shown)

    def some(self) -> Iterator[tuple[dict[str, str], Image.Image]]:
        """Where each is shown, and the picture. Raises MissingExtra."""
        store, none = self.library.store, True
        for segment in store.pictures(SOME) if store.exists else []:
            with contextlib.suppress(UnreadableMedia):  # it has gone since
                picture, none = self.pictures.open(segment), False
                yield {"url": f"/pictures/{segment['id']}/small", "name": to_text(segment["path"])}, picture
        for path in photographs() if none else ():
            yield {"url": f"/app/lesson/photographs/{path.name}", "name": path.stem}, Image.open(path)


def add_comparison(app: FastAPI, library: Library) -> None:
    """The route of the page of spaces."""
    comparing = Comparing(library)

    @app.post("/app/compare")
    def compare(said: CompareRequest) -> dict[str, Any]:
        return {"spaces": [comparing.ranked(name, said.query) for name in said.spaces]}
