"""Text files, Markdown, web pages, books and mails → their text, and sheets of paper on which it is drawn.

Nothing that they name is opened: no picture, no style, no address.
"""

import email
import email.policy
import io
import posixpath
import textwrap
import zipfile
from collections.abc import Callable
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote
from xml.etree.ElementTree import ParseError

from PIL import Image, ImageDraw, ImageFont

from ..core.errors import UnreadableMedia, error_summary

MAX_BYTES = 20_000_000
"""Larger text files are not read: they are logs, or data. So are books whose chapters are longer, once unpacked."""
GUESSED = 200_000
"""Bytes by which the encoding is guessed."""
UNSEEN = frozenset({"script", "style", "template", "noscript"})
"""Elements of a web page whose text nobody sees."""
BLOCKS = frozenset(
    "address article aside blockquote br dd details dialog div dl dt fieldset figcaption figure footer form h1 h2 h3 h4 h5 h6 header hr li main "
    "nav ol option p pre section summary table td th title tr ul".split()
)
"""Elements that begin a line."""
COLUMNS, LINES = 84, 60
"""Characters of a line, and lines of a sheet."""
PAPER, MARGIN, LINE = (1000, 1414), 60, 21.5
"""Size of a sheet as it is drawn first, and the distances of its edge and of its lines: pixels."""
FONTS = ("NotoSansCJK-Regular.ttc", "NotoSans-Regular.ttf", "DejaVuSans.ttf", "Arial Unicode.ttf", "arial.ttf")
"""Fonts with many scripts; the first that the system has is used for what is not Latin."""
BROKEN = 0.2
"""Largest share of characters beyond ASCII that may be broken in UTF-8."""
HEADERS = ("Subject", "From", "To", "Cc", "Date")
"""Of a mail, what is read before its text."""


def read_text(path: Path) -> str:
    """Return the text of a file, lines as they are. Raises UnreadableMedia, OSError."""
    if path.stat().st_size > MAX_BYTES:
        raise UnreadableMedia(f"it has over {MAX_BYTES // 10**6} MB of text; cut it into parts")
    data = path.read_bytes()
    try:
        text = READERS.get(path.suffix.lower(), decoded)(data)
    except UnreadableMedia:
        raise
    except Exception as error:  # parsers raise errors of every kind, and one bad file must not stop a run
        raise UnreadableMedia(f"it is broken ({error_summary(error)}); open it to check") from None
    if not text.strip():
        raise UnreadableMedia("it has no text; nothing to find in it")
    return text


def decoded(data: bytes) -> str:
    """Return bytes as text: UTF-8, or what a byte order mark says, or the likeliest encoding. Raises UnreadableMedia."""
    for mark, encoding in ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if data.startswith(mark):
            return data.decode(encoding, "replace")
    if b"\0" in data[:GUESSED]:
        raise UnreadableMedia("it holds no text, whatever its name says; open it to check")
    try:
        return data.decode()
    except UnicodeDecodeError:
        replaced = data.decode("utf-8", "replace")
        if replaced.count("\ufffd") <= BROKEN * sum(c > "\x7f" for c in replaced):  # UTF-8 with a broken byte here and there
            return replaced
        from charset_normalizer import from_bytes

        best = from_bytes(data[:GUESSED]).best()
        return data.decode(best.encoding if best else "cp1252", "replace")


class _PageText(HTMLParser):
    """Collects what is seen of a web page."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self.unseen = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.unseen += tag in UNSEEN
        if tag in BLOCKS:
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        self.unseen = max(0, self.unseen - (tag in UNSEEN))
        if tag in BLOCKS:
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        if not self.unseen:
            self.parts.append(data)


def page_text(html: str) -> str:
    """Return what one reads on a web page, a line for each block."""
    parser = _PageText()
    parser.feed(html)
    parser.close()
    lines = (" ".join(line.split()) for line in "".join(parser.parts).split("\n"))
    return "\n".join(line for line in lines if line)


def _web_page(data: bytes) -> str:
    return page_text(decoded(data))


def _mail(data: bytes) -> str:
    """Return a mail's subject, people and text; attachments are not read."""
    message = email.message_from_bytes(data, policy=email.policy.default)
    lines = [f"{name}: {message[name]}" for name in HEADERS if message[name]]
    body = message.get_body(("plain", "html"))
    if body is not None:
        try:
            text = str(body.get_content())
        except LookupError:  # an encoding that nobody knows
            text = decoded(bytes(body.get_payload(decode=True) or b""))
        lines += ["", page_text(text) if body.get_content_type() == "text/html" else text]
    return "\n".join(lines)


def _book(data: bytes) -> str:
    """Return the chapters of an EPUB in reading order. EPUB 3.3, §4 and §5. Raises UnreadableMedia."""
    from defusedxml.ElementTree import fromstring

    try:
        with zipfile.ZipFile(io.BytesIO(data)) as book:
            sizes = {entry.filename: entry.file_size for entry in book.infolist()}

            def read(*paths: str) -> list[bytes]:
                if sum(sizes[path] for path in paths) > MAX_BYTES:
                    raise UnreadableMedia(f"its chapters have over {MAX_BYTES // 10**6} MB; cut it into parts")
                return [book.read(path) for path in paths]

            root = fromstring(read("META-INF/container.xml")[0]).find(".//{*}rootfile")
            package_path = str(root.get("full-path")) if root is not None else ""
            package = fromstring(read(package_path)[0])
            if "META-INF/encryption.xml" in sizes and any("rights" in name for name in sizes):
                raise UnreadableMedia("it is locked by its seller; nothing can be read in it")
            files = {item.get("id"): item.get("href") for item in package.iterfind(".//{*}manifest/{*}item")}
            chapters = [files.get(item.get("idref")) for item in package.iterfind(".//{*}spine/{*}itemref")]
            folder = posixpath.dirname(package_path)
            paths = [posixpath.normpath(posixpath.join(folder, unquote(chapter))) for chapter in chapters if chapter]
            texts = [page_text(decoded(chapter)) for chapter in read(*(path for path in paths if path in sizes))]
            title = package.findtext(".//{*}title") or ""
    except (zipfile.BadZipFile, KeyError, AttributeError, ParseError) as error:
        raise UnreadableMedia(f"it is broken or no EPUB ({error_summary(error)}); open it to check") from None
    return "\n".join([title, *texts])


READERS: dict[str, Callable[[bytes], str]] = {
    ".html": _web_page,
    ".htm": _web_page,
    ".xhtml": _web_page,
    ".eml": _mail,
    ".epub": _book,
}
"""Ending → what reads it; others are plain."""


Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


class TextDocument:
    """A text file as sheets of paper."""

    def __init__(self, path: Path):
        """Raises UnreadableMedia, OSError."""
        lines = [part for line in read_text(path).expandtabs(4).splitlines() for part in textwrap.wrap(line, COLUMNS) or [""]]
        self.sheets = [lines[i : i + LINES] for i in range(0, len(lines), LINES)]

    @property
    def count(self) -> int:
        """How many sheets there are."""
        return len(self.sheets)

    def text(self, number: int) -> str:
        """Return what is written on the sheet of this number, from 1."""
        return "\n".join(self.sheets[number - 1])

    def render(self, number: int, side: int) -> Image.Image:
        """Return a sheet as RGB, with `side` pixels along the shorter side."""
        sheet = Image.new("RGB", PAPER, "white")
        draw, font = ImageDraw.Draw(sheet), _font(self.text(number).isascii())
        for i, line in enumerate(self.sheets[number - 1]):
            draw.text((MARGIN, MARGIN + i * LINE), line, fill="#222", font=font)
        return sheet.resize((side, round(side * PAPER[1] / PAPER[0])), Image.Resampling.LANCZOS)

    def marks(self, number: int, words: list[str]) -> list[tuple[float, float, float, float]]:
        """Return where words are on a sheet: left, top, right and bottom of each, as shares of its width and height."""
        font, boxes = _font(self.text(number).isascii()), []
        for i, line in enumerate(self.sheets[number - 1]):
            for word in words:
                at = line.lower().find(word.lower())
                if at >= 0:
                    left, right = (MARGIN + font.getlength(line[:end]) for end in (at, at + len(word)))
                    top = MARGIN + i * LINE
                    boxes.append((left / PAPER[0], top / PAPER[1], right / PAPER[0], (top + LINE) / PAPER[1]))
        return boxes


@cache
def _font(is_ascii: bool) -> Font:
    for name in () if is_ascii else FONTS:
        try:
            return ImageFont.truetype(name, 17)
        except OSError:
            continue
    return ImageFont.load_default(17)
