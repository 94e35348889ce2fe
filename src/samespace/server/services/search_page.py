"""What the search page asks: hits by words and media, heat maps of a hit, and words marked on a page."""

import hashlib
import re
import tempfile
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from cachetools import LRUCache

from ...core.paths import absolute, to_path, to_text
from ...explain.heatmap import WindowEmbeddings, embed_windows, phrase_directions
from ...library.indexing.segments import STREAMED, mean_vector
from ...library.library import Library
from ...library.search.date_words import date_words
from ...library.search.hits import LIKELY, Hit
from ...library.search.negation import negations
from ...library.store.filter import Filter
from ...library.store.records import Grouping
from ...library.store.words import folded, terms_of
from ...media import document
from ...media.locator import locator
from ...media.ocr import from_text
from ...spaces.space import Space
from .library_media import LibraryMedia, not_found, resolve_within
from .reranking import Reranking
from .schemas import PageSearchRequest, WeightedTerm
from .urls import read_picture

CACHED_IMAGES = 64
"""Images whose windows' vectors are remembered."""
MIN_MARKED = 3
"""Characters of the shortest word that is marked on a page."""

Box = tuple[float, float, float, float]
"""Left, top, right and bottom, as shares of a page."""


@dataclass(frozen=True)
class Results:
    """What a search shows."""

    hits: list[dict[str, Any]]
    """Each as `hit_json` gives it."""
    likely: int | None
    """How many are likely meant; None where no hit has a relevance."""
    line: int | None
    """The rank after which none is likely meant; None where no hit has a relevance."""
    dates: list[dict[str, str]]
    """Times that the words name, and what they say is not wanted: `text`, and the `condition` that means it."""
    unknown: list[str]
    """Words that the space does not know: they are found only where they are written."""


class SearchPage:
    """Answers the search page of one library."""

    def __init__(self, library: Library, media: LibraryMedia, reranking: Reranking):
        self.library, self.media, self.reranking = library, media, reranking
        self.windows: LRUCache[tuple[str, str], WindowEmbeddings] = LRUCache(
            CACHED_IMAGES
        )  # by the segment's id and its file's content
        self.sent: LRUCache[bytes, np.ndarray] = LRUCache(CACHED_IMAGES)  # vectors of media that were sent, by their content
        self.lock = threading.Lock()  # media are decoded and embedded one at a time: each may be large

    def search(self, request: PageSearchRequest, check: Callable[..., None]) -> Results:
        """Search by words and by media that are indexed or were sent.

        Raises RequestError, QueryError, UnreadableMedia, LibraryError, HTTPException 404, and what `check` raises, which is called
        before what takes long.
        """
        paths = [self.media.segment(term.id).path for term in request.terms if term.id]
        under = absolute(to_path(request.under)) if request.under else ""
        within = self.media.segment(request.within).path if request.within else ""
        excluded = () if within else tuple(paths)
        filter = Filter(tuple(request.kinds), under, request.since, request.until, excluded, within=within)
        vectors = [(term.weight, self.vector(term, check)) for term in request.terms]
        group_by: Grouping = "place" if within else request.group_by
        hits = self.library.search(
            request.query, request.top, filter, files=False, extra_vectors=vectors, group_by=group_by, where=request.where,
            meant=request.meant, not_meant=request.not_meant,
        )  # fmt: skip
        hits = self.reranking.hits(request.query, hits, check) if request.rerank else hits
        shown = [hit_json(hit) for hit in hits]
        dates = [asdict(words) for words in (*date_words(request.query, date.today()), *negations(request.query))]
        unknown = self.library.unknown_words(request.query)
        if all(hit.relevance is None for hit in hits):
            return Results(shown, None, None, dates, unknown)
        likely = [hit.rank for hit in hits if (hit.relevance or 0) >= LIKELY]
        return Results(shown, len(likely), max(likely, default=0), dates, unknown)

    def vector(self, term: WeightedTerm, check: Callable[..., None]) -> np.ndarray:
        """Return the vector of a term: float32 (dim,). Raises RequestError, UnreadableMedia, HTTPException 404, and as `check`."""
        if term.id:
            z = self.library.vector(term.id)
            if z is None:
                raise not_found(term.id)
            return z
        key = hashlib.sha256(term.media.encode()).digest()
        with self.lock:
            if key in self.sent:
                return self.sent[key]
            check()
            z = self.sent[key] = sent_vector(term.media, self.library.space)
            return z

    def heatmaps(self, id: str, words: str, check: Callable[..., None]) -> list[np.ndarray]:
        """Return heat maps of a segment, for a phrase and then for each of its words: float32 (GRID, GRID) each.

        Raises UnreadableMedia, HTTPException 404, and as `check`.
        """
        segment = self.media.segment(id)
        with self.lock:
            windows = self.windows.get(key := (id, segment.hash))
            if windows is None:
                check()
                windows = self.windows[key] = embed_windows(self.library.space, self.media.open(segment))
        return [windows.heatmap(z) for z in phrase_directions(self.library.space, words)]

    def marked_words(self, id: str, words: str) -> list[Box]:
        """Return where words are on a document's page, or in a picture whose text was read.

        Raises UnreadableMedia, HTTPException 404.
        """
        segment = self.media.segment(id)
        if segment.kind != "document" or segment.page is None:
            terms = terms_of(words)
            lines = [line for line in from_text(segment.written) if any(term in folded(line.text) for term in terms)]
            return [(line.left, line.top, line.right, line.bottom) for line in lines]
        path = resolve_within(segment.path, segment.root)
        return document.marks(path, segment.page, [word for word in re.findall(r"\w+", words) if len(word) >= MIN_MARKED])


def hit_json(hit: Hit) -> dict[str, Any]:
    """Return a hit as the page shows it."""
    path = Path(to_text(hit.path))
    added = {"id": hit.id, "path": str(path), "name": path.name, "folder": str(path.parent), "locator": locator(hit)}
    return vars(hit) | added | {"taken_at": hit.taken_at and hit.taken_at.isoformat()}


def listed_json(hit: Hit) -> dict[str, Any]:
    """Return a file that is listed without a query, and so has neither score nor rank, as the page shows it."""
    return hit_json(hit) | {"score": None, "rank": None}


def sent_vector(media: str, space: Space) -> np.ndarray:
    """Return the vector of an image, audio or video file that was sent as a data URI: float32 (dim,). Raises RequestError, UnreadableMedia."""
    sent, kind = read_picture(media, urls_allowed=False), media.removeprefix("data:").partition("/")[0]
    if kind not in STREAMED:
        vector: np.ndarray = space.image([space.decode(sent.data, sent.name)])[0]
        return vector
    with tempfile.NamedTemporaryFile() as file:
        file.write(sent.data)
        file.flush()
        return mean_vector(list(STREAMED[kind](Path(file.name), space)))
