"""/v1/rerank, and the second look at hits: opened with the first request for it."""

import threading
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np

from ...assistant.rerank import Reranker, RerankProgress, open_reranker, rerank
from ...core.errors import RequestError
from ...library.library import Library
from ...library.search.hits import Hit
from ...spaces.cross_encoder import RERANKERS
from .embeddings import Embedding
from .lazy_assistant import LazyAssistant
from .schemas import RerankRequest

FIRST = 20
"""Hits that are read again while somebody waits."""


class Reranking:
    """Reads hits and documents again, for one library."""

    def __init__(self, library: Library, embedding: Embedding, assistant: LazyAssistant):
        self.library, self.embedding, self.assistant = library, embedding, assistant
        self._opened: dict[str, Reranker] = {}
        self._lock = threading.Lock()

    def reranker(self, name: str = "") -> Reranker:
        """Return the reranker of a name, or the default one. Raises UnknownSpace, UnknownAssistant, MissingExtra."""
        with self._lock:  # each is opened once, and only names of what is here are kept
            if name not in self._opened:
                model = "" if name in RERANKERS.installed() else name
                self._opened[name] = open_reranker(lambda: self.assistant.open(model), name)
            return self._opened[name]

    def hits(self, query: str, hits: list[Hit], check: RerankProgress | None = None) -> list[Hit]:
        """Return hits with the first of them read again; as they are where the query has no words.

        Raises SamespaceError, and what `check` raises, which is called after each.
        """
        return rerank(self.library, query, hits, self.reranker, FIRST, check)

    def scores(self, body: RerankRequest, urls_allowed: bool) -> tuple[str, Iterator[float]]:
        """Return who reads the documents of a request of /v1/rerank, and how relevant each is, as they are read.

        Raises, then too, RequestError, UnreadableMedia, SamespaceError.
        """
        space = self.library.space
        if body.model in (space.handle, space.name):
            return space.handle, self._cosines(body, urls_allowed)
        reranker = self.reranker(body.model)

        def probabilities() -> Iterator[float]:
            for one in body.read_documents(urls_allowed):
                if (probability := reranker.probability(body.query, one)) is None:
                    raise RequestError(
                        f"{reranker.name} reads no pictures; start with an assistant that does: samespace serve --assistant NAME"
                    )
                yield probability

        return reranker.name, probabilities()

    def response(self, body: RerankRequest, name: str, scores: Sequence[float]) -> dict[str, Any]:
        """Return a response of /v1/rerank: the most relevant first."""
        order = np.argsort([-score for score in scores], kind="stable")[: body.top_n]
        results = [{"index": int(i), "relevance_score": float(scores[i])} for i in order]
        if body.return_documents:
            for result in results:
                one = body.documents[int(result["index"])]
                result["document"] = {"text": one} if isinstance(one, str) else one.model_dump(exclude_none=True)  # type: ignore[assignment]
        return {"object": "list", "model": name, "results": results, "usage": {"total_tokens": 0}}

    def _cosines(self, body: RerankRequest, urls_allowed: bool) -> Iterator[float]:
        z, *documents = self.embedding.encode(chain([body.query], body.read_documents(urls_allowed)))
        yield from (float(one @ z) for one in documents)
