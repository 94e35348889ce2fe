"""/v1/embeddings: texts and pictures → vectors of the space."""

import base64
from typing import Any

import numpy as np

from ..assistant.request import Picture
from ..errors import RequestError
from ..space import Space
from .shapes import EmbeddingRequest

MOST = 512
"""Inputs in one request."""


def embeddings(said: EmbeddingRequest, space: Space, urls_allowed: bool) -> dict[str, Any]:
    """Raises RequestError, UnreadableMedia."""
    items = said.items(urls_allowed)
    if not 1 <= len(items) <= MOST:
        raise RequestError(f"there are {len(items)} inputs; send between 1 and {MOST}")
    if said.dimensions and said.dimensions > space.dim:
        raise RequestError(f"dimensions is {said.dimensions} and vectors here have {space.dim}; ask for no more")
    z = np.stack(
        [space.image([space.decode(i.data, i.name)])[0] if isinstance(i, Picture) else space.text([i])[0] for i in items]
    )
    if said.dimensions:
        z = z[:, : said.dimensions]
        z = z / np.linalg.norm(z, axis=1, keepdims=True).clip(min=1e-12)
    words = sum(space.words.count(i) for i in items if isinstance(i, str))
    data = [{"object": "embedding", "index": n, "embedding": written(v, said.encoding_format)} for n, v in enumerate(z)]
    return {"object": "list", "data": data, "model": said.model, "usage": {"prompt_tokens": words, "total_tokens": words}}


def written(z: np.ndarray, encoding: str) -> str | list[float]:
    """A vector as numbers, or as base64 of little-endian float32."""
    return base64.b64encode(z.astype("<f4").tobytes()).decode() if encoding == "base64" else [float(x) for x in z]
