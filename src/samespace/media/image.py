"""Image files → upright Pillow images of moderate size.

Decoding is most of the cost of indexing, so a JPEG that is much larger than needed is decoded at a reduced scale
(`Image.draft`). A file that cannot be read raises UnreadableMedia with a reason that can be shown to people.
"""

import base64
import io
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from ..core.errors import MissingExtra, UnreadableMedia, error_summary
from . import svg
from .kinds import RAW

if TYPE_CHECKING:
    from PIL import ImageCms

MAX_PIXELS = 300_000_000
"""Larger images are refused before decoding: 300 megapixels are 900 MB in memory, and no camera makes them."""
MAX_BYTES = 1_000_000_000
"""Larger files are not read: disk images are called `.raw` and `.img` too."""
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "DIB", "WEBP", "AVIF", "TIFF", "JPEG2000", "PPM", "TGA", "ICO", "PSD")
"""Pillow's decoders that may open a file, whatever it claims to be; see also `decoders`."""

DARK, SAME_LEVEL, VISIBLE = 96, 24, 40
"""Level of the ground of white drawings; how near to the fill they are at every channel; and the opacity from which something is drawn."""

JPEG_XL = (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")
"""Beginnings of a JPEG XL file: bare, and in a container."""

Image.MAX_IMAGE_PIXELS = None  # check_size replaces it: its message names a remedy, where Pillow would warn on stderr


Size = tuple[int, int]
"""Width and height in pixels, as displayed."""


def read(path: Path, data: bytes, target: int) -> tuple[Image.Image, Size]:
    """Decode an image file and return its first frame, upright, in sRGB with 8 bits per channel, and the size that it has in the file.

    data: the file's content; of `path` only the suffix is used. The image is scaled down, if it is large, to no less than
    twice `target` pixels per side. Raises UnreadableMedia.
    """
    if not data:
        raise UnreadableMedia("the file is empty")
    if path.suffix.lower() in RAW:
        return _develop(data, target)
    if svg.is_svg(path, data):
        drawing = svg.render(data, 2 * target)
        return drawing, drawing.size
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


def size_of(data: bytes) -> Size:
    """Return the size in an image file's header, without decoding the image. Raises UnreadableMedia."""
    try:
        with Image.open(io.BytesIO(data), formats=decoders(data)) as image:
            check_size(*image.size)
            turned = image.getexif().get(ExifTags.Base.Orientation, 1) >= 5
            return image.size[::-1] if turned else image.size
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


def _decode(data: bytes, target: int) -> tuple[Image.Image, Size]:
    """Return what `read` returns. Raises whatever Pillow raises, and UnreadableMedia."""
    with Image.open(io.BytesIO(data), formats=decoders(data)) as image:
        check_size(*image.size)
        size = image.size
        image.draft("RGB", (2 * target, 2 * target))
        picture = prepared(image, target)
        turned = (size[0] > size[1]) != (picture.width > picture.height)  # for some formats Pillow swaps the size itself
        return picture, size[::-1] if turned else size


def prepared(image: Image.Image, target: int) -> Image.Image:
    """Return the frame that an open image file is at, not much larger than needed, upright, in sRGB with 8 bits per channel."""
    image.load()
    picture = to_srgb(_shrink(image, target))
    if image.format != "JXL":  # turned by its decoder, whatever EXIF says: ISO/IEC 18181-2
        picture = ImageOps.exif_transpose(picture)
    return to_eight_bits(picture)


def to_srgb(image: Image.Image) -> Image.Image:
    """Return an image with the colours of its ICC profile as sRGB's; the image itself where it has none, or a broken one."""
    profile = image.info.get("icc_profile")
    mode = {"P": "RGB", "PA": "RGBA"}.get(image.mode, image.mode)
    if not profile or mode not in ("RGB", "RGBA", "CMYK"):
        return image
    transform = _to_srgb(profile, "RGB" if mode == "RGBA" else mode)
    if transform is None:
        return image
    colours = image.convert(mode)
    converted = transform.apply(colours.convert("RGB") if mode == "RGBA" else colours)
    if mode == "RGBA":
        converted.putalpha(colours.getchannel("A"))
    converted.info = {key: value for key, value in image.info.items() if key not in ("icc_profile", "transparency")}
    return converted


@lru_cache(maxsize=64)
def _to_srgb(profile: bytes, mode: str) -> "ImageCms.ImageCmsTransform | None":
    """Return what turns the colours of a profile into sRGB's; None where they are sRGB's, or the profile is not of this mode."""
    from PIL import ImageCms

    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if mode == "RGB" and "srgb" in ImageCms.getProfileDescription(own).lower():
            return None
        intent = ImageCms.getDefaultIntent(own)
        return ImageCms.buildTransform(own, ImageCms.createProfile("sRGB"), mode, "RGB", ImageCms.Intent(intent))
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None


def check_size(width: int, height: int) -> None:
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
    """Return an image of any mode as RGB; transparent parts become grey of level `fill`, 0…255, or darker where what is drawn on them
    could not be seen: white letters for a dark page.
    """
    if image.mode == "RGB":
        return image
    if image.has_transparency_data:
        image = image.convert("RGBA")
        level = DARK if _is_lost(image, fill) else fill
        background = Image.new("RGBA", image.size, (level, level, level, 255))
        image = Image.alpha_composite(background, image)
    return image.convert("RGB")


def _is_lost(image: Image.Image, fill: int) -> bool:
    """Whether all that is drawn on transparent ground, RGBA, has nearly the level of the fill."""
    small = np.asarray(image.resize((min(96, image.width), min(96, image.height)), Image.Resampling.BOX), np.int16)
    drawn = small[small[..., 3] > VISIBLE]
    empty = (small[..., 3] <= VISIBLE).mean()
    return len(drawn) > 0 and empty > 0.05 and bool((np.abs(drawn[:, :3] - fill).max(axis=1) < SAME_LEVEL).all())


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
    """Return an image turned by its EXIF orientation, in sRGB with 8 bits per channel, as `read` does for files."""
    return to_eight_bits(to_srgb(ImageOps.exif_transpose(image)))


def _develop(data: bytes, target: int) -> tuple[Image.Image, Size]:
    """Return the JPEG preview in a camera raw file, or else the file developed at half its size.

    Needs the extra `raw`. Raises UnreadableMedia.
    """
    try:
        import rawpy
    except ImportError:
        raise UnreadableMedia(str(MissingExtra("reading camera raw files", "raw")))
    try:
        with rawpy.imread(io.BytesIO(data)) as raw:
            if preview := _preview(raw):
                return _decode(preview, target)
            image = Image.fromarray(raw.postprocess(half_size=True, use_camera_wb=True))
            return image, image.size
    except (rawpy.LibRawError, OSError, ValueError) as error:
        raise UnreadableMedia(f"the raw file cannot be developed ({error_summary(error)}); export it as JPEG or DNG")


def preview_of(data: bytes) -> bytes:
    """Return the JPEG preview in a camera raw file, which has the file's EXIF; nothing where there is none, or it cannot be read."""
    try:
        import rawpy

        with rawpy.imread(io.BytesIO(data)) as raw:
            return _preview(raw)
    except (ImportError, OSError, ValueError, RuntimeError):  # LibRaw's errors are RuntimeErrors
        return b""


def _preview(raw: Any) -> bytes:
    """Return the JPEG preview of an open raw file, or nothing."""
    import rawpy

    try:
        preview = raw.extract_thumb()
    except (rawpy.LibRawNoThumbnailError, rawpy.LibRawUnsupportedThumbnailError):
        return b""
    return bytes(preview.data) if preview.format == rawpy.ThumbFormat.JPEG else b""


def decoders(data: bytes) -> tuple[str, ...]:
    """Return the names of the decoders that may open a file, by its beginning; some are loaded with the first such file.

    Raises UnreadableMedia where one is needed that is not installed.
    """
    if data.startswith(JPEG_XL):
        _load_jpeg_xl()
        return ("JXL",)
    if data[4:8] != b"ftyp" or data[8:12] in (b"avif", b"avis"):
        return FORMATS
    import pi_heif

    pi_heif.register_heif_opener()
    return ("HEIF", "AVIF")


def _load_jpeg_xl() -> None:
    """Raises UnreadableMedia where the decoder is not installed."""
    try:
        import pylibjxl
    except ImportError:
        raise UnreadableMedia(str(MissingExtra("reading JPEG XL pictures", "jxl"))) from None
    pylibjxl.register_pillow()
