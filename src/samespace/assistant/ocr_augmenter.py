"""OCR: the text in an image is added after it, because a small language model cannot read it from patches."""

import threading
from dataclasses import replace

from cachetools import LRUCache

from ..media import ocr
from .augment import Features
from .request import Message, Picture

SIDE = 1200
"""Pixels along the shorter side of an image that is read, if it has them."""
MAX_CHARACTERS = 1200
"""Characters of an image's text that are added."""
CACHED_IMAGES = 64
"""Images whose text is cached."""


class OcrAugmenter:
    """Adds the text in each image after it; an image is read once."""

    def __init__(self) -> None:
        self.cache: LRUCache[str, str] = LRUCache(CACHED_IMAGES)  # digest → text
        self._lock = threading.Lock()  # for the cache

    def augment(self, messages: tuple[Message, ...], features: Features) -> tuple[Message, ...]:
        """Return the conversation with each image's text after it. Raises UnreadableMedia."""
        return tuple(replace(m, parts=tuple(p for part in m.parts for p in self._with_text(part))) for m in messages)

    def _with_text(self, part: str | Picture) -> tuple[str | Picture, ...]:
        """Return a part and, where it is an image whose text is not included yet, its text."""
        text = self.text_in(part) if isinstance(part, Picture) and not part.text_included else ""
        return (part, f'The picture says "{text}".') if text else (part,)

    def text_in(self, picture: Picture) -> str:
        """Return the text in an image, empty where no reader is installed. Raises UnreadableMedia."""
        with self._lock:
            text = self.cache.get(picture.digest)
        if text is None:
            text = ocr.words(picture.decode(SIDE))[:MAX_CHARACTERS] if ocr.reader() else ""
            with self._lock:
                self.cache[picture.digest] = text
        return text
