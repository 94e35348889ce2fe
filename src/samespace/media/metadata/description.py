"""What a file says about itself, from every source there is, in a stated order.

The sources, the first that knows a thing decides, and words add up: an XMP file beside it (what people wrote in a photo
program), the file itself (EXIF, XMP, IPTC, a container's tags), Google Takeout's JSON file beside it, a date in its name; and only then when
the file says that it was changed.
"""

import errno
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from pathlib import Path

from ...core.characters import joined_spaces

MAX_WORDS, MAX_TEXT = 1000, 10_000
"""Most keywords or names that are kept of a file, and most characters of a caption."""
NO_TIMES = {datetime(1904, 1, 1, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC), datetime(2036, 2, 7, 6, 28, 16, tzinfo=UTC)}
"""The zeros of clocks: QuickTime's, Unix's, NTP's second one. No picture was taken then; a device had no time."""
YEARS = range(1826, 2100)
"""From the first photograph on."""


@dataclass(frozen=True)
class Description:
    """What is known of a file apart from its content."""

    taken_at: datetime | None = None
    """When it was taken, in UTC; a time without a zone is read as local time."""
    lat: float | None = None
    """Degrees north."""
    lon: float | None = None
    """Degrees east."""
    caption: str = ""
    """Titles and descriptions, a line each."""
    keywords: tuple[str, ...] = ()
    people: tuple[str, ...] = ()
    """Names."""
    camera: str = ""
    """Make, model and lens."""
    rating: int | None = None
    """Stars, 1 to 5; -1 for rejected, as XMP has it."""
    problems: tuple[tuple[str, str], ...] = ()
    """(path, reason) of what lies beside the file and could not be read."""
    zone: tzinfo | None = None
    """Of `taken_at`, where the source names it."""
    changed_at: datetime | None = None
    """When it was changed, in UTC; what is asked after all that knows when it was taken."""


NOTHING = Description()


def joined(parts: Iterable[Description]) -> Description:
    """Return several sources as one: the first that knows a time, a place, a camera or a rating decides; words add up."""
    sources = list(parts)
    taken_at, zone = _time([(part.taken_at, part.zone) for part in sources if part.taken_at])
    located = next((part for part in sources if part.lat is not None), NOTHING)
    return Description(
        taken_at,
        located.lat,
        located.lon,
        "\n".join(unique(line for part in sources for line in part.caption.splitlines()))[:MAX_TEXT],
        unique(word for part in sources for word in part.keywords),
        unique(name for part in sources for name in part.people),
        next((part.camera for part in sources if part.camera), ""),
        next((part.rating for part in sources if part.rating is not None), None),
        tuple(problem for part in sources for problem in part.problems),
        zone,
        next((part.changed_at for part in sources if part.changed_at), None),
    )


def _time(times: list[tuple[datetime, tzinfo | None]]) -> tuple[datetime | None, tzinfo | None]:
    """Return the first of several times; where it was read as local time, and another source names the zone of the same clock, that one's."""
    if not times or times[0][1]:
        return times[0] if times else (None, None)
    here = times[0][0].astimezone().replace(tzinfo=None, microsecond=0)
    zoned = (one for one in times if one[1] and one[0].astimezone(one[1]).replace(tzinfo=None, microsecond=0) == here)
    return next(zoned, times[0])


def describe(path: Path, kind: str, data: bytes = b"") -> Description:
    """Return what is known of a file; nothing of what is broken is. `data` is a picture's content, if that is at hand."""
    from . import names, takeout, xmp

    found = joined([xmp.read_sidecar(path), _embedded(path, kind, data), takeout.read_sidecar(path), names.dated(path)])
    return replace(found, taken_at=found.taken_at or found.changed_at)


def _embedded(path: Path, kind: str, data: bytes) -> Description:
    """Return what a file itself says."""
    from . import container, mail, picture

    if kind == "image":
        return picture.embedded(path, data)
    if kind == "document":
        return mail.embedded(path) if path.suffix.lower() == ".eml" else NOTHING
    return container.embedded(path, kind)


def sidecar_names(name: str) -> tuple[str, ...]:
    """Return the names of the files beside a file that may describe it."""
    from . import takeout, xmp

    return *xmp.sidecar_names(name), *takeout.sidecar_names(name)


def is_absent(error: Exception) -> bool:
    """Whether an error says that a file beside another is not there; its name may be longer than any can be."""
    return isinstance(error, OSError) and error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)


def unique(words: Iterable[str]) -> tuple[str, ...]:
    """Return words without those that come again, or are empty; spaces and control characters joined to one space."""
    cleaned = (joined_spaces(str(word))[:MAX_TEXT] for word in words)
    return tuple(list(dict.fromkeys(word for word in cleaned if word))[:MAX_WORDS])


def in_utc(when: datetime) -> datetime:
    """Return a time in UTC; without a zone it is local time, which Windows knows since 1970 only: before, summer time is none.

    Raises OverflowError, ValueError.
    """
    try:
        return when.astimezone(UTC)
    except OSError:
        return when.replace(tzinfo=timezone(timedelta(seconds=-time.timezone))).astimezone(UTC)


def possible_time(when: datetime | None) -> datetime | None:
    """Return a time in UTC, if anything can have been taken then."""
    if when is None:
        return None
    try:
        moment = in_utc(when)
    except (OverflowError, ValueError):
        return None
    zeros = {moment.replace(microsecond=0), when.replace(microsecond=0, tzinfo=UTC)}  # of clocks that were set to local time, too
    return None if zeros & NO_TIMES or moment.year not in YEARS else moment


def possible_place(lat: float | None, lon: float | None) -> tuple[float | None, float | None]:
    """Return degrees, if there is such a place; 0, 0 is what devices without a fix write."""
    if lat is None or lon is None or not (abs(lat) <= 90 and abs(lon) <= 180) or (lat == 0 and lon == 0):
        return None, None
    return lat, lon
