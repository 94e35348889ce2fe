"""PDFium in a worker process, started by document.py: opens a PDF, renders pages, returns their text and where words are.

A page can keep PDFium busy for hours or crash it. Nothing in the same process could stop that; a process can be killed.
A request is a line of JSON. A reply is a line of JSON, followed by its number (`bytes`) of bytes of pixels: RGB, row by row.
"""

import ctypes
import json
import os
import signal
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, BinaryIO, TypedDict

import pypdfium2
import pypdfium2.raw as pdfium
from PIL import Image

MAX_TEXT_CHARACTERS = 100_000
"""Characters of a page that are returned; the rest is cut."""
MAX_MARKS = 200
"""Words that are marked on a page at most."""
MAX_ASPECT_RATIO = 4
"""Longer side over shorter side, above which a page is rendered smaller than asked for."""
RESOLUTION = 100_000
"""Steps along a page's sides in which PDFium returns positions."""

WRITTEN_FIELDS = (pdfium.FPDF_FORMFIELD_TEXTFIELD, pdfium.FPDF_FORMFIELD_COMBOBOX, pdfium.FPDF_FORMFIELD_LISTBOX)
"""Form fields whose values are words."""

Box = tuple[float, float, float, float]


class PdfRequest(TypedDict, total=False):
    """One of: close the document, open one, or read a page."""

    close: bool
    """Close the document."""
    open: str
    """Absolute path of a PDF to open."""
    page: int
    """Number of a page, from 1."""
    side: int
    """Pixels along the shorter side of the rendered page; left out: do not render it."""
    text: bool
    """Return the text."""
    words: list[str]
    """Return where these words are."""


class PdfReply(TypedDict, total=False):
    """What PDFium returned for a request."""

    error: str
    """What failed; nothing else is returned then."""
    pages: int
    """Number of pages of the document that was opened."""
    text: str
    """Text of the page: its text layer, what is written into its form, and its notes."""
    pictured: float
    """Share of the page that pictures cover, with the text."""
    marks: list[Box]
    """Where words are: left, top, right and bottom of each, as shares of the page's width and height."""
    size: tuple[int, int] | None
    """Width and height of the rendered page, in pixels; None where it was not rendered."""
    bytes: int
    """Number of bytes that follow: 3 · width · height, or 0."""


def serve(requests: BinaryIO, replies: BinaryIO, seconds: int) -> None:
    """Reply to requests until there are no more; the process ends itself where a reply takes longer than `seconds`."""
    document: Any = None
    for line in requests:
        _set_alarm(seconds)
        reply: PdfReply
        image: Image.Image | None = None
        try:
            request: PdfRequest = json.loads(line)
            if "close" in request:
                document, reply = None, {}
            elif "open" in request:
                document = pypdfium2.PdfDocument(request["open"])
                document.init_forms()
                reply = {"pages": len(document)}
            else:
                reply, image = _read_page(document[request["page"] - 1], request)
        except (pypdfium2.PdfiumError, OSError, ValueError, MemoryError) as error:
            reply, image = {"error": str(error) or type(error).__name__}, None
        pixels = image.tobytes() if image else b""
        reply["size"], reply["bytes"] = image.size if image else None, len(pixels)
        replies.write(json.dumps(reply).encode() + b"\n" + pixels)
        replies.flush()
        _set_alarm(0)


def _set_alarm(seconds: int) -> None:
    """End the process in so many seconds, or never (0); does nothing on Windows."""
    if hasattr(signal, "alarm"):
        signal.alarm(seconds)


def _read_page(page: Any, request: PdfRequest) -> tuple[PdfReply, Image.Image | None]:
    """Return what is requested of a page, and the rendered page if that is requested. Raises ValueError, PdfiumError."""
    reply: PdfReply = {}
    if words := request.get("words"):
        reply["marks"] = _marks(page, words)
    if request.get("text"):
        layer = page.get_textpage().get_text_range()
        reply["text"] = "\n".join([layer, *_notes(page, layer)])[:MAX_TEXT_CHARACTERS]
        reply["pictured"] = _pictured(page)
    side = request.get("side")
    return reply, _render(page, side) if side else None


def _notes(page: Any, layer: str) -> Iterator[str]:
    """Yield what is written into a page's form, and its notes and comments, as far as the text layer does not say it; ISO 32000-1, §12.5 and §12.7."""
    for i in range(min(pdfium.FPDFPage_GetAnnotCount(page), MAX_MARKS)):
        note = pdfium.FPDFPage_GetAnnot(page, i)
        try:
            text = _text_of(pdfium.FPDFAnnot_GetStringValue, note, b"Contents")
            form = page.pdf.formenv
            if form and pdfium.FPDFAnnot_GetSubtype(note) == pdfium.FPDF_ANNOT_WIDGET:
                written = pdfium.FPDFAnnot_GetFormFieldType(form, note) in WRITTEN_FIELDS
                text = _text_of(pdfium.FPDFAnnot_GetFormFieldValue, form, note) if written else ""
        finally:
            pdfium.FPDFPage_CloseAnnot(note)
        if text.strip() and text not in layer:
            yield text


def _text_of(get: Any, *arguments: Any) -> str:
    """Return a text that PDFium writes into a buffer: UTF-16, with a zero at its end."""
    size = get(*arguments, None, 0)
    data = ctypes.create_string_buffer(size)
    get(*arguments, ctypes.cast(data, ctypes.POINTER(ctypes.c_ushort)), size)
    return data.raw[: max(0, size - 2)].decode("utf-16-le", "replace")


def _pictured(page: Any) -> float:
    """Return the share of a page that its largest picture covers."""
    width, height = page.get_size()
    areas = [0.0]
    for picture in page.get_objects(filter=[pdfium.FPDF_PAGEOBJ_IMAGE], max_depth=2):
        left, bottom, right, top = picture.get_bounds()
        areas.append(max(0.0, min(right, width) - max(left, 0)) * max(0.0, min(top, height) - max(bottom, 0)))
    return float(max(areas) / max(width * height, 1e-6))


def _render(page: Any, side: int) -> Image.Image:
    """Return a page as RGB on white, its shorter side `side` pixels, or less if it is very long. Raises ValueError."""
    width, height = page.get_size()
    if not (width > 0 and height > 0):
        raise ValueError("it has no size")
    scale = min(side / min(width, height), MAX_ASPECT_RATIO * side / max(width, height))
    bitmap = page.render(scale=scale, fill_color=(255, 255, 255, 255))
    image: Image.Image = bitmap.to_pil().convert("RGB")
    return image


def _marks(page: Any, words: Iterable[str]) -> list[Box]:
    """Return where words are: left, top, right and bottom of each, as shares of the rendered page's width and height."""
    text = page.get_textpage()
    matches = (match for word in words for match in _find(text, word))
    return [
        _bounding_box(page, [text.get_charbox(i) for i in range(start, start + count)])
        for start, count in islice(matches, MAX_MARKS)
    ]


def _find(text: Any, word: str) -> Iterator[tuple[int, int]]:
    """Yield the first character and the number of characters of each occurrence of a word."""
    search = text.search(word, match_whole_word=True)
    while match := search.get_next():
        yield match


def _bounding_box(page: Any, boxes: list[Box]) -> Box:
    """Return what encloses boxes (left, bottom, right, top, in points) as left, top, right, bottom, in shares of the page."""
    lefts, bottoms, rights, tops = zip(*boxes)
    corners = []
    for x, y in ((min(lefts), min(bottoms)), (max(rights), max(tops))):
        column, row = ctypes.c_int(), ctypes.c_int()
        pdfium.FPDF_PageToDevice(page, 0, 0, RESOLUTION, RESOLUTION, 0, x, y, column, row)  # applies rotation and crop box
        corners.append((column.value / RESOLUTION, row.value / RESOLUTION))
    (x, y), (u, v) = corners
    return min(x, u), min(y, v), max(x, u), max(y, v)


if __name__ == "__main__":
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # so that nothing that a library prints comes between replies
    serve(sys.stdin.buffer, replies, int(sys.argv[1]))
