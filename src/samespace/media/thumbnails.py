"""What a segment looks like."""

from pathlib import Path

from PIL import Image

from ..core.errors import UnreadableMedia
from . import audio, document, video
from . import image as image_media
from .locator import HasPlace


def thumbnail(segment: HasPlace, side: int) -> Image.Image:
    """Return an image, the middle frame of a shot, a waveform or a page, with about `side` pixels along the shorter side.

    Raises UnreadableMedia naming the file.
    """
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
