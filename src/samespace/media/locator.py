"""Where in its file a segment is, as text for people."""

from typing import Protocol


class HasPlace(Protocol):
    """A place in a file: a Hit, a Segment."""

    @property
    def path(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def start(self) -> float | None: ...
    @property
    def end(self) -> float | None: ...
    @property
    def page(self) -> int | None: ...


def locator(segment: HasPlace) -> str:
    """Return where in its file a segment is: "page 2", "1:05–1:12", "1:05" where it lasts less than a second, or nothing."""
    return locator_text(segment.start, segment.end, segment.page)


def locator_text(start: float | None, end: float | None, page: int | None) -> str:
    """Return a place in a file as text."""
    if page is not None:
        return f"page {page}"
    if start is None:
        return ""
    first, last = clock(start), clock(end or start)
    return first if first == last else f"{first}–{last}"


def clock(seconds: float) -> str:
    """Return seconds as 1:05, or 1:02:05."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
