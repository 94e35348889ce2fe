"""Text in the pictures and videos of a library, read after they are indexed: it takes longer than their vectors.

It can be stopped at any time, and goes on with what was not read yet; the library is held for writing only while lines are stored.
"""

import math
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from ...core.errors import LibraryBusy, UnreadableMedia
from ...media import ocr
from ...media.image import opaque
from ...media.thumbnails import thumbnail
from ..store.lance import LAST_SECONDS, Store, id_conditions
from ..store.records import Segment
from .scan import storable

SIDE = 1000
"""Pixels along the shorter side of what is read."""
FLUSH_SECONDS = 60
"""Lines are stored this often, unless the library is busy; a pass that is killed reads what it has not stored again."""

ReadingProgress = Callable[[int, int], None]
"""Called with the number of pictures read, and the number to read."""


def read_pictures(store: Store, fingerprint: str, progress: ReadingProgress | None = None, seconds: float = math.inf) -> int:
    """Read the text in pictures and shots that were not read yet, for so long at the most; return how many were.

    Raises LibraryError, LibraryBusy.
    """
    begun = time.monotonic()
    waiting, written, due = store.unread(), dict[str, tuple[str, str]](), begun + FLUSH_SECONDS
    by_content: dict[tuple[str, float | None], list[Segment]] = {}
    for segment in waiting:
        by_content.setdefault((segment.hash, segment.start), []).append(segment)
    count = 0
    try:
        for copies in by_content.values():
            text = _read(copies[0])
            if text is not None:
                written |= {segment.id: (segment.hash, text) for segment in copies}
                count += len(copies)
            if progress:
                progress(count, len(waiting))
            if time.monotonic() > begun + seconds:
                break
            if time.monotonic() > due:
                with suppress(LibraryBusy):  # later
                    _store(store, fingerprint, written)
                due = time.monotonic() + FLUSH_SECONDS
    finally:
        _store(store, fingerprint, written, LAST_SECONDS)
    return count


def _read(segment: Segment) -> str | None:
    """Return the lines in a picture or in the middle of a shot, as they are stored; None where it cannot be opened now, or is another."""
    try:
        picture = opaque(thumbnail(segment, SIDE))
        if storable(os.stat(segment.path).st_mtime_ns) != segment.mtime:
            return None
    except (UnreadableMedia, OSError):
        return None
    return ocr.as_text(ocr.lines(picture) if ocr.shows_text(picture) else [])


def _store(store: Store, fingerprint: str, written: dict[str, tuple[str, str]], seconds: float = 0.0) -> None:
    """Store what was read, by segment's id, where its content is still that of the hash, and forget it here.

    Waits so long for another process that writes. Raises LibraryBusy.
    """
    if not written:
        return

    def with_text(segment: Segment) -> Segment:
        hash, text = written[segment.id]
        return replace(segment, written=text) if segment.hash == hash else segment

    with store.writing(seconds):
        for condition in id_conditions(written):
            store.annotate(condition, with_text)
        store.finish(fingerprint)
    written.clear()
