"""The library as a timeline: all files, newest first, and by day; shapes of all at once, the rest of those that are on the screen."""

import base64
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from starlette.exceptions import HTTPException

from ...core.files import content_hash
from ...library.library import Library
from ...library.store.exact_index import segments_at
from ...library.store.files import folder_counts, newest_files
from ...library.store.records import Candidate
from .search_page import listed_json

FIRST, LAST = (int(datetime(year, 1, 2, tzinfo=UTC).timestamp() * 1e6) for year in (2, 9999))
"""Microseconds since 1970 between which a file's day can be named."""
RATIO_UNIT = 50
"""Shapes are sent as bytes: width over height times this."""


@dataclass(frozen=True)
class TimelineOutline:
    """What is needed to lay a timeline out."""

    days: list[tuple[str, int]]
    """(day, number of files), the newest first; a day as 2019-07-04, in local time."""
    ratios: str
    """Width over height of each file, in RATIO_UNIT, a byte each, in base64; 0 where it is unknown."""
    version: str
    """Which files these are, in which order: `items` counts among the same."""


class Timeline:
    """The timeline of one library."""

    def __init__(self, library: Library):
        self.library = library
        # versions of the library, map, marks, concepts, conditions → table, rows, which files they are
        self._cached: tuple[tuple[Any, ...], tuple[Any, np.ndarray, str]] | None = None

    def outline(self, where: str) -> TimelineOutline:
        """Return the outline of all files that meet conditions. Raises QueryError, LibraryError."""
        if not self.library.exists:
            return TimelineOutline([], "", "")
        table, rows, version = self._rows(where)
        times = np.asarray(table["time"])[rows]
        days, counts = _days(times)
        width, height = (np.nan_to_num(np.asarray(table[name].cast("float64")))[rows] for name in ("width", "height"))
        ratios = np.divide(width, height, out=np.zeros(len(rows)), where=height > 0)
        data = np.clip(np.round(ratios * RATIO_UNIT), 0, 255).astype(np.uint8).tobytes()
        return TimelineOutline(list(zip(days, counts)), base64.b64encode(data).decode(), version)

    def items(self, where: str, first: int, count: int, version: str = "") -> list[dict[str, Any]]:
        """Return some files of the timeline, as the page shows them. Raises QueryError, LibraryError, HTTPException 409 where it is another `version`."""
        table, rows, now = self._rows(where)
        if version and version != now:
            raise HTTPException(409, "the library has changed since this timeline was laid out; load it again")
        segments = segments_at(table, rows[first : first + count])
        hits = self.library.hits([Candidate.listed(segment) for segment in segments], first + 1)
        return [listed_json(hit) | {"time": hit.taken_at and hit.taken_at.timestamp()} for hit in hits]

    def folders(self) -> list[dict[str, Any]]:
        """Return the folders that hold files, as text, and how many files each holds, by path."""
        if not self.library.exists:
            return []
        table = self.library.store.readable(self.library.space.fingerprint)
        rows = newest_files(table, self.library.filter_of(""), "file")
        counts = folder_counts(table, rows)
        return [{"path": path, "name": path.rpartition("/")[2], "count": count} for path, count in sorted(counts.items())]

    def places(self, where: str) -> list[dict[str, Any]]:
        """Return the files that meet conditions and have a place: id, degrees, and what lies there; newest first."""
        if not self.library.exists:
            return []
        table, rows, _ = self._rows(where)
        columns = table.select(["id", "lat", "lon", "place"])
        located = rows[~np.isnan(np.asarray(columns["lat"].cast("float64"))[rows])]
        found: list[dict[str, Any]] = columns.take(located).to_pylist()
        return found

    def _rows(self, where: str) -> tuple[Any, np.ndarray, str]:
        """Return the library's table, the rows of files that meet conditions, newest first, and which files these are."""
        self.library.check_searchable()
        key = (self.library.map.version, self.library.marks.read(), self.library.concepts.read(), where)
        cached = self._cached
        if cached is None or cached[0] != key:
            table = self.library.store.readable(self.library.space.fingerprint)
            rows = newest_files(table, self.library.filter_of(where))
            which = content_hash("".join(table["id"].take(rows).to_pylist()).encode())[:16]
            self._cached = cached = key, (table, rows, which)
        return cached[1]


def _days(times: np.ndarray) -> tuple[list[str], list[int]]:
    """Return the local days of times, microseconds since 1970, newest first, and how many there are of each."""
    # quarters of an hour: few differ, and midnight lies between two everywhere
    quarters, which = np.unique(-(times.clip(FIRST, LAST) // 900_000_000), return_inverse=True)
    names = [datetime.fromtimestamp(-quarter * 900).date().isoformat() for quarter in quarters.tolist()]
    days: list[str] = list(dict.fromkeys(names))
    number = {day: i for i, day in enumerate(days)}
    of_quarter = np.array([number[name] for name in names], np.int64)
    return days, np.bincount(of_quarter[which], minlength=len(days)).tolist()
