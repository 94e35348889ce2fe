"""Documents → pages, each as a picture and as its text. PDFs through PDFium; office files through LibreOffice, if it is here.

PDFium runs in processes of its own (pdfium.py), one for each document that is being read: a page that keeps it busy, or crashes it, costs
itself and no other. A page is drawn at the size that is asked for, whatever size it claims to have.
"""

import atexit
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from ..core.errors import UnreadableMedia, error_summary
from . import ocr
from .kinds import OFFICE

PASSAGE = 600
"""Characters of a passage, about: what a text tower reads at once."""
LITTLE_TEXT = 20
"""Characters below which a page counts as scanned, and is read from its picture."""
SCAN = 1200
"""Pixels along the shorter side of a page that is read from its picture."""
HYPHEN = re.compile("[\x02\ufffe]")
"""Where a word is parted at a line's end, as PDFium tells it."""
HEAVY = 30
"""Seconds that PDFium may take for a page."""
BROKEN = 20
"""Pages one after the other that nothing can be made of, after which there is nothing more to come."""
PATIENCE = 120
"""Seconds that LibreOffice may take for a file."""
ONE_OFFICE = threading.Lock()


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

    Raises UnreadableMedia, at the end where that is so of every page.
    """
    with opened(Path(path)) as document:
        failed, failure = 0, None
        for number in range(1, document.count + 1):
            try:
                page, failed = document.page(number, side), 0
            except UnreadableMedia as error:
                page, failed, failure = Page(number, Image.new("RGB", (side, side), "white"), ""), failed + 1, error
            yield page
            if failed == BROKEN:
                break
        if failure and failed == number:
            raise failure


def page_at(path: str | Path, number: int, side: int) -> Image.Image:
    """One page as a picture, its shorter side `side` pixels. Raises UnreadableMedia."""
    with opened(Path(path)) as document:
        if not 1 <= number <= document.count:
            raise UnreadableMedia(f"it has no page {number}; index it again")
        return document.drawn(number, side)


def marks(path: str | Path, number: int, words: Iterable[str]) -> list[tuple[float, float, float, float]]:
    """Where words stand on a page: left, top, right and bottom of each, in shares of the page as it is drawn.

    What is only drawn there, as in a scan, is not found. Raises UnreadableMedia.
    """
    with opened(Path(path)) as document:
        return document.marks(number, list(words)) if 1 <= number <= document.count else []


@contextmanager
def opened(path: Path) -> Iterator["Pdf"]:
    """A document. Raises UnreadableMedia."""
    with tempfile.TemporaryDirectory() as scratch:
        document = Pdf(as_pdf(path, Path(scratch)) if path.suffix.lower() in OFFICE else path)
        try:
            document.open()
            yield document
        finally:
            document.pdfium.rest()


class Pdf:
    """A PDF that a process of its own has open."""

    def __init__(self, file: Path):
        self.file, self.count, self.pdfium = file, 0, rested()

    def open(self) -> None:
        """Raises UnreadableMedia."""
        try:
            answer, _ = self.pdfium.ask(open=str(self.file.absolute()))
        except ProcessEnded:
            raise UnreadableMedia("PDFium cannot open it in bearable time; print it to a new PDF") from None
        if "password" in (error := answer.get("error", "")).lower():
            raise UnreadableMedia("it is locked with a password; save a copy without one")
        if "error" in answer:
            raise UnreadableMedia(f"it is broken or no PDF ({error_summary(error)}); open it to check")
        if not answer["pages"]:
            raise UnreadableMedia("it has no pages; open it to check")
        self.count = answer["pages"]

    def page(self, number: int, side: int) -> Page:
        """Raises UnreadableMedia."""
        answer, picture = self.ask(number, side=side, text=True)
        text = " ".join(HYPHEN.sub("", answer["text"]).split())
        return Page(number, picture, text if len(text) >= LITTLE_TEXT else self.scanned(number) or text)

    def scanned(self, number: int) -> str:
        """What a page with little text says, read from its picture; empty where no reader is installed. Raises UnreadableMedia."""
        return ocr.words(self.drawn(number, SCAN)) if ocr.reader() else ""

    def drawn(self, number: int, side: int) -> Image.Image:
        """Raises UnreadableMedia."""
        return self.ask(number, side=side)[1]

    def marks(self, number: int, words: list[str]) -> list[tuple[float, float, float, float]]:
        """Raises UnreadableMedia."""
        return [tuple(box) for box in self.ask(number, words=words)[0].get("marks", ())]

    def ask(self, number: int, **request: Any) -> tuple[dict[str, Any], Image.Image | None]:
        """What PDFium says of a page, and its picture. Raises UnreadableMedia."""
        try:
            answer, pixels = self.pdfium.ask(page=number, **request)
        except ProcessEnded:
            self.pdfium = rested()
            self.open()
            raise UnreadableMedia(f"its page {number} is too much for PDFium; print it to a new PDF") from None
        if "error" in answer:
            raise UnreadableMedia(f"its page {number} is broken ({error_summary(answer['error'])}); open it to check")
        return answer, Image.frombytes("RGB", answer["size"], pixels) if answer["size"] else None


class ProcessEnded(Exception):
    """The process ended before it answered: it crashed, or its time was over."""


class Pdfium:
    """A process that runs PDFium, for one document at a time."""

    def __init__(self):
        command = [sys.executable, "-P", str(Path(__file__).with_name("pdfium.py")), str(2 * HEAVY)]
        pipe, nowhere = subprocess.PIPE, subprocess.DEVNULL
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=nowhere, start_new_session=True)

    def ask(self, **request: Any) -> tuple[dict[str, Any], bytes]:
        """An answer and its pixels (see pdfium.py). Raises ProcessEnded."""
        timer = threading.Timer(HEAVY, self.process.kill)
        timer.start()
        try:
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()
            answer = json.loads(self.process.stdout.readline())
            pixels = self.process.stdout.read(answer["bytes"])
            if len(pixels) == answer["bytes"]:
                return answer, pixels
        except (OSError, ValueError):
            pass  # it has ended
        except BaseException:
            self.end()  # an answer that nobody waits for would be taken for the next one
            raise
        finally:
            timer.cancel()
        self.end()
        raise ProcessEnded

    def rest(self) -> None:
        """Let go of the document, and wait for another."""
        with suppress(ProcessEnded):
            self.ask(close=True)
            RESTING.append(self)

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


RESTING: deque[Pdfium] = deque()
"""Those without a document: starting one takes longer than drawing many pages."""


def rested() -> Pdfium:
    """One that rests, or a new one."""
    try:
        return RESTING.pop()
    except IndexError:
        return Pdfium()


@atexit.register
def end_resting() -> None:
    while RESTING:
        RESTING.pop().end()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=RESTING.clear)  # they answer the parent


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
