"""What indexing did."""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Report:
    """What indexing did, file by file."""

    added: int = 0
    """Embedded: new, changed, or given this space's vector."""
    reused: int = 0
    """Copies of known content: their vectors were reused."""
    moved: int = 0
    """Known content at a new path, the old path gone."""
    removed: int = 0
    """No longer on disk, or changed and no longer readable."""
    same: int = 0
    """Unchanged since the last time."""
    unsettled: int = 0
    """Changed a moment ago, and perhaps not complete: left for the next time."""
    skipped: list[tuple[str, str]] = field(default_factory=list)
    """(path, reason)"""
    wrote: bool = False
    """Whether something was written, or something that was written before was brought to its end."""
    lost_copies: bool = False
    """Whether copies of other files were removed, so that those are compared again."""
    comparing: bool = False
    """Whether all are embedded, and what is counted now is compared with the others."""
    seconds: float = 0.0
    """Wall-clock time."""

    @property
    def stored(self) -> int:
        """Files embedded, reused or moved so far."""
        return self.added + self.reused + self.moved

    @property
    def processed(self) -> int:
        """Files embedded, reused, moved or skipped so far."""
        return self.stored + len(self.skipped)


Progress = Callable[[Report, int, int], None]
"""Called with the report so far, the number of files done, and the number to do."""
