"""A library's files as the pages show them: small or large JPEGs and media to play, and nothing else of the disk."""

import contextlib
import os
import threading
from collections.abc import Iterable
from pathlib import Path

from PIL import Image
from starlette.exceptions import HTTPException

from ...core.errors import UnreadableMedia
from ...library.library import Library
from ...library.store.records import Segment
from ...media import image as image_media
from ...media.thumbnails import thumbnail

SMALL, LARGE = "small", "large"
LONGEST_SIDE = {SMALL: 480, LARGE: 2048}
"""Pixels along the longer side of the JPEGs."""
END_OF_JPEG = b"\xff\xd9"
PLAYABLE = ("audio", "video")
"""Kinds of files that can be played."""


class LibraryMedia:
    """Media of a library. Small JPEGs are made once and stored in its folder."""

    def __init__(self, library: Library):
        self.library, self.folder = library, library.location.thumbnails

    def segment(self, id: str) -> Segment:
        """Return an indexed segment. Raises HTTPException 404 where there is none of this id."""
        segment = self.library.segment(id)
        if segment is None:
            raise not_found(id)
        return segment

    def stored(self, segment: Segment) -> bytes | None:
        """Return the small JPEG of a segment that was made before; None where there is none, or a part of one.

        Raises UnreadableMedia where it is no longer in its indexed folder.
        """
        if is_unchanged(segment):
            with contextlib.suppress(OSError):
                data = self.stored_path(segment).read_bytes()
                return data if data.endswith(END_OF_JPEG) else None  # the power may have been cut while it was written
        return None

    def jpeg(self, segment: Segment, size: str) -> bytes:
        """Return what a segment looks like; `size` is SMALL, which is stored, or LARGE.

        Raises UnreadableMedia where it cannot be read, or is no longer in its indexed folder.
        """
        data = image_media.jpeg(self.open(segment), LONGEST_SIDE[size])
        if size == SMALL and is_unchanged(segment):
            write_if_possible(self.stored_path(segment), data)
        return data

    def stored_path(self, segment: Segment) -> Path:
        """Return where the small JPEG of a segment is stored."""
        place = "".join(f"-{n:.2f}" for n in (segment.start, segment.end, segment.page) if n is not None)
        return self.folder / segment.hash[:2] / f"{segment.hash}{place}.jpg"

    def open(self, segment: Segment) -> Image.Image:
        """Return what a segment looks like, about as large as LARGE. Raises as `jpeg`."""
        resolve_within(segment.path, segment.root)
        return thumbnail(segment, LONGEST_SIDE[LARGE] // 2)

    def playable_file(self, segment: Segment) -> Path:
        """Return the audio or video file of a segment. Raises UnreadableMedia where it may not be served, or is not there."""
        if segment.kind not in PLAYABLE:
            raise UnreadableMedia(f"{segment.path} is nothing to play; look at it instead")
        path = resolve_within(segment.path, segment.root)
        if not path.is_file():
            raise UnreadableMedia(f"{segment.path} is not there; mount its disk, or index its folder again")
        return path


def not_found(id: str) -> HTTPException:
    """Return the error for an id that no segment has."""
    return HTTPException(404, f"no picture here has the id {id[:40]!r}; search again")


def is_unchanged(segment: Segment) -> bool:
    """Whether a file is as it was indexed, by size and time. Raises UnreadableMedia where it may not be served."""
    path = resolve_within(segment.path, segment.root)
    with contextlib.suppress(OSError):
        found = path.stat()
        return (found.st_size, found.st_mtime_ns) == (segment.size, segment.mtime)
    return False


def resolve_within(path: str, root: str) -> Path:
    """Return a path with symbolic links resolved. Raises UnreadableMedia if that is outside `root`."""
    if not is_within(path, [root]):
        raise UnreadableMedia(f"{path} leads out of the folder that was indexed; index the folder it leads to")
    return Path(os.path.realpath(path))


def is_within(path: str, roots: Iterable[str]) -> bool:
    """Whether a path, with symbolic links resolved, is in one of some folders."""
    real = os.path.realpath(path)
    return any(real == root or os.path.commonpath([real, root]) == root for root in map(os.path.realpath, roots))


def write_if_possible(path: Path, data: bytes) -> None:
    """Write a file, whole or not at all; do nothing where the disk is full or read-only."""
    part = path.with_name(f"{path.name}.{threading.get_ident()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(data)
        part.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
