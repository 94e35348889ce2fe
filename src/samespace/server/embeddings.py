"""/v1/embeddings: texts and pictures → vectors of the space."""

import base64
import threading
from typing import Any

import numpy as np

from ..assistant.request import Picture
from ..core.errors import RequestError
from ..spaces.space import Space
from .schemas import EmbeddingRequest

MOST = 512
"""Inputs in one request."""


ONE = threading.Lock()
"""Pictures are decoded one at a time: each may be large."""


def embeddings(said: EmbeddingRequest, space: Space, urls_allowed: bool) -> dict[str, Any]:
    """Raises RequestError, UnreadableMedia."""
    if not 1 <= (count := len(said.given)) <= MOST:
        raise RequestError(f"there are {count} inputs; send between 1 and {MOST}")
    if said.dimensions and said.dimensions > space.dim:
        raise RequestError(f"dimensions is {said.dimensions} and vectors here have {space.dim}; ask for no more")
    vectors, words = [], 0
    for item in said.items(urls_allowed):
        vectors.append(vector(item, space))
        words += space.words.count(item) if isinstance(item, str) else 0
    z = np.stack(vectors)
    if said.dimensions:
        z = z[:, : said.dimensions]
        z = z / np.linalg.norm(z, axis=1, keepdims=True).clip(min=1e-12)
    data = [{"object": "embedding", "index": n, "embedding": written(v, said.encoding_format)} for n, v in enumerate(z)]
    return {"object": "list", "data": data, "model": said.model, "usage": {"prompt_tokens": words, "total_tokens": words}}


def vector(item: str | Picture, space: Space) -> np.ndarray:
    """A text's or picture's vector, (dim,). Raises UnreadableMedia."""
    with ONE:
        return space.text([item])[0] if isinstance(item, str) else space.image([space.decode(item.data, item.name)])[0]


def written(z: np.ndarray, encoding: str) -> str | list[float]:
    """A vector as numbers, or as base64 of little-endian float32."""
    return base64.b64encode(z.astype("<f4").tobytes()).decode() if encoding == "base64" else [float(x) for x in z]
