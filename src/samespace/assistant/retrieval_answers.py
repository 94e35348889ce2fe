"""Answers over a library: retrieve, look, answer, and cite the pictures that were used."""

import re
from dataclasses import dataclass

from ..core.errors import SamespaceError, UnreadableMedia
from ..library.indexing.embed import unsigned
from ..library.indexing.segments import place, still
from ..library.library import Library
from ..library.results import Hit
from ..media.image import jpeg
from .excerpts import SIDE, WORDS
from .request import Answers, Message, Picture, Reply, Request

SHOWN = 4
"""Pictures that an assistant is shown."""
TASK = "Answer the question from these pictures, and name those you use by their number, as [1]. Question: {}"
NUMBER = re.compile(r"\[(\d+)\]")


@dataclass
class Cited:
    """An answer under way, and the pictures it is made from."""

    reply: Reply
    hits: list[Hit]
    """Those shown, in the order of their numbers from 1."""

    def used(self, text: str) -> list[Hit]:
        """The pictures that the answer names; all that were shown where it names none."""
        named = {int(n) for n in NUMBER.findall(text)}
        return [hit for i, hit in enumerate(self.hits, 1) if i in named] or self.hits


def ask_library(library: Library, assistant: Answers, question: str, shown: int = SHOWN, **settings) -> Cited:
    """Answer from the pictures that fit the question best. Raises SamespaceError where there are none."""
    hits, parts = [], []
    for hit in library.search(unsigned(question), shown, files=False):
        try:
            picture = Picture.read(hit.path) if hit.kind == "image" else Picture(jpeg(still(hit, SIDE), 4 * SIDE), hit.path)
        except UnreadableMedia:
            continue  # gone since it was indexed
        hits.append(hit)
        words = (library.segment(hit.id) or {}).get("text") or ""
        parts += [" ".join(filter(None, [f"Picture {len(hits)}:", place(hit), words[:WORDS]])), picture]
    if not hits:
        raise SamespaceError("no picture of the library can be shown; index a folder of pictures, then ask again")
    request = Request((Message("user", (*parts, TASK.format(question))),), **settings)
    return Cited(assistant.answer(request), hits)
