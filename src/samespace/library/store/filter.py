"""Which segments a search may return, compiled for both ways of searching."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.errors import LibraryError
from ...core.paths import to_text

if TYPE_CHECKING:
    from .conditions import Condition


WORDS = "words"
"""The column with all that can be found by words; see words.py."""
OLD_LIBRARY = (
    "an older version made this library, without names, captions and places; index its folders again: samespace index DIR"
)


@dataclass(frozen=True)
class Filter:
    """Conditions on segments; empty fields let everything through."""

    kinds: tuple[str, ...] = ()
    """Kinds of files, such as `image`."""
    under: str = ""
    """A folder, absolute."""
    since: datetime | None = None
    """Taken (or, where unknown, last changed) at this time or later; with a zone."""
    until: datetime | None = None
    """Before this time."""
    without: tuple[str, ...] = ()
    """Paths left out, such as the files that a query itself names."""
    modality: str = ""
    """One of records.MODALITIES."""
    within: str = ""
    """A file, absolute: only its segments."""
    where: "Condition | None" = None
    """What search.where parses."""

    def narrowed(self, where: "Condition | None") -> "Filter":
        """Return a filter that lets through what meets another condition, too."""
        if where is None or self.where is None:
            return replace(self, where=where or self.where)
        from .conditions import AllOf

        return replace(self, where=AllOf((self.where, where)))

    @property
    def prefix(self) -> str:
        """The beginning of the stored paths under the folder."""
        return to_text(os.path.join(self.under, ""))

    @property
    def sql(self) -> str | None:
        """The conditions as SQL; None where all rows pass."""
        parts = []
        if self.kinds:
            parts.append(f"kind IN ({literals(self.kinds)})")
        if self.under:
            parts.append(f"starts_with(path, {literals([self.prefix])})")
        if self.within:
            parts.append(f"path = {literals([to_text(self.within)])}")
        if self.since:
            parts.append(f"time >= {microseconds(self.since)}")
        if self.until:
            parts.append(f"time < {microseconds(self.until)}")
        if self.without:
            parts.append(f"path NOT IN ({literals(map(to_text, self.without))})")
        if self.modality:
            parts.append(f"modality = {literals([self.modality])}")
        if self.where:
            parts.append(self.where.sql)
        return " AND ".join(parts) or None

    def rows(self, table: Any) -> np.ndarray:
        """Return the numbers of the rows of an Arrow table that pass, in order."""
        import pyarrow.compute as pc

        from .arrow import int64_array, string_array

        conditions = []
        if self.kinds:
            conditions.append(pc.is_in(table["kind"], string_array(self.kinds)))
        if self.under:
            conditions.append(pc.starts_with(table["path"], self.prefix))
        if self.within:
            conditions.append(pc.is_in(table["path"], string_array([to_text(self.within)])))
        if self.since:
            conditions.append(pc.greater_equal(table["time"], int64_array([microseconds(self.since)])[0]))
        if self.until:
            conditions.append(pc.less(table["time"], int64_array([microseconds(self.until)])[0]))
        if self.without:
            conditions.append(pc.invert(pc.is_in(table["path"], string_array(map(to_text, self.without)))))
        if self.modality:
            conditions.append(pc.is_in(table["modality"], string_array([self.modality])))
        if self.where:
            if WORDS in table.schema.names and len(table) and table[WORDS].null_count == len(table):
                raise LibraryError(OLD_LIBRARY)
            conditions.append(self.where.mask(table))
        if not conditions:
            return np.arange(len(table))
        return np.from_dlpack(pc.indices_nonzero(reduce(pc.and_, conditions))).astype(np.int64)


def literals(texts: Iterable[str]) -> str:
    """Return SQL string literals, comma-separated."""
    return ", ".join("'" + text.replace("'", "''") + "'" for text in texts)


def microseconds(when: datetime) -> int:
    """Return microseconds since 1970."""
    return int(when.timestamp() * 1_000_000)
