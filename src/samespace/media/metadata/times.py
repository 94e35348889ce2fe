"""Times as cameras, scanners, phones and editors really write them."""

import re
from datetime import datetime, timedelta, timezone

from .description import possible_time

_WHEN = re.compile(
    r"\s*(?P<year>\d{4})"
    r"(?:\s*[-:/.]?\s*(?P<month>\d{1,2})(?:\s*[-:/.]?\s*(?P<day>\d{1,2}))?)?"
    r"(?:[T\s:]+\s*(?P<hour>\d{1,2})\s*[:.h]\s*(?P<minute>\d{1,2})(?:\s*[:.m]\s*(?P<second>\d{1,2})(?P<fraction>[.,]\d+)?)?)?"
    r"\s*(?P<zone>Z|[+-]\d\d:?\d\d)?"
)
"""2019:07:04 12:30:00 as EXIF has it, and 2019-07-04T12:30:00.50+02:00, 2019/07/04 12:30, 20190704, 2019:07, 1965."""
NOON = 12


def when_of(text: str, offset: str = "") -> datetime | None:
    """Return the first of `time_of`."""
    return time_of(text, offset)[0]


def time_of(text: str, offset: str = "") -> tuple[datetime | None, timezone | None]:
    """Return a time in UTC, and the zone that is named with it; local time where none is. Raises nothing: None where it cannot be read, or is none.

    What is unknown, written as zeros or blanks, is the first of the year or month; noon where there is no hour. EXIF 2.32, §4.6.5.
    """
    if not (match := _WHEN.match(text)):
        return None, None
    part = {name: int(value or 0) for name, value in match.groupdict().items() if name not in ("fraction", "zone")}
    hour = part["hour"] % 24 if match["hour"] else NOON
    microsecond = int(float(f"0{(match['fraction'] or '.0').replace(',', '.')}") * 1e6)
    try:
        when = datetime(part["year"], part["month"] or 1, part["day"] or 1, hour, part["minute"], part["second"], microsecond)
    except ValueError:
        return None, None
    zone = zone_of(match["zone"] or offset)
    return possible_time(when.replace(tzinfo=zone) if zone else when), zone


def zone_of(text: str) -> timezone | None:
    """Return the zone of an offset such as +02:00; None where it is none."""
    if text.strip() in ("Z", "z"):
        return timezone(timedelta())
    if not (match := re.fullmatch(r"\s*([+-])(\d\d):?(\d\d)\s*", text)):
        return None
    minutes = int(match[2]) * 60 + int(match[3])
    return timezone(timedelta(minutes=minutes if match[1] == "+" else -minutes)) if minutes < 24 * 60 else None
