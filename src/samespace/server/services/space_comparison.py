"""Two spaces side by side: the same pictures ranked by each for the same words."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image

from ...core.errors import UnknownSpace, UnreadableMedia
from ...core.paths import to_text
from ...library.demo import photographs
from ...library.library import Library
from ...spaces import registry
from ...spaces.space import Space
from .library_media import LibraryMedia

OPENED = 2
"""Spaces beside the library's that stay open."""
SAMPLE = 48
"""Pictures of the library that are compared."""


@dataclass(frozen=True)
class SamplePicture:
    """A picture that spaces rank."""

    url: str
    """Its address on this server."""
    name: str


@dataclass(frozen=True)
class SampleEmbeddings:
    """Some pictures, embedded by a space."""

    library_size: int
    """Segments in the library when they were embedded."""
    z: np.ndarray
    """float32 (P, dim), unit length."""
    pictures: list[SamplePicture]


@dataclass(frozen=True)
class RankedPicture:
    """A picture with its cosine to the words."""

    url: str
    name: str
    score: float


@dataclass(frozen=True)
class Ranking:
    """How a space ranks the pictures."""

    name: str
    """The space's."""
    dim: int
    hits: list[RankedPicture]
    """Best first."""


class SpaceComparison:
    """Ranks some pictures of a library, or of the demo where it has none, by several spaces."""

    def __init__(self, library: Library, media: LibraryMedia):
        self.library, self.media, self.lock = library, media, threading.Lock()
        self.embeddings: dict[str, SampleEmbeddings] = {}  # by the space's name
        self.load = lru_cache(OPENED)(registry.load)

    def rank(self, space_name: str, text: str) -> Ranking:
        """Rank the pictures by an installed space. Raises UnknownSpace, MissingExtra."""
        if space_name not in registry.SPACES.installed():
            raise UnknownSpace(f"there is no space {space_name!r} here; pull it first: samespace spaces pull {space_name}")
        with self.lock:  # the first time, pictures are decoded and embedded
            space = self.library.space if space_name == self.library.space.handle else self.load(space_name)
            sample = self.embeddings[space_name] = self._embed_sample(space, self.embeddings.get(space_name))
        scores = sample.z @ space.text([text])[0]
        hits = [
            RankedPicture(sample.pictures[i].url, sample.pictures[i].name, round(float(scores[i]), 4))
            for i in np.argsort(-scores)
        ]
        return Ranking(space_name, space.dim, hits)

    def _embed_sample(self, space: Space, previous: SampleEmbeddings | None) -> SampleEmbeddings:
        """Embed the pictures; return the previous vectors where the library is as large as it was. Raises MissingExtra."""
        size = self.library.store.count() if self.library.store.exists else 0
        if previous and previous.library_size == size:
            return previous
        pictures: list[SamplePicture] = []

        def images() -> Iterator[Image.Image]:  # one at a time: each may be large
            for picture, image in self._sample():
                pictures.append(picture)
                yield image

        return SampleEmbeddings(size, space.image(images()), pictures)

    def _sample(self) -> Iterator[tuple[SamplePicture, Image.Image]]:
        """Yield the pictures. Raises MissingExtra."""
        store, is_empty = self.library.store, True
        for segment in store.some_images(SAMPLE) if store.exists else []:
            with contextlib.suppress(UnreadableMedia):  # removed since it was indexed
                image, is_empty = self.media.open(segment), False
                yield SamplePicture(f"/pictures/{segment.id}/small", to_text(segment.path)), image
        for path in photographs() if is_empty else ():
            yield SamplePicture(f"/app/lesson/photographs/{path.name}", path.stem), Image.open(path)
