"""Picture files → Pillow images, small enough and the right way up, plus what their headers tell.

Decoding is most of the cost of indexing: a JPEG is decoded at a reduced scale (`Image.draft`) where its pixels
would be thrown away anyway. What cannot be read raises UnreadableMedia with a reason fit to print.
"""

import contextlib
import io
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from ..core.errors import MissingExtra, UnreadableMedia, error_summary
from .kinds import RAW

MAX_PIXELS = 300_000_000
"""Larger pictures are refused before decoding: 300 megapixels are 900 MB in memory, and no camera makes them."""
MAX_BYTES = 1_000_000_000
"""Larger files are not read: disk images are called `.raw` and `.img` too."""
OPENERS = ("JPEG", "PNG", "GIF", "BMP", "DIB", "WEBP", "AVIF", "TIFF", "JPEG2000", "PPM", "TGA", "ICO")
"""Only these decoders are let near a file, whatever it claims to be."""

Image.MAX_IMAGE_PIXELS = None  # our own check below says what to do; Pillow's would warn on stderr


@dataclass(frozen=True)
class Facts:
    """What a picture's header tells without decoding it."""

    width: int
    """Pixels, as displayed."""
    height: int
    """Pixels, as displayed."""
    taken_at: datetime | None = None
    """When the camera says it was taken, in UTC; read as local time where no zone is given."""
    lat: float | None = None
    """Degrees north."""
    lon: float | None = None
    """Degrees east."""


def read(path: Path, data: bytes, target: int) -> tuple[Image.Image, Facts]:
    """Decode one picture, upright, first frame, 8 bits a channel; JPEGs to no less than twice `target` pixels a side.

    `path` gives the name's ending only; `data` is the file. Raises UnreadableMedia.
    """
    if not data:
        raise UnreadableMedia("the file is empty")
    if path.suffix.lower() in RAW:
        return develop(data, target)
    if looks_like_svg(path, data):
        raise UnreadableMedia("SVG drawings are not supported; export it as PNG")
    try:
        return decode(data, target)
    except UnidentifiedImageError:
        raise UnreadableMedia("not a picture in any format we know, or a broken one; open it to check")
    except UnreadableMedia:
        raise
    except MemoryError:
        raise UnreadableMedia("not enough memory to decode it; close other programs or make it smaller")
    except Exception as error:  # decoders fail in every way there is, and one bad file must not stop a run
        raise UnreadableMedia(f"the picture is broken or cut short ({error_summary(error)}); restore it from a backup")


def header(data: bytes) -> Facts:
    """What a picture file tells without being decoded. Raises UnreadableMedia."""
    try:
        with Image.open(io.BytesIO(data), formats=openers(data)) as image:
            check_size(*image.size)
            taken, where = facts_of(image)
            turned = image.getexif().get(ExifTags.Base.Orientation, 1) >= 5
            width, height = reversed(image.size) if turned else image.size
            return Facts(width, height, taken, *where)
    except UnreadableMedia:
        raise
    except Exception as error:  # as in `read`
        raise UnreadableMedia(f"the picture is broken ({error_summary(error)}); restore it from a backup")


def read_named(name: str, data: bytes, target: int) -> Image.Image:
    """A picture that somebody asks about: as `read`, but UnreadableMedia names it."""
    try:
        return read(Path(name), data, target)[0]
    except UnreadableMedia as error:
        raise UnreadableMedia(f"{name}: {error.reason}") from None


def decode(data: bytes, target: int) -> tuple[Image.Image, Facts]:
    """The part of `read` that may fail in any of Pillow's ways."""
    with Image.open(io.BytesIO(data), formats=openers(data)) as image:
        check_size(*image.size)
        size, taken, where = image.size, *facts_of(image)
        image.draft("RGB", (2 * target, 2 * target))
        image.load()
        upright = ImageOps.exif_transpose(shrink(image, target))
        turned = (size[0] > size[1]) != (upright.width > upright.height)  # some formats turn the header's size themselves
        width, height = reversed(size) if turned else size
        return to_eight_bits(upright), Facts(width, height, taken, *where)


def check_size(width: int, height: int) -> None:
    """Raises UnreadableMedia before a decompression bomb goes off."""
    if width * height > MAX_PIXELS:
        raise UnreadableMedia(f"{width} × {height} is over {MAX_PIXELS // 10**6} megapixels; make a smaller copy")


def shrink(image: Image.Image, target: int) -> Image.Image:
    """Cheaply average a huge 8-bit picture down by a whole factor, keeping four times the target a side.

    The final resize is antialiased over the source either way; this bounds what it has to read.
    """
    factor = min(image.size) // (4 * target)
    return image.reduce(factor) if factor > 1 and image.mode in ("RGB", "L", "RGBA") else image


def to_eight_bits(image: Image.Image) -> Image.Image:
    """16-bit pictures keep their upper 8 bits, 32-bit and float ones are stretched from their own range; the others are left alone."""
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
    """Any Pillow mode → RGB, what is transparent on a grey of level `fill`."""
    if image.mode == "RGB":
        return image
    if image.has_transparency_data:
        image = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, (fill, fill, fill, 255))
        image = Image.alpha_composite(ground, image)
    return image.convert("RGB")


def jpeg(image: Image.Image, side: int, quality: int = 85) -> bytes:
    """A picture as a JPEG of at most this side, seen on white, without metadata and comments."""
    image = opaque(image)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality, comment=b"")
    return out.getvalue()


def upright(image: Image.Image) -> Image.Image:
    """An opened picture as `read` would give it: turned by its EXIF orientation, 8 bits a channel."""
    return to_eight_bits(ImageOps.exif_transpose(image))


def develop(data: bytes, target: int) -> tuple[Image.Image, Facts]:
    """Camera raw: the embedded preview where there is one, else half-size development. Needs the extra `raw`."""
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
                return decode(preview.data, target)
            image = Image.fromarray(raw.postprocess(half_size=True, use_camera_wb=True))
            return image, Facts(*image.size)
    except (rawpy.LibRawError, OSError, ValueError) as error:
        raise UnreadableMedia(f"the raw file cannot be developed ({error_summary(error)}); export it as JPEG or DNG")


def facts_of(image: Image.Image) -> tuple[datetime | None, tuple[float | None, float | None]]:
    """When and where it was taken, by its header; broken metadata counts as none."""
    try:
        exif = image.getexif()
        return taken_at(exif), coordinates(exif.get_ifd(ExifTags.IFD.GPSInfo))
    except Exception:  # a header can be broken in every way there is, and the picture still be good
        return None, (None, None)


def taken_at(exif: Image.Exif) -> datetime | None:
    """DateTimeOriginal with its offset, or DateTime; local time where there is no offset. EXIF 2.32, §4.6.5."""
    detail = exif.get_ifd(ExifTags.IFD.Exif)
    text = str(detail.get(ExifTags.Base.DateTimeOriginal) or exif.get(ExifTags.Base.DateTime)).strip("\0 ")
    offset = str(detail.get(ExifTags.Base.OffsetTimeOriginal) or "").strip("\0 ")
    for value, form in ((f"{text}{offset}", "%Y:%m:%d %H:%M:%S%z"), (text, "%Y:%m:%d %H:%M:%S")):
        with contextlib.suppress(ValueError, OverflowError):
            return datetime.strptime(value, form).astimezone(UTC)
    return None


def coordinates(gps: dict) -> tuple[float | None, float | None]:
    """(degrees north, degrees east), or (None, None). EXIF 2.32, §4.6.6."""
    if not {1, 2, 3, 4} <= gps.keys():
        return None, None
    lat, lon = (sum(float(part) / 60**i for i, part in enumerate(gps[tag])) for tag in (2, 4))
    lat, lon = (-lat if gps[1] == "S" else lat), (-lon if gps[3] == "W" else lon)
    return (lat, lon) if abs(lat) <= 90 and abs(lon) <= 180 and math.isfinite(lat + lon) else (None, None)


def looks_like_svg(path: Path, data: bytes) -> bool:
    return path.suffix.lower() in (".svg", ".svgz") or b"<svg" in data[:512]


def openers(data: bytes) -> tuple[str, ...]:
    """The decoders for a file; HEIC's is loaded on the first file that is one, and used for no other."""
    if data[4:8] != b"ftyp" or data[8:12] in (b"avif", b"avis"):
        return OPENERS
    import pi_heif

    pi_heif.register_heif_opener()
    return ("HEIF", "AVIF")
