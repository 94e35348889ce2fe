"""PDFium in a process of its own, which document.py starts: it opens a PDF, draws its pages, tells their text and where words stand.

A page can keep PDFium busy for hours or crash it, and nothing in the same process can stop it; a process can be ended. Each request is
a line of JSON; each answer is a line of JSON, and after it as many bytes as it names: pixels, RGB, row by row.
"""

import ctypes
import json
import os
import signal
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, BinaryIO

import pypdfium2
import pypdfium2.raw as pdfium
from PIL import Image

MAX_TEXT = 100_000
"""Characters of a page that are read; a page with more is no page for people."""
MARKS = 200
"""Words that are marked on a page at most."""
FINE = 100_000
"""Steps along a page's sides, in which places on it are told."""


def serve(requests: BinaryIO, answers: BinaryIO, seconds: int) -> None:
    """Answer until nobody asks any more; end by itself where an answer takes longer than so many seconds."""
    document = None
    for line in requests:
        if hasattr(signal, "alarm"):
            signal.alarm(seconds)
        try:
            request = json.loads(line)
            if "close" in request:
                document, answer, picture = None, {}, None
            elif "open" in request:
                document = pypdfium2.PdfDocument(request["open"])
                answer, picture = {"pages": len(document)}, None
            else:
                answer, picture = answer_of(document[request["page"] - 1], **request)
        except (pypdfium2.PdfiumError, OSError, ValueError, MemoryError) as error:
            answer, picture = {"error": str(error)}, None
        pixels = picture.tobytes() if picture else b""
        answer |= {"size": picture.size if picture else None, "bytes": len(pixels)}
        answers.write(json.dumps(answer).encode() + b"\n" + pixels)
        answers.flush()
        if hasattr(signal, "alarm"):
            signal.alarm(0)


def answer_of(
    sheet: Any, page: int, side: int = 0, text: bool = False, words: Iterable[str] = ()
) -> tuple[dict[str, Any], Image.Image | None]:
    """What is asked of a page: its text, where words stand on it, and, with a `side`, its picture."""
    answer: dict[str, Any] = {"marks": marks(sheet, words)} if words else {}
    if text:
        answer["text"] = sheet.get_textpage().get_text_range()[:MAX_TEXT]
    return answer, drawn(sheet, side) if side else None


def drawn(page: Any, side: int) -> Image.Image:
    """A page as RGB on white, its shorter side `side` pixels, the longer four times that at most. Raises ValueError."""
    width, height = page.get_size()
    if not (width > 0 and height > 0):
        raise ValueError("it has no size")
    scale = min(side / min(width, height), 4 * side / max(width, height))
    return page.render(scale=scale, fill_color=(255, 255, 255, 255), may_draw_forms=False).to_pil().convert("RGB")


def marks(page: Any, words: Iterable[str]) -> list[tuple[float, float, float, float]]:
    """Where words stand on a page: left, top, right and bottom of each, in shares of the page as it is drawn."""
    text = page.get_textpage()
    found = (place for word in words for place in found_in(text, word))
    return [on_page(page, [text.get_charbox(i) for i in range(start, start + count)]) for start, count in islice(found, MARKS)]


def found_in(text: Any, word: str) -> Iterator[tuple[int, int]]:
    """First character and number of characters of a word, each time it is there."""
    search = text.search(word, match_whole_word=True)
    while place := search.get_next():
        yield place


def on_page(page: Any, boxes: list[tuple[float, float, float, float]]) -> tuple[float, float, float, float]:
    """What spans boxes in the page's own coordinates (left, bottom, right, top) → shares of the page as it is drawn."""
    lefts, bottoms, rights, tops = zip(*boxes)
    corners = []
    for x, y in ((min(lefts), min(bottoms)), (max(rights), max(tops))):
        column, row = ctypes.c_int(), ctypes.c_int()
        pdfium.FPDF_PageToDevice(page, 0, 0, FINE, FINE, 0, x, y, column, row)  # heeds the page's rotation and crop
        corners.append((column.value / FINE, row.value / FINE))
    (x, y), (u, v) = corners
    return min(x, u), min(y, v), max(x, u), max(y, v)


if __name__ == "__main__":
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing that a library prints comes between answers
    serve(sys.stdin.buffer, answers, int(sys.argv[1]))
