"""Which segments a search may return, said once for both ways of searching."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from ...core.paths import to_text

SENSES = {
    "sight": "(part IS NULL OR part IN ('top', 'bottom'))",
    "sound": "part = 'sound'",
    "text": "starts_with(part, 'text')",
}
"""What of a file a segment is of: conditions in SQL over its `part`."""


@dataclass(frozen=True)
class Filter:
    """Empty fields let everything through."""

    kinds: tuple[str, ...] = ()
    """Such as `image`."""
    under: str = ""
    """A folder, absolute."""
    since: datetime | None = None
    """Taken (or, where unknown, last changed) at this time or later; with a zone."""
    until: datetime | None = None
    """Before this time."""
    without: tuple[str, ...] = ()
    """Paths left out: the pictures that a query itself names."""
    sense: str = ""
    """What of a file: one of SENSES."""
    within: str = ""
    """A file, absolute: its moments or pages only."""

    @property
    def prefix(self) -> str:
        """What the stored paths under a folder begin with."""
        return to_text(os.path.join(self.under, ""))

    @property
    def sql(self) -> str | None:
        """As a condition in SQL over the columns path, kind and moment; None where all rows pass."""
        parts = []
        if self.kinds:
            parts.append(f"kind IN ({literals(self.kinds)})")
        if self.under:
            parts.append(f"starts_with(path, {literals([self.prefix])})")
        if self.within:
            parts.append(f"path = {literals([to_text(self.within)])}")
        if self.since:
            parts.append(f"moment >= {micros(self.since)}")
        if self.until:
            parts.append(f"moment < {micros(self.until)}")
        if self.without:
            parts.append(f"path NOT IN ({literals(map(to_text, self.without))})")
        if self.sense:
            parts.append(SENSES[self.sense])
        return " AND ".join(parts) or None

    def mask(self, table: Any) -> Any:
        """The same as a boolean column for an Arrow table with the columns path, kind and moment."""
        import pyarrow as pa
        import pyarrow.compute as pc

        mask = pa.array(np.ones(len(table), bool))
        if self.kinds:
            mask = pc.and_(mask, pc.is_in(table["kind"], pa.array(self.kinds)))
        if self.under:
            mask = pc.and_(mask, pc.starts_with(table["path"], self.prefix))
        if self.within:
            mask = pc.and_(mask, pc.equal(table["path"], to_text(self.within)))
        if self.since:
            mask = pc.and_(mask, pc.greater_equal(table["moment"], micros(self.since)))
        if self.until:
            mask = pc.and_(mask, pc.less(table["moment"], micros(self.until)))
        if self.without:
            mask = pc.and_(mask, pc.invert(pc.is_in(table["path"], pa.array(map(to_text, self.without)))))
        if self.sense and "part" in table.column_names:
            part = pc.fill_null(table["part"], "")
            of_sound, of_text = pc.equal(part, "sound"), pc.starts_with(part, "text")
            other = pc.invert(pc.or_(of_sound, of_text))
            mask = pc.and_(mask, {"sight": other, "sound": of_sound, "text": of_text}[self.sense])
        return mask


def literals(texts: Iterable[str]) -> str:
    """String literals of SQL, comma-separated."""
    return ", ".join("'" + text.replace("'", "''") + "'" for text in texts)


def micros(when: datetime) -> int:
    """Microseconds since 1970."""
    return int(when.timestamp() * 1_000_000)
