"""The same as an MCP server: search, ask and classify for other programs' assistants, over stdio."""

import functools
import os
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations

from .. import __version__
from ..assistant.excerpts import shown
from ..assistant.open import open_assistant
from ..assistant.request import Answers, Message, Request
from ..assistant.retrieval_answers import ask_library
from ..core.errors import QueryError, SamespaceError
from ..core.paths import to_path, to_text
from ..evaluate.zeroshot import TEMPLATES, label_vectors, probabilities
from ..library.library import Library

LOOKS_ONLY = ToolAnnotations(read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False)


def in_words(tool: Callable) -> Callable:
    """Errors raised on purpose reach the other side as their sentence."""

    @functools.wraps(tool)
    def said(*arguments: Any, **options: Any) -> Any:
        try:
            return tool(*arguments, **options)
        except SamespaceError as error:
            raise ToolError(str(error)) from None

    return said


def create_tools(library: Library, assistant: str = "starter") -> MCPServer:
    """An MCP server over one library. Only pictures that are indexed in it are looked at."""
    tools, opening, opened = MCPServer("samespace", version=__version__, log_level="WARNING"), threading.Lock(), []

    def answerer() -> Answers:
        with opening:
            if not opened:
                opened.append(open_assistant(assistant))
        return opened[0]

    def indexed(path: str) -> Path:
        place = os.path.abspath(to_path(path))  # the very path that is checked is opened
        if not library.holds(place):
            raise QueryError(f"{path} is not in the library; ask about a path that `search` has found")
        return Path(place)

    @tools.tool(annotations=LOOKS_ONLY)
    @in_words
    def search(query: str, top: int = 10, min_relevance: float = 0.0) -> list[dict[str, Any]]:
        """Find pictures, moments of films and pages on this machine by what is in them.

        Words, or algebra such as `dog + snow - people`.
        """
        hits = library.search(query, top, min_relevance=min_relevance, files=False)
        return [{k: v for k, v in asdict(hit).items() if v is not None} | {"path": to_text(hit.path)} for hit in hits]

    @tools.tool(annotations=LOOKS_ONLY)
    @in_words
    def ask(text: str, paths: list[str] | None = None, max_tokens: int = 256) -> dict[str, Any]:
        """Answer a question from files: those at `paths`, or those of the library that fit the question best."""
        if paths:
            parts = [part for path in paths for part in shown(indexed(path), text, library.space).parts]
            reply = answerer().answer(Request((Message("user", (*parts, text)),), max_tokens=max_tokens))
            return {"answer": reply.text, "pictures": paths}
        cited = ask_library(library, answerer(), text, max_tokens=max_tokens)
        answer = cited.reply.text
        return {"answer": answer, "pictures": [to_text(hit.path) for hit in cited.used(answer)]}

    @tools.tool(annotations=LOOKS_ONLY)
    @in_words
    def classify(path: str, labels: list[str]) -> dict[str, float]:
        """Say how well each label fits an indexed picture: probabilities that sum to 1."""
        z_image = library.space.image([indexed(path)])
        chances = probabilities(library.space, z_image, label_vectors(library.space, labels, TEMPLATES))[0]
        return {label: round(float(p), 4) for label, p in zip(labels, chances)}

    return tools
