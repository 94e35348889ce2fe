"""What a segment looks like, and where in its file it is."""

from pathlib import Path
from typing import Protocol

from PIL import Image

from ..core.errors import UnreadableMedia

FOLDER = ".thumbnails"
"""Where small pictures are kept beside a library; its name begins with a dot, so that indexing never enters it."""


class HasPlace(Protocol):
    """Anything that says which part of which file it is: a Hit, a Segment."""

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


def thumbnail(of: HasPlace, side: int) -> Image.Image:
    """Return an image, the middle frame of a shot, a waveform or a page, with about `side` pixels along the shorter side.

    Raises UnreadableMedia naming the file.
    """
    from ..media import audio, document, video  # decoders, which `locator` needs none of
    from ..media import image as image_media

    path = Path(of.path)
    try:
        if of.kind == "document":
            return document.page_at(path, of.page or 1, side)
        if of.kind == "video" and video.has_video(path):
            return video.frame_at(path, ((of.start or 0.0) + (of.end or 0.0)) / 2, side)
        if of.kind in ("audio", "video"):
            return audio.waveform(path, of.start or 0.0, of.end)
        return image_media.read(path, path.read_bytes(), side)[0]
    except UnreadableMedia as error:
        raise UnreadableMedia(f"{path}: {error.reason}") from None
    except OSError as error:
        raise UnreadableMedia(f"{path}: {error.strerror or error}; index its folder again") from None


def locator(of: HasPlace) -> str:
    """Return where in its file a segment is: "page 2", "1:05–1:12", "1:05" where it lasts less than a second, or nothing."""
    return locator_text(of.start, of.end, of.page)


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
