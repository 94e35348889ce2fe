"""The JSON files that Google Takeout writes beside photographs and videos."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .description import Description, is_absent, possible_place, possible_time, unique

MAX_BYTES = 4_000_000
"""Larger files are not read: Google's have a few thousand."""
SUFFIX = ".supplemental-metadata.json"
MAX_NAME = 51
"""Google cuts names of these files to so many characters, with the ending."""
_NUMBERED = re.compile(r"(.*)(\(\d+\))(\.\w+)")
"""`IMG_1(2).jpg` is described by `IMG_1.jpg(2).json`."""

_EDITED = re.compile(
    r"(.*)-(?:edited|bearbeitet|modifi\u00e9|editado|editada|modificato|bewerkt|redigerad|edytowane|\u7de8\u96c6\u6e08\u307f)(\.\w+)"
)
"""`IMG_1-edited.jpg` is described by the file of `IMG_1.jpg`."""


def sidecar_names(name: str) -> tuple[str, ...]:
    """Return what the description of a file of this name may be called."""
    full = f"{name}{SUFFIX}"
    names = [full, f"{full[: MAX_NAME - 5]}.json", f"{name}.json", f"{name[: MAX_NAME - 5]}.json"]
    if match := _EDITED.fullmatch(name):
        names += sidecar_names(match[1] + match[2])
    if match := _NUMBERED.fullmatch(name):
        stem, number, ending = match.groups()
        whole = f"{stem}{ending}{SUFFIX[:-5]}"
        names += [f"{whole}{number}.json", f"{whole[: MAX_NAME - 5]}{number}.json", f"{stem}{ending}{number}.json"]
        if edited := _EDITED.fullmatch(stem + ending):  # IMG_1-edited(1).jpg is described by the file of IMG_1(1).jpg
            names += sidecar_names(f"{edited[1]}{number}{edited[2]}")
    return tuple(dict.fromkeys(names))


def read_sidecar(path: Path) -> Description:
    """Return what Google's file beside it says of a file."""
    for sidecar in map(path.with_name, sidecar_names(path.name)):
        try:
            if sidecar.stat().st_size > MAX_BYTES:
                return Description(problems=((str(sidecar), "it is too large for a description; move it elsewhere"),))
            values = json.loads(sidecar.read_bytes())
            if isinstance(values, dict) and "photoTakenTime" in values:
                return _described(values)
        except (OSError, ValueError, RecursionError, TypeError, AttributeError, OverflowError) as error:  # also of odd values
            if not is_absent(error):
                return Description(
                    problems=((str(sidecar), "it cannot be read as Google's JSON; take it from the download again"),)
                )
    return Description()


def _described(values: dict[str, Any]) -> Description:
    """Return Google's values: time, place, description, people."""
    place: Any = next((values[key] for key in ("geoData", "geoDataExif") if _number(values, key, "latitude")), {})
    lat, lon = possible_place(_number(place, "latitude"), _number(place, "longitude"))
    people = [person.get("name", "") for person in values.get("people") or () if isinstance(person, dict)]
    keywords = ("favorite",) if values.get("favorited") is True else ()
    return Description(_time(values), lat, lon, str(values.get("description") or ""), keywords, unique(people))


def _number(values: Any, *keys: str) -> float | None:
    for key in keys:
        values = values.get(key) if isinstance(values, dict) else None
    return float(values) if isinstance(values, int | float) else None


def _time(values: dict[str, Any]) -> datetime | None:
    try:
        return possible_time(datetime.fromtimestamp(int(values["photoTakenTime"]["timestamp"]), UTC))
    except (KeyError, TypeError, ValueError, OverflowError, OSError):
        return None
