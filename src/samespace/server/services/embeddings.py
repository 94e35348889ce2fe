"""/v1/embeddings: texts and images → vectors of the space."""

import base64
import threading
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from ...assistant.request import Picture
from ...core.errors import RequestError, UnknownSpace
from ...core.machine import usable_cpus
from ...preprocess.pixels import square
from ...spaces.sessions import BATCH, shortened
from ...spaces.space import Space
from .batching import Batches
from .schemas import EmbeddingRequest

MAX_INPUTS = 512
"""Inputs in one request."""
MOST_CHARACTERS = 20_000
"""Of a text that are looked at; a model reads far fewer tokens."""


class Embedding:
    """Encodes texts and images for all requests."""

    def __init__(self, space: Space):
        self.space = space
        self._texts = Batches[str](lambda texts: space.text(texts), BATCH)
        self._squares = Batches[np.ndarray](lambda squares: space.pixels(np.stack(squares)), BATCH)
        self._decoding = threading.BoundedSemaphore(usable_cpus())  # a picture may be large before it is a square

    def encode(self, items: Iterable[str | Picture]) -> list[np.ndarray]:
        """Return the vectors of texts and images, which are taken one after the other: float32 (dim,). Raises UnreadableMedia."""
        prepared = [item[:MOST_CHARACTERS] if isinstance(item, str) else self._square(item) for item in items]
        texts = iter(self._texts([item for item in prepared if isinstance(item, str)]))
        squares = iter(self._squares([item for item in prepared if not isinstance(item, str)]))
        return [next(texts if isinstance(item, str) else squares) for item in prepared]

    def _square(self, picture: Picture) -> np.ndarray:
        with self._decoding:
            return square(self.space.decode(picture.data, picture.name), self.space.config.prep)

    def answer(self, body: EmbeddingRequest, urls_allowed: bool) -> dict[str, Any]:
        """Return a response in OpenAI's shape. Raises RequestError, UnreadableMedia, and UnknownSpace where it names another model."""
        space = self.space
        if body.model not in ("", space.name, space.handle):
            raise UnknownSpace(f"the model {body.model!r} is not served here; ask for {space.handle!r}")
        if not 1 <= body.count <= MAX_INPUTS:
            raise RequestError(f"there are {body.count} inputs; send between 1 and {MAX_INPUTS}")
        if body.dimensions and body.dimensions > space.dim:
            raise RequestError(f"dimensions is {body.dimensions} and vectors here have {space.dim}; ask for no more")
        tokens = 0

        def counted() -> Iterator[str | Picture]:
            nonlocal tokens
            for item in body.read_inputs(urls_allowed):
                tokens += space.words.count(item[:MOST_CHARACTERS]) if isinstance(item, str) else 0
                yield item

        z = np.stack(self.encode(counted()))
        if body.dimensions:
            z = shortened(z, body.dimensions)
        data = [{"object": "embedding", "index": n, "embedding": to_json(v, body.encoding_format)} for n, v in enumerate(z)]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return {"object": "list", "data": data, "model": space.handle, "usage": usage}


def to_json(z: np.ndarray, encoding: str | None) -> str | list[float]:
    """Return a vector as numbers, or as base64 of little-endian float32."""
    return base64.b64encode(z.astype("<f4").tobytes()).decode() if encoding == "base64" else [float(x) for x in z]
