"""Text in images, read by RapidOCR with the models of its package, where it is installed."""

import json
import logging
import threading
from dataclasses import astuple, dataclass
from functools import cache
from typing import Any

from PIL import Image, ImageFilter

from .flowing import flowing

CLEAR, FAINT = 0.5, 0.3
"""How likely a box has to be one of text: in photographs, and on screens, where words are small and nothing else looks like them."""
MIN_CONFIDENCE = 0.6
"""Lines that RapidOCR is less sure of are dropped, of 1."""
MAX_ASPECT_RATIO = 100
"""Longer side over shorter side; images beyond it are not read, because RapidOCR fails on them."""
MIN_CONTRAST = 16
"""Of 255; a picture whose lightest and darkest parts differ by less is blank."""
GLANCE = 640
"""Pixels along the longer side of an image in which it is first looked whether there is any text."""
_READING = threading.Lock()
"""RapidOCR reads one image at a time."""


@dataclass(frozen=True)
class Line:
    """A line of text in an image, and the box around it as shares of the image's width and height."""

    text: str
    left: float
    top: float
    right: float
    bottom: float


def words(picture: Image.Image) -> str:
    """Return the text in an RGB image, its lines joined by spaces; empty where RapidOCR is not installed."""
    return flowing("\n".join(line.text for line in lines(picture)))


def lines(picture: Image.Image) -> list[Line]:
    """Return the lines of text in an RGB image; none where RapidOCR is not installed."""
    found, _ = _read(picture, CLEAR)
    return [line for line in found if len(line.text.strip()) > 1]  # in photographs a ring is read as an O


def lines_and_words(picture: Image.Image) -> list[tuple[Line, list[Line]]]:
    """Return the lines of text in an RGB image, those of one character too, each with its words."""
    found, words = _read(picture, FAINT, return_word_box=True)
    return [(line, [_line(box, text, picture) for text, _, box in parts]) for line, parts in zip(found, words)]


def _read(picture: Image.Image, box_thresh: float, **options: Any) -> tuple[list[Line], list[Any]]:
    """Return the lines that RapidOCR is sure enough of, and the words of each as RapidOCR has them.

    box_thresh: how likely a box has to be one of text. RapidOCR keeps it for the next picture, so that each has to name it.
    """
    ocr = reader()
    if ocr is None or not _may_show_text(picture):
        return [], []
    with _READING:
        result = ocr(_without_dots(picture), box_thresh=box_thresh, **options)
    if result.boxes is None or result.txts is None:
        return [], []
    words = result.word_results or [()] * len(result.txts)
    read = zip(result.boxes, result.txts, result.scores or (), words)
    kept = [(_line(box, text, picture), parts) for box, text, score, parts in read if score >= MIN_CONFIDENCE and text.strip()]
    return [line for line, _ in kept], [parts for _, parts in kept]


def shows_text(picture: Image.Image) -> bool:
    """Whether there is any text in an RGB image, as far as a small copy of it shows: several times as fast as reading it."""
    if reader() is None or not _may_show_text(picture):
        return False
    small = picture.copy()
    small.thumbnail((GLANCE, GLANCE))
    with _READING:
        result = _detector()(small, use_cls=False, use_rec=False)
    return result.boxes is not None and len(result.boxes) > 0


def _may_show_text(picture: Image.Image) -> bool:
    """Whether an RGB image has a shape that RapidOCR can read, and is not blank."""
    low, high = picture.convert("L").getextrema()
    readable = max(picture.size) <= MAX_ASPECT_RATIO * min(picture.size)
    return readable and float(high) - float(low) >= MIN_CONTRAST  # type: ignore[arg-type]  # of one band, two numbers


def _without_dots(picture: Image.Image) -> Image.Image:
    """Return an RGB image without the single dots that stand for grey where it is only black and white, as faxes are."""
    grey = picture.convert("L")
    return picture if grey.getcolors(2) is None else grey.filter(ImageFilter.MedianFilter(3)).convert("RGB")


def _line(box: Any, text: str, picture: Image.Image) -> Line:
    """Return a line with the upright box around its four corners."""
    xs, ys = [x / picture.width for x, _ in box], [y / picture.height for _, y in box]
    return Line(text, *(round(float(min(1, max(0, share))), 4) for share in (min(xs), min(ys), max(xs), max(ys))))


def as_text(found: list[Line]) -> str:
    """Return lines as they are stored: JSON; empty where there are none."""
    return json.dumps([astuple(line) for line in found], ensure_ascii=False) if found else ""


def from_text(stored: str | None) -> list[Line]:
    """Return the lines that `as_text` was given."""
    return [Line(*values) for values in json.loads(stored)] if stored else []


@cache
def reader() -> Any:
    """Return a rapidocr.RapidOCR, loaded once, or None where it is not installed."""
    return _open({})


@cache
def _detector() -> Any:
    """Return one that looks at images in the size that they have."""
    return _open({"Det.limit_type": "max", "Det.limit_side_len": GLANCE})


def _open(params: dict[str, Any]) -> Any:
    try:
        from rapidocr import RapidOCR
    except ImportError:
        return None
    logging.getLogger("RapidOCR").setLevel(logging.ERROR)
    return RapidOCR(params={"Global.log_level": "error"} | params)
