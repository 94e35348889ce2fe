"""Search, ask, classify and learn as an MCP server over stdio, for other programs' assistants."""

import functools
import os
from collections.abc import Callable
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec, TypeVar

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations
from pydantic import Field

from .. import __version__
from ..assistant.excerpts import excerpts
from ..assistant.request import Message, Request
from ..assistant.retrieval_answers import ask_library
from ..core.errors import QueryError, SamespaceError
from ..core.paths import to_path, to_text
from ..evaluate.zeroshot import TEMPLATES, label_vectors, probabilities
from ..library.library import Library
from .services.embeddings import Embedding
from .services.lazy_assistant import LazyAssistant
from .services.reranking import Reranking
from .services.schemas import MAX_QUERY

if TYPE_CHECKING:
    from .screen_tools import ScreenTools

READ_ONLY = ToolAnnotations(read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False)
ADDS = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=False)
LOOKS = ToolAnnotations(read_only_hint=True, destructive_hint=False, idempotent_hint=False, open_world_hint=True)
ACTS = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=False, open_world_hint=True)

Words = Annotated[str, Field(max_length=MAX_QUERY)]
Texts = Annotated[list[Words], Field(max_length=1000)]
Count = Annotated[int, Field(ge=1, le=1000)]
Tokens = Annotated[int, Field(ge=1, le=4096)]
"""This, and the three before it: what a client may ask for, at most. One that asks for everything would have it held in memory at once."""

P = ParamSpec("P")
R = TypeVar("R")


def as_tool_error(tool: Callable[P, R]) -> Callable[P, R]:
    """Wrap a tool so that the message of a SamespaceError reaches the client."""

    @functools.wraps(tool)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return tool(*args, **kwargs)
        except SamespaceError as error:
            raise ToolError(str(error)) from None

    return wrapper


class LibraryTools:
    """The tools over one library. Only files that are indexed in it are opened."""

    def __init__(self, library: Library, assistant: LazyAssistant):
        self.library, self.assistant = library, assistant
        self.reranking = Reranking(library, Embedding(library.space), assistant)

    def indexed_path(self, path: str) -> Path:
        """Return the path of an indexed file, given as text. Raises QueryError."""
        absolute = os.path.abspath(to_path(path))  # the path that is checked is the one that is opened
        if not self.library.contains(absolute):
            raise QueryError(f"{path} is not in the library; ask about a path that `search` has found")
        return Path(absolute)

    def search(
        self, query: Words = "", top: Count = 10, min_relevance: float = 0.0, where: Words = "", rerank: bool = False
    ) -> list[dict[str, Any]]:
        """Find pictures, parts of videos and audio, and pages on this machine by what is in them.

        Words, or algebra such as `dog + snow - people`. `where` holds conditions, such as `year:2019 place:rome -kind:video
        tag:dog rating:>=4`, joined by OR, NOT and brackets; without words the newest that meet them are returned. `rerank` has the
        assistant look at the first hits again, which takes seconds for each.
        """
        hits = self.library.search(query, top, min_relevance=min_relevance, files=False, where=where)
        hits = self.reranking.hits(query, hits) if rerank else hits
        return [{k: v for k, v in asdict(hit).items() if v not in (None, (), "")} | {"path": to_text(hit.path)} for hit in hits]

    def overview(self) -> list[dict[str, Any]]:
        """Say what the library is about: its largest groups of similar pictures and sounds, each with a name and how many it has."""
        self.library.check_searchable()
        layout = self.library.map.read() if self.library.map.exists else self.library.map.make()
        return [{"group": label.text, "count": label.count} for label in layout.labels if label.level <= 1]

    def duplicates(self, where: Words = "", top: Count = 20) -> list[dict[str, Any]]:
        """List pictures and videos that are here more than once: the best file of each, why it is, and its other copies.

        `where` holds conditions as for `search`. Nothing is moved or deleted.
        """
        groups = islice(self.library.duplicates(where), top)
        return [{"why": group.why, "paths": [to_text(copy.hit.path) for copy in group.copies]} for group in groups]

    def learn(self, name: Words, paths: Texts, not_paths: Texts | None = None) -> dict[str, Any]:
        """Teach the library a word by indexed files that show it (three or more are best), and files that do not.

        The word then works in `search`: "Bella on the beach", or as the condition `concept:bella`.
        """
        yes, no = ([self.indexed_path(path) for path in side] for side in (paths, not_paths or []))
        concept = self.library.learn(name, yes, no)
        return {"name": concept.name, "examples": len(concept.yes), "against": len(concept.no)}

    def ask(self, text: Words, paths: Texts | None = None, max_tokens: Tokens = 256) -> dict[str, Any]:
        """Answer a question from files: those at `paths`, or those of the library that fit the question best."""
        assistant = self.assistant.open()
        if paths:
            files = excerpts([self.indexed_path(path) for path in paths], text, self.library.space, assistant)
            parts = [part for file in files for part in file.parts]
            reply = assistant.answer(Request((Message("user", (*parts, text)),), max_tokens=max_tokens))
            return {"answer": reply.text, "pictures": paths}
        answer = ask_library(self.library, assistant, text, max_tokens=max_tokens)
        reply_text = answer.reply.text
        return {"answer": reply_text, "pictures": [to_text(hit.path) for hit in answer.cited(reply_text)]}

    def classify(self, path: str, labels: Texts) -> dict[str, float]:
        """Say how well each label fits an indexed picture: probabilities that sum to 1."""
        space = self.library.space
        z_image = space.image([self.indexed_path(path)])
        ratios = probabilities(space, z_image, label_vectors(space, labels, TEMPLATES))[0]
        return {label: round(float(p), 4) for label, p in zip(labels, ratios)}


def create_mcp_server(library: Library, assistant: str = "starter", screen: "ScreenTools | None" = None) -> MCPServer[Any]:
    """Build an MCP server over one library and, where it is given, a screen."""
    server = MCPServer[Any]("samespace", version=__version__, log_level="WARNING")
    tools = LibraryTools(library, LazyAssistant(assistant))
    for tool in (tools.search, tools.overview, tools.duplicates, tools.ask, tools.classify):
        server.add_tool(as_tool_error(tool), annotations=READ_ONLY)
    server.add_tool(as_tool_error(tools.learn), annotations=ADDS)
    if screen is not None:
        server.add_tool(as_tool_error(screen.look), annotations=LOOKS, structured_output=False)
        for tool in (screen.open_page, screen.act, screen.operate_page):
            server.add_tool(as_tool_error(tool), annotations=ACTS)
    return server
