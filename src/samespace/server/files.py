"""Pictures of the library as small or large JPEGs, and never anything else of the disk."""

import contextlib
import os
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from PIL import Image

from ..core.errors import UnreadableMedia
from ..library.indexing.segments import still
from ..library.library import THUMBNAILS, Library
from ..media import image as image_media

SIDES = {"small": 480, "large": 2048}
"""Longest sides of what is served, in pixels."""


class Pictures:
    """What the pages show of a library's files; small ones are made once and kept beside the library."""

    def __init__(self, library: Library):
        self.library, self.kept = library, library.home.folder / THUMBNAILS

    def jpeg(self, segment: dict[str, Any], size: str) -> bytes:
        """What a segment looks like. Raises UnreadableMedia where it cannot be read, or has left the folder indexed."""
        where = "".join(f"-{segment[n]:.2f}" for n in ("start", "end", "page") if segment.get(n) is not None)
        kept = self.kept / segment["hash"][:2] / f"{segment['hash']}{where}.jpg"
        unchanged = self.unchanged(segment)
        if size == "small" and unchanged:
            with contextlib.suppress(OSError):
                return kept.read_bytes()
        made = image_media.jpeg(self.open(segment), SIDES[size])
        if size == "small" and unchanged:
            keep(kept, made)
        return made

    def open(self, segment: dict[str, Any]) -> Image.Image:
        """The same as a picture. Raises UnreadableMedia."""
        inside(segment["path"], segment["root"])
        shown = {name: segment.get(name) for name in ("path", "kind", "start", "end", "page")}
        return still(SimpleNamespace(**shown), SIDES["large"] // 2)

    def file(self, segment: dict[str, Any]) -> Path:
        """Where sound or film lies, to be played. Raises UnreadableMedia where it may not be."""
        if segment["kind"] not in ("audio", "video"):
            raise UnreadableMedia(f"{segment['path']} is nothing to play; look at it instead")
        return inside(segment["path"], segment["root"])

    def unchanged(self, segment: dict[str, Any]) -> bool:
        """Whether the file is as it was indexed, by size and time. Raises UnreadableMedia where it may not be shown."""
        path = inside(segment["path"], segment["root"])
        with contextlib.suppress(OSError):
            found = path.stat()
            return (found.st_size, found.st_mtime_ns) == (segment["size"], segment["mtime"])
        return False


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
