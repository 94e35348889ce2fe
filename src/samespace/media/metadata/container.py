"""The tags of audio and video files: when and where a video was taken, and what music is called."""

import contextlib
import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from ...core.errors import UnreadableMedia
from ..audio import open_media
from .description import Description, possible_place, possible_time, unique
from .times import when_of

TIMES = ("com.apple.quicktime.creationdate", "creation_time", "date_recorded", "date")
"""Apple's has the zone of the place; `date` is when music came out, and only asked of videos."""
PLACES = ("com.apple.quicktime.location.iso6709", "location", "location-eng", "com.apple.quicktime.location.ISO6709")
CAPTIONS = (
    "title",
    "artist",
    "album",
    "comment",
    "description",
    "synopsis",
    "com.apple.quicktime.title",
    "com.apple.quicktime.description",
)
KEYWORDS = ("genre", "keywords", "com.apple.quicktime.keywords")
CAMERA = (
    ("make", "com.apple.quicktime.make", "com.android.manufacturer"),
    ("model", "com.apple.quicktime.model", "com.android.model"),
)
_ISO6709 = re.compile(r"([+-]\d+(?:\.\d+)?)([+-]\d+(?:\.\d+)?)")


def embedded(path: Path, kind: str) -> Description:
    """Return what an audio or video file says about itself; nothing where it cannot be opened."""
    try:
        with open_media(path) as container:
            tags = {name.lower(): str(value) for stream in container.streams for name, value in stream.metadata.items()}
            tags |= {name.lower(): str(value) for name, value in container.metadata.items()}
    except (UnreadableMedia, OSError, ValueError):
        return Description()
    lat, lon = _position(tags)
    names = TIMES if kind == "video" else TIMES[:-1]
    return Description(
        next((when for name in names if (when := _time(tags.get(name, "")))), None),
        lat,
        lon,
        "\n".join(unique(tags.get(name, "") for name in CAPTIONS)),
        unique(word for name in KEYWORDS for word in re.split(r"[;,]", tags.get(name, ""))),
        camera=" ".join(unique(next((tags[name] for name in names if name in tags), "") for names in CAMERA)),
    )


def _time(text: str) -> datetime | None:
    """Return a time of a container; one that is only a year says too little."""
    text = text.strip()
    if len(text) < 10:
        return None
    with contextlib.suppress(ValueError):
        return possible_time(datetime.strptime(text, "%Y-%m-%dT%H:%M:%S%z"))
    return when_of(text)


def _position(tags: Mapping[str, str]) -> tuple[float | None, float | None]:
    """Return (degrees north, degrees east) as ISO 6709 writes them: +45.0703+007.6869+239.0/."""
    for name in PLACES:
        if match := _ISO6709.match(tags.get(name.lower(), "")):
            return possible_place(float(match[1]), float(match[2]))
    return None, None
