"""What a segment looks like."""

from pathlib import Path

from PIL import Image

from ..core.errors import UnreadableMedia
from . import audio, document, frames, video
from . import image as image_media
from .locator import HasPlace


def thumbnail(segment: HasPlace, side: int) -> Image.Image:
    """Return an image or a page of one, the middle frame of a shot, a waveform or a page, with about `side` pixels along the shorter side.

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
        data = path.read_bytes()
        if segment.page is not None:
            return frames.page_at(data, segment.page, side)
        if segment.start is not None:
            return frames.frame_at(data, (segment.start + (segment.end or segment.start)) / 2, side)
        return image_media.read(path, data, side)[0]
    except UnreadableMedia as error:
        raise UnreadableMedia(f"{path}: {error.reason}") from None
    except OSError as error:
        raise UnreadableMedia(f"{path}: {error.strerror or error}; index its folder again") from None
