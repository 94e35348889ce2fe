"""A second look at the first hits: a cross-encoder reads texts, an assistant looks at pictures, and says whether each is what was asked.

What they say and what the search said are evidence of one thing: their log odds are averaged, so that a weak reader cannot turn a sure hit
away, and a strong one decides where the search was undecided.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import exp, log

from ..core.errors import SamespaceError, UnreadableMedia
from ..library.library import Library
from ..library.search.hits import Hit
from ..library.search.where import split
from ..spaces.cross_encoder import RERANKERS, CrossEncoder
from .excerpts import MAX_CHARACTERS, picture_of
from .request import AssistantBackend, Message, Picture, Request

ANSWERS = ("yes", "no")
ABOUT_PICTURE = "Does this picture show the following? Answer yes or no. {}"
ABOUT_TEXT = "{}\n\nDoes this text answer or concern the following? Answer yes or no. {}"
SURE = 1e-4
"""Probabilities are kept this far from 0 and 1 before their log odds are taken."""
Document = str | Picture
"""What is read: a text, or a picture."""
RerankProgress = Callable[[int, int], object]
"""It is told how many are read, of how many."""


@dataclass(frozen=True)
class Reranker:
    """What reads: a cross-encoder for texts, an assistant for pictures, and for texts where there is no cross-encoder."""

    assistant: AssistantBackend | None = None
    texts: CrossEncoder | None = None

    @property
    def name(self) -> str:
        """Names of what reads."""
        return " + ".join(one.name for one in (self.texts, self.assistant) if one)

    def probability(self, query: str, document: Document) -> float | None:
        """Return how likely a document is what a query asks for; None where nothing here can read it.

        Raises RequestError where an endpoint fails, UnreadableMedia.
        """
        if isinstance(document, str) and self.texts:
            return float(self.texts.scores(query, [document])[0])
        if self.assistant is None:
            return None
        parts: tuple[str | Picture, ...]
        if isinstance(document, str):
            parts = (ABOUT_TEXT.format(document[:MAX_CHARACTERS], query),)
        else:
            parts = (document, ABOUT_PICTURE.format(query))
        yes, _ = self.assistant.choose(Request((Message("user", parts),), max_tokens=1), ANSWERS)
        return yes


def open_reranker(assistant: Callable[[], AssistantBackend], name: str = "") -> Reranker:
    """Return the cross-encoder of a name alone, or the assistant; without a name the installed cross-encoder, if there is one, and the assistant.

    Raises UnknownSpace, UnknownAssistant, MissingExtra.
    """
    installed = RERANKERS.installed()
    if name:
        return Reranker(texts=CrossEncoder(installed[name])) if name in installed else Reranker(assistant())
    texts = CrossEncoder(next(reversed(installed.values()))) if installed else None
    try:
        return Reranker(assistant(), texts)
    except SamespaceError:
        if texts is None:
            raise
        return Reranker(texts=texts)  # it reads texts; pictures keep their places


def rerank(
    library: Library,
    query: str,
    hits: Sequence[Hit],
    opened: Callable[[], Reranker],
    first: int,
    progress: RerankProgress | None = None,
) -> list[Hit]:
    """Return hits with the first of them read again, likeliest first; what cannot be read keeps its relevance, the rest its place.

    They stay as they are where the query has conditions only; `opened` returns what reads, and is called where there is something to
    read. Raises RequestError where an endpoint fails, LibraryError, and what `opened` raises.
    """
    query, _ = split(query, library.names)
    if not query.strip() or not hits:
        return list(hits)
    reranker, read = opened(), list[tuple[float, int, Hit]]()
    count = min(first, len(hits))
    for place, hit in enumerate(hits[:first]):
        p = _read(library, query, hit, reranker)
        relevance = hit.relevance if p is None else _both(p, hit.relevance)
        read.append((-1.0 if relevance is None else relevance, place, replace(hit, relevance=relevance)))
        if progress:
            progress(place + 1, count)
    ordered = [hit for _, _, hit in sorted(read, key=lambda one: (-one[0], one[1]))]
    return [replace(hit, rank=rank) for rank, hit in enumerate([*ordered, *hits[first:]], 1)]


def _read(library: Library, query: str, hit: Hit, reranker: Reranker) -> float | None:
    """Return what a reader says of a hit; None of a file that cannot be read any more, or that nothing here can read."""
    try:
        if hit.modality == "text" or (hit.kind == "audio" and hit.text):
            segment = library.segment(hit.id)
            return reranker.probability(query, (segment.text if segment else "") or hit.text or "")
        if hit.kind == "audio" or reranker.assistant is None:
            return None
        shown = picture_of(hit)
        return reranker.probability(query, shown)
    except UnreadableMedia:
        return None


def _both(reader: float, search: float | None) -> float:
    """Return the probability whose log odds are the mean of both."""
    if search is None:
        return round(reader, 4)
    odds = [log(p / (1 - p)) for p in (min(max(one, SURE), 1 - SURE) for one in (reader, search))]
    return round(1 / (1 + exp(-sum(odds) / 2)), 4)
