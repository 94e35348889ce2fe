"""/v1/embeddings: texts and images → vectors of the space."""

import base64
import threading
from typing import Any

import numpy as np

from ...assistant.request import Picture
from ...core.errors import RequestError, UnknownSpace
from ...spaces.space import Space
from .schemas import EmbeddingRequest

MAX_INPUTS = 512
"""Inputs in one request."""
ENCODING = threading.Lock()
"""Held while an input is decoded and encoded: one at a time, since each may be large."""


def embeddings(body: EmbeddingRequest, space: Space, urls_allowed: bool) -> dict[str, Any]:
    """Return a response in OpenAI's shape. Raises RequestError, UnreadableMedia, and UnknownSpace where it names another model."""
    if body.model not in ("", space.name, space.handle):
        raise UnknownSpace(f"the model {body.model!r} is not served here; ask for {space.handle!r}")
    if not 1 <= body.count <= MAX_INPUTS:
        raise RequestError(f"there are {body.count} inputs; send between 1 and {MAX_INPUTS}")
    if body.dimensions and body.dimensions > space.dim:
        raise RequestError(f"dimensions is {body.dimensions} and vectors here have {space.dim}; ask for no more")
    vectors, tokens = [], 0
    for item in body.read_inputs(urls_allowed):
        vectors.append(encode(item, space))
        tokens += space.words.count(item) if isinstance(item, str) else 0
    z = np.stack(vectors)
    if body.dimensions:
        z = z[:, : body.dimensions]
        z = z / np.linalg.norm(z, axis=1, keepdims=True).clip(min=1e-12)
    data = [{"object": "embedding", "index": n, "embedding": to_json(v, body.encoding_format)} for n, v in enumerate(z)]
    return {"object": "list", "data": data, "model": space.handle, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}


def encode(item: str | Picture, space: Space) -> np.ndarray:
    """Return the vector of a text or an image: float32 (dim,). Raises UnreadableMedia."""
    with ENCODING:
        z = space.text([item]) if isinstance(item, str) else space.image([space.decode(item.data, item.name)])
    vector: np.ndarray = z[0]
    return vector


def to_json(z: np.ndarray, encoding: str | None) -> str | list[float]:
    """Return a vector as numbers, or as base64 of little-endian float32."""
    return base64.b64encode(z.astype("<f4").tobytes()).decode() if encoding == "base64" else [float(x) for x in z]
