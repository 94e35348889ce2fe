"""Pictures of the library as small or large JPEGs, and never anything else of the disk."""

import contextlib
import os
import threading
from pathlib import Path
from typing import Any

from PIL import Image

from ..errors import UnreadableMedia
from ..index.segments import content_hash
from ..library import THUMBNAILS, Library
from ..media import image as image_media

SIDES = {"small": 480, "large": 2048}
"""Longest sides of what is served, in pixels."""


class Pictures:
    """What the pages show of a library's files; small ones are made once and kept beside the library."""

    def __init__(self, library: Library):
        self.library, self.kept = library, library.path / THUMBNAILS

    def jpeg(self, segment: dict[str, Any], size: str) -> bytes:
        """A segment's picture. Raises UnreadableMedia where it cannot be read, or has left the folder that was indexed."""
        kept = self.kept / segment["hash"][:2] / f"{segment['hash']}.jpg"
        if size == "small" and self.unchanged(segment):
            with contextlib.suppress(OSError):
                return kept.read_bytes()
        data = self.read(segment)
        made = image_media.jpeg(decoded(segment, data), SIDES[size])
        if size == "small" and content_hash(data) == segment["hash"]:
            keep(kept, made)
        return made

    def open(self, segment: dict[str, Any]) -> Image.Image:
        """The picture itself. Raises UnreadableMedia."""
        return decoded(segment, self.read(segment))

    def unchanged(self, segment: dict[str, Any]) -> bool:
        """Whether the file is as it was indexed, by size and time. Raises UnreadableMedia where it may not be shown."""
        path = inside(segment["path"], segment["root"])
        with contextlib.suppress(OSError):
            found = path.stat()
            return (found.st_size, found.st_mtime_ns) == (segment["size"], segment["mtime"])
        return False

    def read(self, segment: dict[str, Any]) -> bytes:
        try:
            return inside(segment["path"], segment["root"]).read_bytes()
        except OSError as error:
            raise UnreadableMedia(f"{segment['path']}: {error.strerror or error}; index its folder again") from None


def decoded(segment: dict[str, Any], data: bytes) -> Image.Image:
    return image_media.read_named(segment["path"], data, SIDES["large"] // 2)


def inside(path: str, root: str) -> Path:
    """Where a file really lies. Raises UnreadableMedia if that is outside the folder that was indexed."""
    real, within = os.path.realpath(path), os.path.realpath(root)
    if real != within and os.path.commonpath([real, within]) != within:
        raise UnreadableMedia(f"{path} leads out of the folder that was indexed; index the folder it leads to")
    return Path(real)


def keep(path: Path, data: bytes) -> None:
    """Write a file whole or not at all; where the disk is full or cannot be written to, do without."""
    part = path.with_name(f"{path.name}.{threading.get_ident()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(data)
        part.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
