"""What an image file shows besides its first picture: pages of a TIFF, shots of an animation, the film of a motion photo, and parts
of a panorama."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice

from PIL import Image

from ..core.errors import UnreadableMedia, error_summary
from . import ocr, video
from .document import OCR_PIXELS, Page
from .image import check_size, decoders, opaque, prepared
from .video import Frame, Shot

MOST_PAGES, MOST_FRAMES, MOST_SHOTS = 200, 300, 16
"""Of a TIFF, of an animation, and of what an animation shows; the rest is not looked at."""
DEFAULT_SECONDS = 0.1
"""How long a frame is shown that has no duration, as browsers do."""
PANORAMA = 2.5
"""A picture this many times as long as it is wide is also looked at in parts."""
STEP = 0.7
"""Distance between the squares that a panorama is cut into, as a share of their side."""
MOST_PARTS = 16
REDUCED = 1
"""Bit of a TIFF's NewSubfileType: a smaller copy of another page. TIFF 6.0, page 36."""
NEW_SUBFILE_TYPE = 254
MP4 = re.compile(rb"\0\0\0[\x10-\x60]ftyp(?:isom|iso[2-9]|mp4[12]|qt  |avc1|MSNV|3gp.|M4V )")
"""How an MP4 begins. ISO/IEC 14496-12, §4.3."""
ANIMATED = ("GIF", "WEBP", "PNG", "AVIF")
"""Pillow's names of formats with frames."""


@contextmanager
def _opened(data: bytes) -> Iterator[Image.Image]:
    """Open an image file. Raises UnreadableMedia for whatever is wrong while it is open."""
    try:
        with Image.open(io.BytesIO(data), formats=decoders(data)) as image:
            check_size(*image.size)
            yield image
    except UnreadableMedia:
        raise
    except Exception as error:  # decoders raise errors of every kind
        raise UnreadableMedia(f"the picture is broken or cut short ({error_summary(error)}); restore it from a backup") from None


def page_numbers(data: bytes) -> list[int]:
    """Return the frames of a TIFF that are its pages, from 1, smaller copies left out; nothing for a file of one picture."""
    if data[:4] not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return []
    with _opened(data) as image:
        found = []
        for number in range(1, min(getattr(image, "n_frames", 1), MOST_PAGES) + 1):
            image.seek(number - 1)
            if not getattr(image, "tag_v2", {}).get(NEW_SUBFILE_TYPE, 0) & REDUCED:
                found.append(number)
    return found if len(found) > 1 else []


def pages(data: bytes) -> Iterator[Page]:
    """Yield the pages of a TIFF, as large as OCR reads them, with what is written on them where OCR is installed; nothing for one picture. Raises UnreadableMedia."""
    for number in page_numbers(data):
        picture = page_at(data, number, OCR_PIXELS)
        yield Page(number, picture, ocr.words(picture) if ocr.reader() else "")


def page_at(data: bytes, number: int, target: int) -> Image.Image:
    """Return a page of a TIFF as RGB, not much larger than needed. Raises UnreadableMedia."""
    with _opened(data) as image:
        image.seek(number - 1)
        return opaque(prepared(image, target))


def animation(data: bytes, target: int) -> list[Shot]:
    """Return what an animation shows one after the other, each with the frame in its middle; nothing where that is one thing.

    Raises UnreadableMedia.
    """
    shots: list[Shot] = []
    with _opened(data) as image:
        if image.format not in ANIMATED or getattr(image, "n_frames", 1) < 2:
            return []
        for frame, seconds in islice(_frames(image, target), MOST_FRAMES):
            if not shots or frame.differs(shots[-1].frames[0]):
                if len(shots) == MOST_SHOTS:
                    break
                shots.append(Shot(frame.time, frames=[frame]))
            shots[-1].end = frame.time + seconds
        if len(shots) < 2:
            return []
        left = iter(shots)
        shot = next(left)
        for frame, _ in _frames(image, target):  # again: all of them at once would be a gigabyte
            while frame.time >= shot.end:
                if (following := next(left, None)) is None:
                    return shots
                shot = following
            if frame.time <= (shot.start + shot.end) / 2:
                shot.frames = [frame]
    return shots


def _frames(image: Image.Image, target: int) -> Iterator[tuple[Frame, float]]:
    """Yield an animation's frames, and for how many seconds each is shown."""
    time = 0.0
    for number in range(image.n_frames):  # type: ignore[attr-defined]
        image.seek(number)
        image.load()
        seconds = (image.info.get("duration") or 0) / 1000 or DEFAULT_SECONDS
        yield Frame(time, opaque(prepared(image, target)), image.size), seconds
        time += seconds


def frame_at(data: bytes, time: float, target: int) -> Image.Image:
    """Return the frame of an animation or of a motion photo's film that is shown at a time, in seconds. Raises UnreadableMedia."""
    if clip := motion_video(data):
        return video.frame_at(clip, time, target)
    with _opened(data) as image:
        last = None
        for frame, _ in islice(_frames(image, target), MOST_FRAMES):
            if last is not None and frame.time > time:
                break
            last = frame
    if last is None:
        raise UnreadableMedia("it has no frames; index it again")
    return last.picture


def motion_video(data: bytes) -> bytes:
    """Return the film that phones put into a JPEG or HEIC; empty where there is none. Android's "Motion Photo format 1.0"."""
    if not data.startswith(b"\xff\xd8\xff") and data[4:8] != b"ftyp":
        return b""
    found = MP4.search(data, 16) if data.find(b"ftyp", 16) >= 0 else None
    return data[found.start() :] if found else b""


def motion_shots(data: bytes, side: int) -> Iterator[Shot]:
    """Yield the shots of a motion photo's film; nothing for another file. Raises UnreadableMedia."""
    clip = motion_video(data)
    return video.shots(clip, side) if clip else iter(())


def parts(picture: Image.Image) -> list[Image.Image]:
    """Return overlapping squares of a panorama or long screenshot, in order; nothing of a picture that is not so long."""
    width, height = picture.size
    side, length = sorted(picture.size)
    if length < PANORAMA * side:
        return []
    count = min(MOST_PARTS, round((length - side) / (STEP * side)) + 1)
    starts = [round(i * (length - side) / (count - 1)) for i in range(count)]
    if width > height:
        return [picture.crop((start, 0, start + side, side)) for start in starts]
    return [picture.crop((0, start, side, start + side)) for start in starts]
