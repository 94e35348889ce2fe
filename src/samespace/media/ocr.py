"""Words in pictures, read by RapidOCR with the models of its package, where it is installed."""

import logging
import threading
from functools import cache
from typing import Any

from PIL import Image

SURE = 0.6
"""How sure of a line the reader is at least."""
STRIP = 100
"""How many times as long as wide a picture may be: the reader makes nothing of a hair."""
ONE_AT_A_TIME = threading.Lock()


def words(picture: Image.Image) -> str:
    """What is written in a picture (RGB), line after line; empty where no reader is installed, and of a mere strip."""
    found = reader()
    if found is None or max(picture.size) > STRIP * min(picture.size):
        return ""
    with ONE_AT_A_TIME:
        read = found(picture)
    lines = zip(read.txts or (), read.scores or ())
    return " ".join(text for text, score in lines if score >= SURE and len(text.strip()) > 1)  # a ring would be an O


@cache
def reader() -> Any:
    """RapidOCR, or None where it is not installed."""
    try:
        from rapidocr import RapidOCR
    except ImportError:
        return None
    logging.getLogger("RapidOCR").setLevel(logging.ERROR)
    return RapidOCR(params={"Global.log_level": "error"})
