"""Answers from a library: retrieve, show, answer, and cite the hits that were used."""

import re
from dataclasses import dataclass
from typing import Any

from ..core.errors import SamespaceError, UnreadableMedia
from ..library.library import Library
from ..library.search.hits import Hit
from ..library.search.query import without_signs
from ..media.locator import locator
from .excerpts import MAX_CHARACTERS, picture_of
from .request import AssistantBackend, Message, Picture, Reply, Request

MAX_HITS = 4
"""Hits that an assistant is shown."""
TASK = "Answer the question from these pictures, and name those you use by their number, as [1]. Question: {}"
CITATION = re.compile(r"\[(\d+)\]")


@dataclass
class CitedAnswer:
    """An answer that is being generated, and the hits it is made from."""

    reply: Reply
    hits: list[Hit]
    """Those shown, in the order of their numbers from 1."""

    def cited(self, text: str) -> list[Hit]:
        """Return the hits that the answer cites; all that were shown where it cites none."""
        numbers = {int(n) for n in CITATION.findall(text)}
        return [hit for i, hit in enumerate(self.hits, 1) if i in numbers] or self.hits


def ask_library(
    library: Library, assistant: AssistantBackend, question: str, limit: int = MAX_HITS, **settings: Any
) -> CitedAnswer:
    """Answer from the hits that fit the question best. Raises SamespaceError where there are none."""
    hits: list[Hit] = []
    parts: list[str | Picture] = []
    for hit in library.search(without_signs(question), limit, files=False):
        try:
            picture = picture_of(hit)
        except UnreadableMedia:
            continue  # gone since it was indexed
        hits.append(hit)
        segment = library.segment(hit.id)
        text = (segment.text if segment else None) or ""
        parts += [" ".join(filter(None, [f"Picture {len(hits)}:", locator(hit), text[:MAX_CHARACTERS]])), picture]
    if not hits:
        raise SamespaceError("no picture of the library can be shown; index a folder of pictures, then ask again")
    request = Request((Message("user", (*parts, TASK.format(question))),), **settings)
    return CitedAnswer(assistant.answer(request), hits)
