"""When a mail was sent."""

import contextlib
import email
import email.policy
from pathlib import Path

from .description import Description, possible_time

HEADERS_BYTES = 1_000_000
"""Headers are at the beginning; no more is read."""


def embedded(path: Path) -> Description:
    """Return what the headers of a mail (`.eml`) say of its time: RFC 5322, 3.6.1. Words of a mail are its text."""
    with contextlib.suppress(OSError, ValueError, TypeError, LookupError), path.open("rb") as file:
        message = email.message_from_bytes(file.read(HEADERS_BYTES), policy=email.policy.default)
        return Description(possible_time(message["Date"].datetime) if message["Date"] else None)
    return Description()
