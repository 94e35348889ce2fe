"""Image files → upright Pillow images of moderate size, and the facts in their headers.

Decoding is most of the cost of indexing, so a JPEG that is much larger than needed is decoded at a reduced scale
(`Image.draft`). A file that cannot be read raises UnreadableMedia with a reason that can be shown to people.
"""

import base64
import contextlib
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from ..core.errors import MissingExtra, UnreadableMedia, error_summary
from .kinds import RAW

MAX_PIXELS = 300_000_000
"""Larger images are refused before decoding: 300 megapixels are 900 MB in memory, and no camera makes them."""
MAX_BYTES = 1_000_000_000
"""Larger files are not read: disk images are called `.raw` and `.img` too."""
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "DIB", "WEBP", "AVIF", "TIFF", "JPEG2000", "PPM", "TGA", "ICO")
"""Pillow's decoders that may open a file, whatever it claims to be; see also `_formats`."""

Image.MAX_IMAGE_PIXELS = None  # _check_size replaces it: its message names a remedy, where Pillow would warn on stderr


@dataclass(frozen=True)
class Facts:
    """Size, time and position of an image, read from the file's header without decoding it."""

    width: int
    """Pixels, as displayed."""
    height: int
    """Pixels, as displayed."""
    taken_at: datetime | None = None
    """When the image was taken, in UTC; a time without a zone is read as local time."""
    lat: float | None = None
    """Degrees north."""
    lon: float | None = None
    """Degrees east."""


def read(path: Path, data: bytes, target: int) -> tuple[Image.Image, Facts]:
    """Decode an image file and return its first frame, upright, 8 bits per channel, and its header's facts.

    data: the file's content; of `path` only the suffix is used. The image keeps its size, or is scaled down to no less than
    twice `target` pixels per side. Raises UnreadableMedia.
    """
    if not data:
        raise UnreadableMedia("the file is empty")
    if path.suffix.lower() in RAW:
        return _develop(data, target)
    if _looks_like_svg(path, data):
        raise UnreadableMedia("SVG drawings are not supported; export it as PNG")
    try:
        return _decode(data, target)
    except UnidentifiedImageError:
        raise UnreadableMedia("not a picture in any format we know, or a broken one; open it to check")
    except UnreadableMedia:
        raise
    except MemoryError:
        raise UnreadableMedia("not enough memory to decode it; close other programs or make it smaller")
    except Exception as error:  # decoders raise errors of every kind, and one bad file must not stop a run
        raise UnreadableMedia(f"the picture is broken or cut short ({error_summary(error)}); restore it from a backup")


def header(data: bytes) -> Facts:
    """Return the facts in an image file's header, without decoding the image. Raises UnreadableMedia."""
    try:
        with Image.open(io.BytesIO(data), formats=_formats(data)) as image:
            _check_size(*image.size)
            taken_at, (lat, lon) = _time_and_position(image)
            turned = image.getexif().get(ExifTags.Base.Orientation, 1) >= 5
            width, height = reversed(image.size) if turned else image.size
            return Facts(width, height, taken_at, lat, lon)
    except UnreadableMedia:
        raise
    except Exception as error:  # as in `read`
        raise UnreadableMedia(f"the picture is broken ({error_summary(error)}); restore it from a backup")


def read_named(name: str, data: bytes, target: int) -> Image.Image:
    """Return the image alone, as `read` does. Raises UnreadableMedia with the file's name in the message."""
    try:
        return read(Path(name), data, target)[0]
    except UnreadableMedia as error:
        raise UnreadableMedia(f"{name}: {error.reason}") from None


def _decode(data: bytes, target: int) -> tuple[Image.Image, Facts]:
    """Return what `read` returns. Raises whatever Pillow raises, and UnreadableMedia."""
    with Image.open(io.BytesIO(data), formats=_formats(data)) as image:
        _check_size(*image.size)
        size = image.size
        taken_at, (lat, lon) = _time_and_position(image)
        image.draft("RGB", (2 * target, 2 * target))
        image.load()
        picture = ImageOps.exif_transpose(_shrink(image, target))
        turned = (size[0] > size[1]) != (picture.width > picture.height)  # for some formats Pillow swaps the size itself
        width, height = reversed(size) if turned else size
        return to_eight_bits(picture), Facts(width, height, taken_at, lat, lon)


def _check_size(width: int, height: int) -> None:
    """Refuse an image that would fill the memory when decoded. Raises UnreadableMedia."""
    if width * height > MAX_PIXELS:
        raise UnreadableMedia(f"{width} × {height} is over {MAX_PIXELS // 10**6} megapixels; make a smaller copy")


def _shrink(image: Image.Image, target: int) -> Image.Image:
    """Return a very large image averaged down by a whole factor, to no less than four times `target` pixels per side.

    It is fast, and it bounds the work of the final resize, which is antialiased in either case.
    """
    factor = min(image.size) // (4 * target)
    return image.reduce(factor) if factor > 1 and image.mode in ("RGB", "L", "RGBA") else image


def to_eight_bits(image: Image.Image) -> Image.Image:
    """Return an image with 8 bits per channel.

    16-bit images keep their upper 8 bits; 32-bit and float images are scaled from their own range to 0…255.
    """
    if image.mode not in ("I", "F", "I;16", "I;16L", "I;16B", "I;16N"):
        return image
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    pixels = np.asarray(image, dtype=np.float32)
    finite = pixels[np.isfinite(pixels)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    scaled = (np.nan_to_num(pixels, nan=low, posinf=high, neginf=low) - low) * (255 / max(high - low, 1e-9))
    return Image.fromarray(scaled.clip(0, 255).astype(np.uint8))


def opaque(image: Image.Image, fill: int = 255) -> Image.Image:
    """Return an image of any mode as RGB; transparent parts become grey of level `fill`, 0…255."""
    if image.mode == "RGB":
        return image
    if image.has_transparency_data:
        image = image.convert("RGBA")
        background = Image.new("RGBA", image.size, (fill, fill, fill, 255))
        image = Image.alpha_composite(background, image)
    return image.convert("RGB")


def jpeg(image: Image.Image, side: int, quality: int = 85) -> bytes:
    """Encode an image as a JPEG, at most `side` pixels per side, on white, without metadata."""
    image = opaque(image)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality, comment=b"")
    return out.getvalue()


def data_uri(data: bytes, kind: str) -> str:
    """Return an encoded image as a data URI, such as data:image/jpeg;base64,…; `kind` is the MIME subtype: jpeg, png."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def upright(image: Image.Image) -> Image.Image:
    """Return an image turned by its EXIF orientation, with 8 bits per channel, as `read` does for files."""
    return to_eight_bits(ImageOps.exif_transpose(image))


def _develop(data: bytes, target: int) -> tuple[Image.Image, Facts]:
    """Return the JPEG preview in a camera raw file, or else the file developed at half its size.

    Needs the extra `raw`. Raises UnreadableMedia.
    """
    try:
        import rawpy
    except ImportError:
        raise UnreadableMedia(str(MissingExtra("reading camera raw files", "raw")))
    try:
        with rawpy.imread(io.BytesIO(data)) as raw:
            try:
                preview = raw.extract_thumb()
            except (rawpy.LibRawNoThumbnailError, rawpy.LibRawUnsupportedThumbnailError):
                preview = None
            if preview is not None and preview.format == rawpy.ThumbFormat.JPEG:
                return _decode(preview.data, target)
            image = Image.fromarray(raw.postprocess(half_size=True, use_camera_wb=True))
            return image, Facts(*image.size)
    except (rawpy.LibRawError, OSError, ValueError) as error:
        raise UnreadableMedia(f"the raw file cannot be developed ({error_summary(error)}); export it as JPEG or DNG")


def _time_and_position(image: Image.Image) -> tuple[datetime | None, tuple[float | None, float | None]]:
    """Return when and where an image was taken, as (time, (degrees north, degrees east)), by its EXIF data.

    Each is None where the data do not say, or are broken.
    """
    try:
        exif = image.getexif()
        return _taken_at(exif), _coordinates(exif.get_ifd(ExifTags.IFD.GPSInfo))
    except Exception:  # broken metadata raise errors of every kind, and the image may still be good
        return None, (None, None)


def _taken_at(exif: Image.Exif) -> datetime | None:
    """Return DateTimeOriginal with its offset, or DateTime, in UTC; local time where there is no offset. EXIF 2.32, §4.6.5."""
    detail = exif.get_ifd(ExifTags.IFD.Exif)
    text = str(detail.get(ExifTags.Base.DateTimeOriginal) or exif.get(ExifTags.Base.DateTime)).strip("\0 ")
    offset = str(detail.get(ExifTags.Base.OffsetTimeOriginal) or "").strip("\0 ")
    for value, form in ((f"{text}{offset}", "%Y:%m:%d %H:%M:%S%z"), (text, "%Y:%m:%d %H:%M:%S")):
        with contextlib.suppress(ValueError, OverflowError):
            return datetime.strptime(value, form).astimezone(UTC)
    return None


def _coordinates(gps: Mapping[int, Any]) -> tuple[float | None, float | None]:
    """Return (degrees north, degrees east), or (None, None) where they are missing or impossible. EXIF 2.32, §4.6.6."""
    if not {1, 2, 3, 4} <= gps.keys():
        return None, None
    lat, lon = (sum(float(part) / 60**i for i, part in enumerate(gps[tag])) for tag in (2, 4))
    lat, lon = (-lat if gps[1] == "S" else lat), (-lon if gps[3] == "W" else lon)
    return (lat, lon) if abs(lat) <= 90 and abs(lon) <= 180 and math.isfinite(lat + lon) else (None, None)


def _looks_like_svg(path: Path, data: bytes) -> bool:
    """Return whether a file is an SVG drawing, by its suffix or its first bytes."""
    return path.suffix.lower() in (".svg", ".svgz") or b"<svg" in data[:512]


def _formats(data: bytes) -> tuple[str, ...]:
    """Return the names of the decoders that may open a file; HEIC's is loaded with the first HEIC file."""
    if data[4:8] != b"ftyp" or data[8:12] in (b"avif", b"avis"):
        return FORMATS
    import pi_heif

    pi_heif.register_heif_opener()
    return ("HEIF", "AVIF")
