"""What a segment looks like, and where in its file it is."""

from pathlib import Path
from typing import Protocol

from PIL import Image

from ..core.errors import UnreadableMedia

FOLDER = ".thumbnails"
"""Subfolder of a library's folder for thumbnails; indexing enters no folder whose name begins with a dot."""


class HasPlace(Protocol):
    """A place in a file: a Hit, a Segment."""

    @property
    def path(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def start(self) -> float | None: ...
    @property
    def end(self) -> float | None: ...
    @property
    def page(self) -> int | None: ...


def thumbnail(segment: HasPlace, side: int) -> Image.Image:
    """Return an image, the middle frame of a shot, a waveform or a page, with about `side` pixels along the shorter side.

    Raises UnreadableMedia naming the file.
    """
    from ..media import audio, document, video  # decoders, which `locator` needs none of
    from ..media import image as image_media

    path = Path(segment.path)
    try:
        if segment.kind == "document":
            return document.page_at(path, segment.page or 1, side)
        if segment.kind == "video" and video.has_video(path):
            return video.frame_at(path, ((segment.start or 0.0) + (segment.end or 0.0)) / 2, side)
        if segment.kind in ("audio", "video"):
            return audio.waveform(path, segment.start or 0.0, segment.end)
        return image_media.read(path, path.read_bytes(), side)[0]
    except UnreadableMedia as error:
        raise UnreadableMedia(f"{path}: {error.reason}") from None
    except OSError as error:
        raise UnreadableMedia(f"{path}: {error.strerror or error}; index its folder again") from None


def locator(segment: HasPlace) -> str:
    """Return where in its file a segment is: "page 2", "1:05–1:12", "1:05" where it lasts less than a second, or nothing."""
    return locator_text(segment.start, segment.end, segment.page)


def locator_text(start: float | None, end: float | None, page: int | None) -> str:
    """Return a place in a file as text."""
    if page is not None:
        return f"page {page}"
    if start is None:
        return ""
    first, last = _clock(start), _clock(end or start)
    return first if first == last else f"{first}–{last}"


def _clock(seconds: float) -> str:
    """Return seconds as 1:05, or 1:02:05."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
