"""Text in images, read by RapidOCR with the models of its package, where it is installed."""

import logging
import threading
from functools import cache
from typing import Any

from PIL import Image

MIN_CONFIDENCE = 0.6
"""Lines that RapidOCR is less sure of are dropped, of 1."""
MAX_ASPECT_RATIO = 100
"""Longer side over shorter side; images beyond it are not read, because RapidOCR fails on them."""
_READING = threading.Lock()
"""RapidOCR reads one image at a time."""


def words(picture: Image.Image) -> str:
    """Return the text in an RGB image, its lines joined by spaces; empty where RapidOCR is not installed."""
    ocr = reader()
    if ocr is None or max(picture.size) > MAX_ASPECT_RATIO * min(picture.size):
        return ""
    with _READING:
        result = ocr(picture)
    lines = zip(result.txts or (), result.scores or ())
    # single characters are dropped: a ring is read as an O
    return " ".join(text for text, confidence in lines if confidence >= MIN_CONFIDENCE and len(text.strip()) > 1)


@cache
def reader() -> Any:
    """Return a rapidocr.RapidOCR, loaded once, or None where it is not installed."""
    try:
        from rapidocr import RapidOCR
    except ImportError:
        return None
    logging.getLogger("RapidOCR").setLevel(logging.ERROR)
    return RapidOCR(params={"Global.log_level": "error"})
