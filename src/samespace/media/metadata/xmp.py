"""XMP: what photo programs write into pictures, and into files beside them. ISO 16684-1, and IPTC's and MWG's schemas."""

import os
import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from .description import Description, is_absent, possible_place, unique
from .times import time_of

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

MAX_BYTES = 8_000_000
"""Larger files are not read."""
RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
DC = "{http://purl.org/dc/elements/1.1/}"
XMP = "{http://ns.adobe.com/xap/1.0/}"
EXIF = "{http://ns.adobe.com/exif/1.0/}"
TIFF = "{http://ns.adobe.com/tiff/1.0/}"
PHOTOSHOP = "{http://ns.adobe.com/photoshop/1.0/}"
LIGHTROOM = "{http://ns.adobe.com/lightroom/1.0/}"
DIGIKAM = "{http://www.digikam.org/ns/1.0/}"
PEOPLE = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}PersonInImage"
MWG = "{http://www.metadataworkinggroup.com/schemas/regions/}"
REGION = "{http://ns.microsoft.com/photo/1.2/t/Region#}"
MICROSOFT = "{http://ns.microsoft.com/photo/1.0/}"
CAPTIONS = (f"{DC}title", f"{PHOTOSHOP}Headline", f"{DC}description", f"{EXIF}UserComment")
KEYWORDS = {
    f"{DC}subject": r"\|",
    f"{LIGHTROOM}hierarchicalSubject": r"\|",
    f"{DIGIKAM}TagsList": r"/",
    f"{MICROSOFT}LastKeywordXMP": r"/",
}
"""Properties with keywords → what divides a keyword from those above it."""
TIMES = (f"{EXIF}DateTimeOriginal", f"{PHOTOSHOP}DateCreated", f"{EXIF}DateTimeDigitized", f"{XMP}CreateDate")
_EXTENSION = re.compile(rb"""SidecarForExtension\s*(?:=\s*["']|>)\s*(\w+)""")
"""The file that an XMP file belongs to, where a raw file and a picture made from it have one name: photoshop:SidecarForExtension, of Adobe's programs."""
_COORDINATE = re.compile(r"\s*(\d+),(\d+(?:\.\d+)?)(?:,(\d+(?:\.\d+)?))?([NSEW])\s*")


def sidecar_names(name: str) -> tuple[str, ...]:
    """Return what the XMP file of a file may be called: IMG_1.jpg.xmp, as darktable and digiKam do, IMG_1.xmp, as Adobe does."""
    stem = os.path.splitext(name)[0]
    return f"{name}.xmp", f"{stem}.xmp", f"{name}.XMP", f"{stem}.XMP"


def is_of_another(path: Path, packet: bytes) -> bool:
    """Whether an XMP file says that it belongs to a file of another ending."""
    extension = _EXTENSION.search(packet)
    return extension is not None and extension[1].decode().lower() != path.suffix[1:].lower()


def names_its_file(packet: bytes) -> bool:
    """Whether an XMP file says which file it belongs to."""
    return _EXTENSION.search(packet) is not None


def without_padding(packet: bytes) -> bytes:
    """Return XMP without what programs put around it; in UTF-16 a zero is half a character."""
    return packet if packet.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else packet.strip(b"\0 \t\r\n\xef\xbb\xbf")


def read_sidecar(path: Path) -> Description:
    """Return what an XMP file beside it says of a file."""
    for sidecar in map(path.with_name, sidecar_names(path.name)):
        try:
            if sidecar.stat().st_size > MAX_BYTES:
                return Description(problems=((str(sidecar), "it is too large for a description; move it elsewhere"),))
            packet = sidecar.read_bytes()
            if is_of_another(path, packet):
                continue
            return parse(packet)
        except (OSError, ValueError) as error:
            if is_absent(error):
                continue
            return Description(problems=((str(sidecar), "it cannot be read as XMP; write it again from the photo program"),))
    return Description()


def parse(packet: bytes) -> Description:
    """Return what an XMP packet says. Raises ValueError where it is not well-formed XML, or declares entities."""
    from xml.etree.ElementTree import ParseError

    from defusedxml.ElementTree import fromstring

    try:
        root: Element = fromstring(without_padding(packet))
    except (ParseError, RecursionError, LookupError) as error:  # LookupError: an encoding that there is not
        raise ValueError(str(error)) from None
    values: dict[str, list[str]] = {}
    for description in root.iter(f"{RDF}Description"):
        for name, value in _properties(description):
            values.setdefault(name, []).append(value)
    paths = [re.split(divider, tag) for name, divider in KEYWORDS.items() for tag in values.get(name, ())]
    people = [path[-1] for path in paths if len(path) > 1 and path[0].lower() in ("people", "persons", "personen", "faces")]
    lat, lon = possible_place(*(_degrees(values.get(f"{EXIF}GPS{axis}", [""])[0]) for axis in ("Latitude", "Longitude")))
    times = (time_of(text) for name in TIMES for text in values.get(name, ()))
    when, zone = next((found for found in times if found[0]), (None, None))
    return Description(
        when,
        lat,
        lon,
        "\n".join(unique(text for name in CAPTIONS for text in values.get(name, ()))),
        unique(part for path in paths for part in path),
        unique([*values.get(PEOPLE, ()), *_faces(root), *people]),
        " ".join(unique(values.get(f"{TIFF}{name}", [""])[0] for name in ("Make", "Model"))),
        rating_of(values.get(f"{XMP}Rating", [""])[0]),
        zone=zone,
    )


def _properties(description: "Element") -> Iterator[tuple[str, str]]:
    """Yield the properties of a description, simple ones and the items of lists, with their names."""
    yield from description.attrib.items()
    for child in description:
        items = list(child.iter(f"{RDF}li"))
        for item in items:
            yield child.tag, item.text or ""
        if not items and child.text and child.text.strip():
            yield child.tag, child.text


def _faces(root: "Element") -> Iterator[str]:
    """Yield the names of regions that are faces."""
    for element in root.iter():
        kind = element.get(f"{MWG}Type") or element.findtext(f"{MWG}Type")
        if kind in ("Face", "Pet"):
            yield element.get(f"{MWG}Name") or element.findtext(f"{MWG}Name") or ""
        yield element.get(f"{REGION}PersonDisplayName") or element.findtext(f"{REGION}PersonDisplayName") or ""


def rating_of(text: object) -> int | None:
    """Return stars, 1 to 5, or -1 for rejected; None where there are none."""
    try:
        stars = round(float(str(text)))
    except (ValueError, OverflowError):
        return None
    return stars if stars in (-1, 1, 2, 3, 4, 5) else None


def _degrees(text: str) -> float | None:
    """Return a GPS coordinate of XMP, such as 45,4.2N or 45,4,12N, in degrees."""
    if not (match := _COORDINATE.fullmatch(text)):
        return None
    degrees = float(match[1]) + float(match[2]) / 60 + float(match[3] or 0) / 3600
    return -degrees if match[4] in "SW" else degrees
