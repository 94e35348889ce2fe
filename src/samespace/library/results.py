"""What indexing and searching give back."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from .store.records import segment_id


@dataclass
class Report:
    """What indexing did, file by file."""

    added: int = 0
    """Embedded: new, changed, or given this space's vector."""
    reused: int = 0
    """Copies of bytes already known: their vector was taken over."""
    moved: int = 0
    """Known bytes at a new path, the old path gone."""
    removed: int = 0
    """No longer on disk, or no longer what was indexed and not readable."""
    same: int = 0
    """Unchanged since the last time."""
    skipped: list[tuple[str, str]] = field(default_factory=list)
    """(path, reason)"""
    seconds: float = 0.0

    @property
    def looked(self) -> int:
        """Files read so far."""
        return self.added + self.reused + self.moved + len(self.skipped)


Progress = Callable[[Report, int, int], None]
"""Called with the report so far, the number of files done, and the number to do."""


@dataclass(frozen=True)
class Hit:
    """A ranked segment."""

    rank: int
    score: float
    """Cosine to the query."""
    path: str
    kind: str
    relevance: float | None = None
    """Probability that it is what the words meant; None for a query with a picture, or in a space without calibration."""
    start: float | None = None
    """Seconds, in sound and video."""
    end: float | None = None
    page: int | None = None
    """From 1, in documents."""
    part: str | None = None
    """What of that place fits: what is seen where None; `sound`, or `text 2`, the second passage."""
    width: int | None = None
    height: int | None = None
    taken_at: datetime | None = None
    lat: float | None = None
    lon: float | None = None
    size: int | None = None
    """Bytes."""

    @property
    def id(self) -> str:
        """32 hex digits that stand for path and place in it, as long as both stay the same."""
        return segment_id({"path": self.path, "start": self.start, "page": self.page, "part": self.part})
