"""Days, months and years as people write them → moments."""

from datetime import datetime, timedelta

from ...media.metadata.description import in_utc

FORMS = ("%Y-%m-%d", "%Y-%m", "%Y")


def date_range(text: str) -> tuple[datetime, datetime]:
    """Return when a day, month or year begins, in local time, and when the next one does; both in UTC. Raises ValueError."""
    for form in FORMS:
        try:
            start = datetime.strptime(text, form)
            return in_utc(start), in_utc(_next_start(start, form))
        except (ValueError, OverflowError):
            continue
    raise ValueError(f"{text!r} is not a date; write 2024, 2024-06 or 2024-06-30")


def _next_start(start: datetime, form: str) -> datetime:
    """Return when the next day, month or year starts."""
    if form == "%Y-%m-%d":
        return start + timedelta(days=1)
    if form == "%Y-%m":
        return (start + timedelta(days=31)).replace(day=1)
    return start.replace(year=start.year + 1)
