"""Dates in the names of files, as cameras, telephones and messengers write them: IMG_20161224_101500.jpg, 2016-12-24 10.15.00.png."""

import re
from datetime import UTC, datetime
from pathlib import Path

from .description import Description, possible_time

_DATE = re.compile(
    r"(?<!\d)((?:19|20)\d\d)([-_.]?)(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01])"  # year, month, day
    r"(?:(?:\D{1,4}?)?([01]\d|2[0-3])[-_.:h]?([0-5]\d)[-_.:m]?([0-5]\d)(?:\d{3})?(?!\d)(\s?[AP]M\b)?)?(?!\d)",  # and perhaps a time
    re.IGNORECASE,
)
_UTC_NAMES = ("PXL_",)
"""Beginnings of names whose time is UTC."""


def dated(path: Path) -> Description:
    """Return the date in a file's name; noon where no time follows it."""
    for match in _DATE.finditer(path.stem):
        year, _, month, day, hour, minute, second, half = match.groups()
        hours = int(hour or 12)
        if half and hours <= 12:
            hours = hours % 12 + (12 if half.strip().upper() == "PM" else 0)
        try:
            when = datetime(int(year), int(month), int(day), hours, int(minute or 0), int(second or 0))
        except ValueError:  # the 31st of February
            continue
        return Description(possible_time(when.replace(tzinfo=UTC) if path.name.startswith(_UTC_NAMES) else when))
    return Description()
