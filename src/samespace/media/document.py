"""Documents → pages, each as a picture and as its text. PDFs through PDFium; office files through LibreOffice, if it is here.

PDFium is not made for threads, so one page is worked on at a time in a process. A page is drawn at the size that is asked
for, whatever size it claims to have.
"""

import ctypes
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from PIL import Image

from ..errors import UnreadableMedia, in_short
from . import ocr
from .kinds import OFFICE

PASSAGE = 600
"""Characters of a passage, about: what a text tower reads at once."""
MAX_TEXT = 100_000
"""Characters of a page that are read; a page with more is no page for people."""
LITTLE_TEXT = 20
"""Characters below which a page counts as scanned, and is read from its picture."""
MARKS = 200
"""Words that are marked on a page at most."""
FINE = 100_000
"""Steps along a page's sides, in which places on it are told."""
PATIENCE = 120
"""Seconds that LibreOffice may take for a file."""
HYPHEN = re.compile("[\x02\ufffe]")
"""Where a word is parted at a line's end, as PDFium tells it."""
ONE_AT_A_TIME, ONE_OFFICE = threading.RLock(), threading.Lock()
"""The first again and again by one thread: a document that nobody reads any more is closed wherever Python finds it."""


@dataclass(frozen=True)
class Page:
    """A page of a document."""

    number: int
    """From 1."""
    picture: Image.Image
    """RGB."""
    text: str
    """As it is written, or read from a scan; may be empty."""

    @property
    def passages(self) -> list[str]:
        """The text in pieces that a text tower reads at once, cut between words."""
        return passages(self.text)


def pages(path: str | Path, side: int) -> Iterator[Page]:
    """A document's pages in order, the shorter side of each `side` pixels; a page that PDFium can make nothing of is empty.

    Raises UnreadableMedia.
    """
    with opened(Path(path)) as document:
        for number in range(1, len(document) + 1):
            try:
                with at_work_on(number):
                    page = page_of(document, number, side)
            except UnreadableMedia:
                page = Page(number, Image.new("RGB", (side, side), "white"), "")
            yield page


def page_at(path: str | Path, number: int, side: int) -> Image.Image:
    """One page as a picture, its shorter side `side` pixels. Raises UnreadableMedia."""
    with opened(Path(path)) as document:
        if not 1 <= number <= len(document):
            raise UnreadableMedia(f"it has no page {number}; index it again")
        with at_work_on(number):
            return drawn(document[number - 1], side)


def marks(path: str | Path, number: int, words: Iterable[str]) -> list[tuple[float, float, float, float]]:
    """Where words stand on a page: left, top, right and bottom of each, in shares of the page as it is drawn.

    What is only drawn there, as in a scan, is not found. Raises UnreadableMedia.
    """
    with opened(Path(path)) as document, at_work_on(number):
        if not 1 <= number <= len(document):
            return []
        page = document[number - 1]
        text = page.get_textpage()
        found = (place for word in words for place in found_in(text, word))
        return [
            on_page(page, [text.get_charbox(i) for i in range(start, start + count)]) for start, count in islice(found, MARKS)
        ]


def found_in(text: Any, word: str) -> Iterator[tuple[int, int]]:
    """First character and number of characters of a word, each time it is there."""
    search = text.search(word, match_whole_word=True)
    while place := search.get_next():
        yield place


def on_page(page: Any, boxes: list[tuple[float, float, float, float]]) -> tuple[float, float, float, float]:
    """What spans boxes in the page's own coordinates (left, bottom, right, top) → shares of the page as it is drawn."""
    import pypdfium2.raw as pdfium

    lefts, bottoms, rights, tops = zip(*boxes)
    corners = []
    for x, y in ((min(lefts), min(bottoms)), (max(rights), max(tops))):
        column, row = ctypes.c_int(), ctypes.c_int()
        pdfium.FPDF_PageToDevice(page, 0, 0, FINE, FINE, 0, x, y, column, row)  # heeds the page's rotation and crop
        corners.append((column.value / FINE, row.value / FINE))
    (x, y), (u, v) = corners
    return min(x, u), min(y, v), max(x, u), max(y, v)


@contextmanager
def at_work_on(number: int) -> Iterator[None]:
    """While PDFium does something with a page. Raises UnreadableMedia where it cannot."""
    import pypdfium2

    try:
        with ONE_AT_A_TIME:
            yield
    except (pypdfium2.PdfiumError, MemoryError) as error:
        raise UnreadableMedia(f"its page {number} is broken ({in_short(error)}); open it to check") from None


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """A PDFium document. Raises UnreadableMedia."""
    import pypdfium2

    with tempfile.TemporaryDirectory() as scratch:
        file = as_pdf(path, Path(scratch)) if path.suffix.lower() in OFFICE else path
        try:
            with ONE_AT_A_TIME:
                document = pypdfium2.PdfDocument(file)
        except (pypdfium2.PdfiumError, OSError) as error:
            if "password" in str(error).lower():
                raise UnreadableMedia("it is locked with a password; save a copy without one") from None
            raise UnreadableMedia(f"it is broken or no PDF ({in_short(error)}); open it to check") from None
        try:
            if not len(document):
                raise UnreadableMedia("it has no pages; open it to check")
            yield document
        finally:
            with ONE_AT_A_TIME:
                document.close()


def page_of(document: Any, number: int, side: int) -> Page:
    """A page. PDFium's objects are let go of here, while it is held."""
    page = document[number - 1]
    picture, text = drawn(page, side), page.get_textpage().get_text_range()[:MAX_TEXT]
    text = " ".join(HYPHEN.sub("", text).split())
    return Page(number, picture, text if len(text) >= LITTLE_TEXT else scanned(page) or text)


def drawn(page: Any, side: int) -> Image.Image:
    """A page as RGB on white, its shorter side `side` pixels, the longer four times that at most."""
    width, height = page.get_size()
    if not (width > 0 and height > 0):
        raise UnreadableMedia("a page has no size; open it to check")
    scale = min(side / min(width, height), 4 * side / max(width, height))
    return page.render(scale=scale, fill_color=(255, 255, 255, 255), may_draw_forms=False).to_pil().convert("RGB")


def scanned(page: Any) -> str:
    """What a page with little text says, read from its picture; empty where no reader is installed."""
    return ocr.words(drawn(page, 1200)) if ocr.reader() else ""


def passages(text: str) -> list[str]:
    """Pieces of about PASSAGE characters, cut after a sentence where one ends in the second half, else between words."""
    found, left = [], " ".join(text.split())
    while len(left) > PASSAGE:
        cut = max(left.rfind(end, PASSAGE // 2, PASSAGE) + 1 for end in (". ", "! ", "? "))
        cut = cut or left.rfind(" ", 1, PASSAGE) + 1 or PASSAGE
        found.append(left[:cut].strip())
        left = left[cut:]
    return [*found, *([left.strip()] if left.strip() else [])]


def as_pdf(path: Path, scratch: Path) -> Path:
    """An office file as LibreOffice prints it. Raises UnreadableMedia."""
    office = shutil.which("soffice") or shutil.which("libreoffice")
    if not office:
        raise UnreadableMedia("office files are read through LibreOffice; install it, or save the file as PDF")
    profile = f"-env:UserInstallation={(scratch / 'profile').as_uri()}"
    command = [office, profile, "--headless", "--convert-to", "pdf", "--outdir", str(scratch), str(path.absolute())]
    try:
        with ONE_OFFICE:
            run(command, PATIENCE)
        return next(scratch.glob("*.pdf"))
    except (subprocess.SubprocessError, OSError, StopIteration):
        raise UnreadableMedia("LibreOffice cannot read it; open it there, or save it as PDF") from None


def run(command: list[str], seconds: float) -> None:
    """Run a program, and end it with all that it started when its time is over, or ours. Raises SubprocessError."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True) as process:
        try:
            status = process.wait(seconds)
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
    if status:
        raise subprocess.CalledProcessError(status, command)
