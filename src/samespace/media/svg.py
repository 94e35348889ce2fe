"""SVG drawings → pixels, by resvg, in a process of its own: a drawing can name other files, and keep a renderer busy or crash it.

A drawing is rendered only if it names nothing outside itself; the process may use little time and memory.
"""

import gzip
import io
import re
import subprocess
import sys
import zlib
from pathlib import Path
from xml.etree.ElementTree import ParseError

from PIL import Image

from ..core.errors import MissingExtra, UnreadableMedia

SECONDS, MEMORY = 20, 2_000_000_000
"""Longest time and largest memory, in bytes, that a drawing may take."""
MAX_BYTES = 50_000_000
"""Larger drawings, once unpacked, are refused."""
MAX_DEPTH = 200
"""Elements within elements."""
MAX_SIDE = 4096
"""Pixels along the longer side of what is rendered."""
PICTURE = re.compile(r"data:image/(png|jpe?g|gif|webp);", re.IGNORECASE)
"""What a drawing may contain: pictures; another drawing could name files again."""
REFERENCE = re.compile(r"url\((?!\s*[\"']?\s*#)|@import", re.IGNORECASE)
"""What names something outside the drawing, in a style."""


def is_svg(path: Path, data: bytes) -> bool:
    """Whether a file is an SVG drawing, by its suffix or its first bytes."""
    return path.suffix.lower() in (".svg", ".svgz") or b"<svg" in data[:512]


def render(data: bytes, side: int) -> Image.Image:
    """Return a drawing as RGBA, with about `side` pixels along the shorter side. Raises UnreadableMedia."""
    text = _unpacked(data)
    _check(text)
    command = [sys.executable, "-P", "-c", WORKER, str(side), str(MAX_SIDE), str(MEMORY)]
    try:
        done = subprocess.run(command, input=text, capture_output=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise UnreadableMedia("the drawing takes too long to render; export it as PNG") from None
    if done.returncode == 3:
        raise UnreadableMedia(str(MissingExtra("reading SVG drawings", "svg")))
    if done.returncode or not done.stdout:
        raise UnreadableMedia("the drawing cannot be rendered; open it to check, or export it as PNG")
    image = Image.open(io.BytesIO(done.stdout), formats=("PNG",))
    image.load()
    return image


WORKER = """
import sys
try:
    import resource
    resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[3]), int(sys.argv[3])))
except (ImportError, ValueError, OSError):
    pass
try:
    import resvg_py
except ImportError:
    sys.exit(3)
from io import BytesIO
from PIL import Image
text, side, most = sys.stdin.buffer.read().decode("utf-8", "replace"), int(sys.argv[1]), int(sys.argv[2])
small = Image.open(BytesIO(bytes(resvg_py.svg_to_bytes(svg_string=text, width=64, height=64))))
width, height = small.size
scale = min(side / min(width, height), most / max(width, height))
size = max(1, round(width * scale)), max(1, round(height * scale))
sys.stdout.buffer.write(bytes(resvg_py.svg_to_bytes(svg_string=text, width=size[0], height=size[1])))
"""
"""The program of the process: 64 × 64 pixels are filled as far as the drawing's shape allows, which tells its shape."""


def _unpacked(data: bytes) -> bytes:
    """Return a drawing that may be compressed (SVGZ). Raises UnreadableMedia."""
    if data[:2] == b"\x1f\x8b":
        try:
            with gzip.open(io.BytesIO(data)) as file:
                data = file.read(MAX_BYTES + 1)
        except (OSError, EOFError, zlib.error):
            raise UnreadableMedia("the drawing is cut short; restore it from a backup") from None
    if len(data) > MAX_BYTES:
        raise UnreadableMedia(f"the drawing is over {MAX_BYTES // 10**6} MB; export it as PNG")
    return data


def _check(text: bytes) -> None:
    """Refuse a drawing that is none, names what is outside itself, or is nested so deeply that resvg crashes.

    Raises UnreadableMedia.
    """
    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import iterparse

    depth = 0
    try:
        for event, element in iterparse(io.BytesIO(text), events=("start", "end"), forbid_entities=True):
            depth += 1 if event == "start" else -1
            if depth > MAX_DEPTH:
                raise UnreadableMedia("the drawing is nested too deeply; export it as PNG")
            if event == "end":
                _check_element(element.tag.rpartition("}")[2], element.attrib, element.text or "")
    except DefusedXmlException:
        raise UnreadableMedia("the drawing defines XML entities, which could fill the memory; export it as PNG") from None
    except ParseError:
        raise UnreadableMedia("the drawing is broken XML; open it to check, or export it as PNG") from None


def _check_element(tag: str, attributes: dict[str, str], text: str) -> None:
    for name, value in attributes.items():
        outside = (
            name.rpartition("}")[2] == "href"
            and tag != "a"
            and not (value.strip().startswith("#") or PICTURE.match(value.strip()))
        )
        if outside or REFERENCE.search(value):
            raise UnreadableMedia("the drawing names a file outside itself; export it as PNG")
    if tag == "style" and REFERENCE.search(text):
        raise UnreadableMedia("the drawing names a file outside itself; export it as PNG")
