"""What the routes of one app share."""

from typing import Annotated

from fastapi import Depends, Query, Request
from starlette.exceptions import HTTPException

from ...library.library import Library
from .drawing import Drawing
from .embeddings import Embedding
from .indexing import IndexingJob
from .lazy_assistant import LazyAssistant
from .library_media import LibraryMedia
from .map_page import MapPage
from .metrics import Metrics
from .reranking import Reranking
from .schemas import MAX_QUERY
from .search_page import SearchPage
from .security import is_loopback
from .space_comparison import SpaceComparison
from .timeline import Timeline


class Shared:
    """What the apps of several libraries have in common."""

    def __init__(self) -> None:
        self.metrics, self.drawing = Metrics(), Drawing()


class ServerState:
    """A library, an assistant, and what answers requests about them."""

    def __init__(
        self, library: Library, assistant: LazyAssistant, shared: "Shared", key: str, allow_urls: bool, locations: tuple[str, ...]
    ):
        """`key` is empty where none is needed; `locations` are the libraries that the pages offer, where there are several."""
        self.library, self.assistant, self.key, self.allow_urls, self.locations = library, assistant, key, allow_urls, locations
        self.metrics, self.media, self.indexing = shared.metrics, LibraryMedia(library), IndexingJob(library)
        self.embedding = Embedding(library.space)
        self.reranking = Reranking(library, self.embedding, assistant)
        self.search_page = SearchPage(library, self.media, self.reranking)
        self.comparison = SpaceComparison(library, self.media)
        self.timeline, self.map_page, self.drawing = Timeline(library), MapPage(library), shared.drawing


async def state_of(request: Request) -> ServerState:
    """Return the state of the app that a request came to."""
    state: ServerState = request.app.state.server
    return state


State = Annotated[ServerState, Depends(state_of)]
"""The type of a route's parameter that is given the state."""
Conditions = Annotated[str, Query(max_length=MAX_QUERY)]
"""The type of a route's parameter that holds conditions; see schemas.SearchRequest."""


async def check_may_change(request: Request, state: State) -> None:
    """Raises HTTPException 403 for a request from another machine to a server without a key."""
    if not (state.key or is_loopback(request)):
        raise HTTPException(
            403,
            "a library is changed, and its files are taken along, from its machine or with a key; start: samespace serve --api-key KEY",
        )
