"""Documents → pages, each as an image and as text. PDFs are read by PDFium, office files are converted by LibreOffice first; text files have
sheets that are drawn here.

PDFium runs in worker processes (pdfium.py), one for each document that is being read, so that a page which keeps it busy or
crashes it fails alone. A page is rendered at the size asked for, whatever size it claims to have.
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
import unicodedata
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from ..core.errors import UnreadableMedia, error_summary
from . import ocr
from .flowing import flowing
from .kinds import OFFICE, TEXT_FILE
from .text_file import TextDocument

if TYPE_CHECKING:
    from .pdfium import Box, PdfReply, PdfRequest

PASSAGE_CHARACTERS = 600
"""Longest passage: about as much as a text tower reads at once."""
MIN_TEXT_CHARACTERS, STAMP_CHARACTERS, SCANNED = 20, 200, 0.5
"""A page with less text counts as scanned, and its image is read by OCR, too; so does one with a little more, of which a picture covers
this share: that may be a scan with a stamp."""
COMMON_LETTERS, LEAST_COMMON, MIN_LETTERS = frozenset("aeinorst"), 0.46, 30
"""Letters that are half or more of the text in languages of Latin script, without accents: English 0.64, Polish 0.51, Hungarian 0.50. A text of
at least so many letters that has fewer of them may be garbled."""
MEANINGLESS = 0.2
"""A text with a larger share of private, control and replacement characters may be garbled."""
SHARED_WORDS = 0.2
"""A text that has a larger share of the words which are read on its page is right, all the same."""
OCR_PIXELS = 1200
"""Shorter side of a page that is read by OCR."""
LINE_HYPHEN = re.compile("[\x02\ufffe]")
"""Characters that PDFium returns for a hyphen at the end of a line."""
PAGE_TIMEOUT_SECONDS = 30
"""Longest time that PDFium may take for a page."""
MAX_BROKEN_PAGES = 20
"""Give up after this many unreadable pages in a row."""
OFFICE_TIMEOUT_SECONDS = 120
"""Longest time that LibreOffice may take for a file."""
_CONVERTING = threading.Lock()
"""One LibreOffice runs at a time."""
_CONVERTED: dict[tuple[str, int, int], bytes] = {}
"""Path, size and time of the office files that were converted last → PDF: their pages are looked at one after the other."""
KEPT, LARGEST_KEPT = 4, 2**25
"""Converted files that are kept, and the most bytes of one."""


@dataclass(frozen=True)
class Page:
    """A page of a document."""

    number: int
    """From 1."""
    picture: Image.Image
    """RGB."""
    text: str
    """From the file, or read from the image of a scanned page; may be empty."""

    @property
    def passages(self) -> list[str]:
        """The text in pieces of at most PASSAGE_CHARACTERS, cut between words."""
        return passages(self.text)


def pages(path: str | Path, side: int) -> Iterator[Page]:
    """Yield a document's pages in order, rendered with `side` pixels along the shorter side.

    A page that cannot be read is blank. Raises UnreadableMedia, after the last page, where that is so of every page.
    """
    with _open_document(Path(path)) as document:
        assert isinstance(document, _Document)
        broken, failure = 0, None  # unreadable pages in a row, and why
        for number in range(1, document.count + 1):
            try:
                page, broken = document.page(number, side), 0
            except UnreadableMedia as error:
                page, broken, failure = Page(number, Image.new("RGB", (side, side), "white"), ""), broken + 1, error
            yield page
            if broken == MAX_BROKEN_PAGES:
                break
        if failure and broken == number:
            raise failure


def is_text_file(path: Path) -> bool:
    """Whether a document is read as text: its pages are only drawn."""
    return path.suffix.lower() in TEXT_FILE


def sheets(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of each sheet of a text file, and its passages. Raises UnreadableMedia, OSError."""
    text = TextDocument(path)
    for number in range(1, text.count + 1):
        yield number, passages(text.text(number))


def page_at(path: str | Path, number: int, side: int) -> Image.Image:
    """Return the page of this number as RGB, with `side` pixels along the shorter side. Raises UnreadableMedia."""
    with _open_document(Path(path)) as document:
        if not 1 <= number <= document.count:
            raise UnreadableMedia(f"it has no page {number}; index it again")
        return document.render(number, side)


def marks(path: str | Path, number: int, words: Iterable[str]) -> "list[Box]":
    """Return where words are on a page: left, top, right and bottom of each, as shares of the page's width and height.

    Words in images, as in a scan, are not found. Raises UnreadableMedia.
    """
    with _open_document(Path(path)) as document:
        return document.marks(number, list(words)) if 1 <= number <= document.count else []


@contextmanager
def _open_document(path: Path) -> Iterator["_Document | TextDocument"]:
    """Open a document for as long as the context lasts. Raises UnreadableMedia."""
    if is_text_file(path):
        try:
            text = TextDocument(path)
        except OSError as error:
            raise UnreadableMedia(f"it cannot be read ({error_summary(error)}); index its folder again") from None
        yield text
        return
    with tempfile.TemporaryDirectory() as folder:
        document = _Document(_convert_to_pdf(path, Path(folder)) if path.suffix.lower() in OFFICE else path)
        try:
            document.open()
            yield document
        finally:
            document.worker.release()


class _Document:
    """A PDF that is open in a worker process."""

    def __init__(self, file: Path) -> None:
        self.file, self.count, self.worker = file, 0, _take_worker()

    def open(self) -> None:
        """Open the file and set `count`, its number of pages. Raises UnreadableMedia."""
        try:
            reply, _ = self.worker.request({"open": str(self.file.absolute())})
        except _WorkerEnded:
            raise UnreadableMedia("PDFium cannot open it in reasonable time; print it to a new PDF") from None
        if "password" in (error := reply.get("error", "")).lower():
            raise UnreadableMedia("it is locked with a password; save a copy without one")
        if "error" in reply:
            raise UnreadableMedia(f"it is broken or no PDF ({error_summary(ValueError(error))}); open it to check")
        if not reply["pages"]:
            raise UnreadableMedia("it has no pages; open it to check")
        self.count = reply["pages"]

    def page(self, number: int, side: int) -> Page:
        """Return a page with its text. Raises UnreadableMedia."""
        reply, pixels = self._request({"page": number, "side": side, "text": True})
        text = flowing(LINE_HYPHEN.sub("", reply["text"]))
        if len(text) < (STAMP_CHARACTERS if reply["pictured"] >= SCANNED else MIN_TEXT_CHARACTERS):
            text = " ".join(filter(None, (text, self._ocr(number))))
        elif may_be_garbled(text) and (read := self._ocr(number)) and not _shares_words(text, read):
            text = read
        return Page(number, _image(reply, pixels), text)

    def _ocr(self, number: int) -> str:
        """Return the text in a page's image; empty where no OCR is installed. Raises UnreadableMedia."""
        return ocr.words(self.render(number, OCR_PIXELS)) if ocr.reader() else ""

    def render(self, number: int, side: int) -> Image.Image:
        """Return a page as RGB, with `side` pixels along the shorter side. Raises UnreadableMedia."""
        return _image(*self._request({"page": number, "side": side}))

    def marks(self, number: int, words: list[str]) -> "list[Box]":
        """Return where words are on a page; see `marks` of this module. Raises UnreadableMedia."""
        reply, _ = self._request({"page": number, "words": words})
        return [(left, top, right, bottom) for left, top, right, bottom in reply.get("marks", ())]

    def _request(self, request: "PdfRequest") -> tuple["PdfReply", bytes]:
        """Return the reply for a page, and its pixels. Raises UnreadableMedia; the document stays usable."""
        number = request["page"]
        try:
            reply, pixels = self.worker.request(request)
        except _WorkerEnded:
            self.worker = _take_worker()
            self.open()
            raise UnreadableMedia(f"its page {number} is too much for PDFium; print it to a new PDF") from None
        if "error" in reply:
            raise UnreadableMedia(f"its page {number} is broken ({error_summary(ValueError(reply['error']))}); open it to check")
        return reply, pixels


def _image(reply: "PdfReply", pixels: bytes) -> Image.Image:
    """Return the pixels of a reply as an RGB image."""
    size = reply["size"]
    assert size is not None
    return Image.frombytes("RGB", (size[0], size[1]), pixels)


class _WorkerEnded(Exception):
    """A worker process ended before it replied: it crashed, or took too long and was killed."""


class _Worker:
    """A process that runs PDFium, for one document at a time."""

    def __init__(self) -> None:
        command = [sys.executable, "-P", str(Path(__file__).with_name("pdfium.py")), str(2 * PAGE_TIMEOUT_SECONDS)]
        pipe, null = subprocess.PIPE, subprocess.DEVNULL
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=null, start_new_session=True)

    def request(self, request: "PdfRequest") -> tuple["PdfReply", bytes]:
        """Return the reply to a request, and its pixels (see pdfium.py). Raises _WorkerEnded."""
        assert self.process.stdin is not None and self.process.stdout is not None
        timer = threading.Timer(PAGE_TIMEOUT_SECONDS, self.process.kill)
        timer.start()
        try:
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()
            reply: PdfReply = json.loads(self.process.stdout.readline())
            pixels = self.process.stdout.read(reply["bytes"])
            if len(pixels) == reply["bytes"]:
                return reply, pixels
        except (OSError, ValueError):
            pass  # it has ended
        except BaseException:
            self.kill()  # otherwise this reply would be taken for the next one
            raise
        finally:
            timer.cancel()
        self.kill()
        raise _WorkerEnded

    def release(self) -> None:
        """Close the document, and keep the process for another."""
        with suppress(_WorkerEnded):
            self.request({"close": True})
            _idle_workers.append(self)

    def kill(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.communicate()


_idle_workers: deque[_Worker] = deque()
"""Idle workers, kept because starting one is slow."""


def _take_worker() -> _Worker:
    """Return an idle worker, or a new one."""
    try:
        return _idle_workers.pop()
    except IndexError:
        return _Worker()


@atexit.register
def _kill_idle_workers() -> None:
    """End the idle workers when Python exits."""
    while _idle_workers:
        _idle_workers.pop().kill()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_idle_workers.clear)  # they belong to the parent


def may_be_garbled(text: str) -> bool:
    """Whether a page's text may be other letters than those that are drawn: too few of Latin script are its languages' common ones, or too
    many characters have no meaning.
    """
    letters = [c for c in unicodedata.normalize("NFD", text.lower()) if c.isalpha()]
    latin = [c for c in letters if c < "\u0250"]
    meaningless = sum(unicodedata.category(c) in ("Co", "Cn", "Cc") or c == "\ufffd" for c in text)
    if meaningless > MEANINGLESS * len(text):
        return True
    if len(latin) < MIN_LETTERS or len(latin) < len(letters) / 2:
        return False
    return sum(c in COMMON_LETTERS for c in latin) < LEAST_COMMON * len(latin)


def _shares_words(text: str, read: str) -> bool:
    """Whether a page's text has many of the words that were read on it."""
    words = set(re.findall(r"\w{3,}", read.lower()))
    return not words or len(words & set(re.findall(r"\w{3,}", text.lower()))) > SHARED_WORDS * len(words)


def passages(text: str) -> list[str]:
    """Cut text into pieces of at most PASSAGE_CHARACTERS.

    Each is cut after a sentence where one ends in its second half, otherwise between words.
    """
    found, rest = [], flowing(text)
    while len(rest) > PASSAGE_CHARACTERS:
        cut = max(rest.rfind(end, PASSAGE_CHARACTERS // 2, PASSAGE_CHARACTERS) + 1 for end in (". ", "! ", "? "))
        cut = cut or rest.rfind(" ", 1, PASSAGE_CHARACTERS) + 1 or PASSAGE_CHARACTERS
        found.append(rest[:cut].strip())
        rest = rest[cut:]
    return [*found, *([rest.strip()] if rest.strip() else [])]


def _convert_to_pdf(path: Path, folder: Path) -> Path:
    """Convert an office file with LibreOffice and return the PDF, which is written into `folder`. Raises UnreadableMedia."""
    office = shutil.which("soffice") or shutil.which("libreoffice")
    if not office:
        raise UnreadableMedia("office files are read through LibreOffice; install it, or save the file as PDF")
    profile = f"-env:UserInstallation={(folder / 'profile').as_uri()}"
    command = [office, profile, "--headless", "--convert-to", "pdf", "--outdir", str(folder), str(path.absolute())]
    try:
        with _CONVERTING:
            status = path.stat()
            key = str(path.absolute()), status.st_size, status.st_mtime_ns
            if key in _CONVERTED:
                (folder / "document.pdf").write_bytes(_CONVERTED[key])
                return folder / "document.pdf"
            _run(command, OFFICE_TIMEOUT_SECONDS)
            made = next(folder.glob("*.pdf"))
            if made.stat().st_size <= LARGEST_KEPT:
                while len(_CONVERTED) >= KEPT:
                    del _CONVERTED[next(iter(_CONVERTED))]
                _CONVERTED[key] = made.read_bytes()
            return made
    except (subprocess.SubprocessError, OSError, StopIteration):
        raise UnreadableMedia("LibreOffice cannot read it; open it there, or save it as PDF") from None


def _run(command: list[str], seconds: float) -> None:
    """Run a program to its end; after `seconds`, or when interrupted, kill it with all that it started.

    Raises SubprocessError where it fails or is killed, and OSError where it cannot be started.
    """
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True) as process:
        try:
            status = process.wait(seconds)
        except BaseException:
            _kill_group(process)
            raise
    if status:
        raise subprocess.CalledProcessError(status, command)


def _kill_group(process: "subprocess.Popen[bytes]") -> None:
    """Kill a process and all that it started; on Windows, which has no process groups, the process only."""
    if hasattr(os, "killpg") and hasattr(signal, "SIGKILL"):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
