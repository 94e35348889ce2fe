"""What is written in the headers of pictures: EXIF 2.32, IPTC-IIM 4.2, XMP, and the texts of PNG files."""

import contextlib
import io
import math
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Any

from PIL import ExifTags, Image, IptcImagePlugin, UnidentifiedImageError

from ..image import decoders, preview_of
from ..kinds import RAW
from . import xmp
from .description import Description, joined, possible_place, possible_time, unique
from .times import time_of, when_of

PLACEHOLDERS = re.compile(
    r"(OLYMPUS|SONY|SAMSUNG|KODAK|MINOLTA|Nikon|Canon)( DIGITAL)?( (IMAGING|STILL))?( CAMERA| DSC|  +)?|default|ASCII|charset=.*",
    re.IGNORECASE,
)
"""What cameras write where people could have written something."""
SETTINGS = re.compile(r"(?:^|\n)(?:Negative prompt|Steps):")
"""What follows the prompt in the `parameters` of pictures that Stable Diffusion's web UIs drew."""
MADE_BY = re.compile(
    r"(CREATOR:|cmp3\.|LEAD Technologies|Created with|Optimized|Compressed|File written|Intel\(R\)|AppleMark|Lavc|\W*$)",
    re.IGNORECASE,
)
"""How comments begin that programs write."""
WINDOWS_TITLE, WINDOWS_COMMENT, WINDOWS_KEYWORDS = 0x9C9B, 0x9C9C, 0x9C9E
RATING = 0x4746
PNG_CAPTIONS = ("Title", "Description", "Comment")
PNG_TIMES, PNG_CHANGES = ("Creation Time", "Creation time"), ("date:create",)
"""The last is ImageMagick's: of the file that it read, which may be a copy."""


def embedded(path: Path, data: bytes = b"") -> Description:
    """Return what a picture says about itself; `data` is its content, if that is at hand. Of what is broken nothing is returned.

    Raw files that are no TIFF (CR3, RAF, ORF, RW2) say it in their preview.
    """
    try:
        with io.BytesIO(data) if data else path.open("rb") as file, Image.open(file, formats=_decoders(file)) as image:
            if image.format == "JXL":
                image.load()  # its metadata come with its pixels
                image.info["exif"] = image.info.get("exif", b"")[4:]  # after the offset of the TIFF header: ISO/IEC 18181-2, 9.5
            if image.format == "PNG":
                with contextlib.suppress(Exception):  # texts may stand behind the pixels, which may be broken
                    image.load()
            info = dict(image.info)
            sources: tuple[Callable[[], Description], ...] = (
                lambda: _exif(image.getexif()),
                lambda: xmp.parse(_packet(image)),
                lambda: _iptc(IptcImagePlugin.getiptcinfo(image) or {}),
                lambda: _png(info),
                lambda: _file_comment(info),
                lambda: _modified(image.getexif()),
            )
            return joined(_unless_broken(sources))
    except UnidentifiedImageError:
        preview = preview_of(data or path.read_bytes()) if path.suffix.lower() in RAW else b""
        return embedded(Path("preview.jpg"), preview) if preview else Description()
    except Exception:  # of every kind: see image.read, which says what is wrong with the picture
        return Description()


def _decoders(file: IO[bytes]) -> tuple[str, ...]:
    start = file.read(512)
    file.seek(0)
    return decoders(start)


def _unless_broken(sources: tuple[Callable[[], Description], ...]) -> Iterator[Description]:
    for source in sources:
        with contextlib.suppress(Exception):  # broken metadata raise errors of every kind, and the others may still be good
            yield source()


def _packet(image: Image.Image) -> bytes:
    """Return the XMP packet of a picture. Raises KeyError where there is none."""
    packet = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or image.getexif()[ExifTags.Base.XMLPacket]
    return packet.encode() if isinstance(packet, str) else bytes(packet)


def _exif(exif: Image.Exif) -> Description:
    detail = exif.get_ifd(ExifTags.IFD.Exif)
    lat, lon = _coordinates(exif.get_ifd(ExifTags.IFD.GPSInfo))
    texts = [exif.get(ExifTags.Base.ImageDescription), _windows(exif, WINDOWS_TITLE), _windows(exif, WINDOWS_COMMENT)]
    texts.append(_comment(detail.get(ExifTags.Base.UserComment)))
    names = (exif.get(ExifTags.Base.Make), exif.get(ExifTags.Base.Model), detail.get(ExifTags.Base.LensModel))
    when, zone = _first_time(exif, (ExifTags.Base.DateTimeOriginal, ExifTags.Base.DateTimeDigitized))
    return Description(
        when,
        lat,
        lon,
        "\n".join(unique(text for text in map(_text, texts) if not PLACEHOLDERS.fullmatch(text))),
        unique(_windows(exif, WINDOWS_KEYWORDS).split(";")),
        camera=" ".join(unique(map(_text, names))),
        rating=xmp.rating_of(exif.get(RATING)),
        zone=zone,
    )


def _modified(exif: Image.Exif) -> Description:
    """Return the time in DateTime, when a picture was changed."""
    return Description(changed_at=_first_time(exif, (ExifTags.Base.DateTime,))[0])


def _first_time(exif: Image.Exif, tags: tuple[int, ...]) -> tuple[datetime | None, timezone | None]:
    """Return the first of several times that can be read, and the zone of its offset; local time where there is none. §4.6.5."""
    detail = exif.get_ifd(ExifTags.IFD.Exif)
    offsets = {
        ExifTags.Base.DateTimeOriginal: ExifTags.Base.OffsetTimeOriginal,
        ExifTags.Base.DateTimeDigitized: ExifTags.Base.OffsetTimeDigitized,
        ExifTags.Base.DateTime: ExifTags.Base.OffsetTime,
    }
    for tag in tags:
        text, offset = _text(detail.get(tag) or exif.get(tag)), _text(detail.get(offsets[ExifTags.Base(tag)]))
        if (found := time_of(text, offset))[0]:
            return found
    return None, None


def _coordinates(gps: Mapping[int, Any]) -> tuple[float | None, float | None]:
    """Return (degrees north, degrees east), or (None, None) where they are missing or impossible. §4.6.6."""
    try:
        lat, lon = (_degrees(gps[tag]) for tag in (2, 4))
    except (KeyError, TypeError, ValueError, ZeroDivisionError):  # the other fields may still be good
        return None, None
    south, west = (_text(gps.get(tag)).strip().upper()[:1] for tag in (1, 3))
    if south not in ("N", "S") or west not in ("E", "W"):
        return None, None
    lat, lon = (-lat if south == "S" else lat), (-lon if west == "W" else lon)
    return possible_place(lat, lon) if math.isfinite(lat + lon) else (None, None)


def _degrees(value: Any) -> float:
    """Return degrees, minutes and seconds, or degrees alone, in degrees. Raises TypeError, ValueError, ZeroDivisionError."""
    parts = value if isinstance(value, tuple | list) else (value,)
    return float(sum(float(part) / 60**i for i, part in enumerate(parts)))


def _text(value: object) -> str:
    """Return a tag's value as text: UTF-8 or, where it is none, Latin-1."""
    text = value.decode("latin-1") if isinstance(value, bytes) else "" if value is None else str(value)
    text = text.strip("\0 ")
    with contextlib.suppress(UnicodeError):  # Pillow, too, reads them as Latin-1
        text = text.encode("latin-1").decode()
    return text


def _windows(exif: Image.Exif, tag: int) -> str:
    """Return one of the tags that Windows writes, in UTF-16."""
    value = exif.get(tag)
    return bytes(value).decode("utf-16-le", "ignore").strip("\0 ") if isinstance(value, bytes | tuple) else ""


def _comment(value: object) -> str:
    """Return EXIF's UserComment, whose first eight bytes name its encoding. §4.6.5."""
    if not isinstance(value, bytes):
        return _text(value)
    code, rest = value[:8], value[8:]
    if code.startswith(b"UNICODE"):
        return _utf16(rest)
    if code.startswith(b"JIS"):
        return rest.decode("iso2022_jp", "ignore").strip("\0 ")
    return _text(rest if code[:5] in (b"ASCII", b"\0" * 5) else value)  # some write no code


def _utf16(data: bytes) -> str:
    """Return UTF-16 in the order that its mark names, or else in the one in which more characters are ASCII."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "ignore").strip("\0 ")
    orders = (data.decode(f"utf-16-{order}", "ignore").strip("\0 ") for order in ("le", "be"))
    return max(orders, key=lambda text: sum(c.isascii() for c in text))


def _iptc(values: Mapping[Any, Any]) -> Description:
    def texts(number: int) -> list[str]:
        found = values.get((2, number), ())
        return [_text(value) for value in (found if isinstance(found, list) else [found]) if value]

    day, time = "".join(texts(55)), "".join(texts(60))
    clock = f" {time[:2]}:{time[2:4]}:{time[4:6]}{time[6:]}" if re.match(r"\d{6}", time) else ""
    when = when_of(f"{day}{clock}")
    return Description(when, caption="\n".join(unique([*texts(5), *texts(105), *texts(120)])), keywords=unique(texts(25)))


def _png(info: Mapping[Any, Any]) -> Description:
    """Return the texts of a PNG file, as PNG 1.2, §11.3.4.2, names them."""
    from email.utils import parsedate_to_datetime

    def time(names: tuple[str, ...]) -> datetime | None:
        when = None
        for text in (str(info[name]) for name in names if name in info):
            when = when or when_of(text)
            with contextlib.suppress(ValueError, TypeError):
                when = when or possible_time(parsedate_to_datetime(text))
        return when

    texts = [text for name in PNG_CAPTIONS if isinstance(text := info.get(name), str) and not MADE_BY.match(text)]
    prompt = SETTINGS.split(str(info.get("parameters", "")))[0]
    caption = "\n".join(unique([*texts, *prompt.splitlines()]))
    return Description(time(PNG_TIMES), caption=caption, changed_at=time(PNG_CHANGES))


def _file_comment(info: Mapping[Any, Any]) -> Description:
    """Return the comment of a JPEG or GIF, if a person may have written it."""
    text = _text(info.get("comment"))
    return Description(caption="" if MADE_BY.match(text) else text)
