"""Tags, people and stars into XMP files beside pictures and videos, where photo programs read them. ISO 16684-1; IPTC Extension 1.5.

What such a file says already stays: names are added to its lists, and only the stars are replaced.
"""

import io
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from ...core.errors import UnreadableMedia
from ...core.files import write_atomically
from ..kinds import kind_of
from .xmp import DC, MAX_BYTES, PEOPLE, RDF, XMP, is_of_another, names_its_file, sidecar_names, without_padding

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

META = "{adobe:ns:meta/}"
PREFIXES = {"x": META, "rdf": RDF, "dc": DC, "xmp": XMP, "Iptc4xmpExt": PEOPLE.partition("}")[0] + "}"}
"""Usual prefixes of namespaces."""


def write_sidecar(path: Path, tags: Iterable[str], people: Iterable[str], rating: int) -> Path:
    """Write what is said of a file into the XMP file beside it, and return that; a new one is called like the file, with .xmp after it.

    rating: 1 to 5, or 0 to leave what is there. Raises UnreadableMedia where the XMP file that is there cannot be read, OSError.
    """
    names = [path.with_name(name) for name in sidecar_names(path.name)]
    sidecar = next((file for file in names if file.exists() and not is_of_another(path, file.read_bytes())), names[0])
    root = _read(sidecar) if sidecar.exists() else _new()
    if sidecar.stem == path.stem and not names_its_file(sidecar.read_bytes()) and _shares_its_name(path):
        sidecar = names[0]  # of this file alone
    description = _description(root)
    _add(root, description, f"{DC}subject", tags)
    _add(root, description, PEOPLE, people)
    if rating:
        _set(root, description, f"{XMP}Rating", str(rating))
    tree: Any = ElementTree.ElementTree(root)
    ElementTree.indent(tree)
    write_atomically(sidecar, lambda file: tree.write(file, encoding="utf-8", xml_declaration=True))
    return sidecar


def _shares_its_name(path: Path) -> bool:
    """Whether another picture, video or recording beside a file has its name, and another ending."""
    others = (one for one in path.parent.iterdir() if one.stem == path.stem and one.name != path.name)
    return any(kind_of(one) for one in others)


def _read(sidecar: Path) -> "Element":
    """Raises UnreadableMedia."""
    from defusedxml.ElementTree import iterparse

    if sidecar.stat().st_size > MAX_BYTES:
        raise UnreadableMedia(f"{sidecar} is too large for a description; move it elsewhere")
    try:
        data = without_padding(sidecar.read_bytes())
        events = iterparse(io.BytesIO(data), events=("start-ns", "start"))
        root = None
        for event, found in events:
            if event == "start-ns" and found[0] and not found[0].startswith("ns"):  # prefixes stay as they are
                ElementTree.register_namespace(*found)
            elif event == "start" and root is None:
                root = found
    except (ElementTree.ParseError, ValueError, RecursionError) as error:
        raise UnreadableMedia(f"{sidecar} cannot be read as XMP ({error}); write it again from the photo program") from None
    if root is None or next(root.iter(f"{RDF}RDF"), None) is None:
        raise UnreadableMedia(f"{sidecar} is no XMP; rename it, so that one can be written")
    return root  # type: ignore[no-any-return]


def _new() -> "Element":
    root = ElementTree.Element(f"{META}xmpmeta")
    ElementTree.SubElement(root, f"{RDF}RDF")
    return root


def _description(root: "Element") -> "Element":
    """Return the first description of an XMP packet; it is made where there is none."""
    for prefix, namespace in PREFIXES.items():
        ElementTree.register_namespace(prefix, namespace.strip("{}"))
    rdf = next(root.iter(f"{RDF}RDF"))
    found = rdf.find(f"{RDF}Description")
    return ElementTree.SubElement(rdf, f"{RDF}Description", {f"{RDF}about": ""}) if found is None else found


def _add(root: "Element", description: "Element", name: str, words: Iterable[str]) -> None:
    """Add words to a list, each once, whatever its case; the list is made where there is none."""
    present = next((element for one in root.iter(f"{RDF}Description") for element in one.findall(name)), None)
    bag = None if present is None else next((child for child in present if child.tag in (f"{RDF}Bag", f"{RDF}Seq")), None)
    there = {(item.text or "").casefold() for item in bag or ()}
    new = [word for word in words if word.casefold() not in there]
    if not new:
        return
    if bag is None:
        present = ElementTree.SubElement(description, name) if present is None else present
        old, present.text = (present.text or "").strip(), None
        bag = ElementTree.SubElement(present, f"{RDF}Bag")
        new = [old, *(word for word in new if word.casefold() != old.casefold())] if old else new
    for word in new:
        ElementTree.SubElement(bag, f"{RDF}li").text = word


def _set(root: "Element", description: "Element", name: str, value: str) -> None:
    """Set a simple property where it stands, as an attribute or an element; where it is not, as an attribute."""
    for one in root.iter(f"{RDF}Description"):
        if (element := one.find(name)) is not None:
            element.text = value
            return
        if name in one.attrib:
            one.set(name, value)
            return
    description.set(name, value)
