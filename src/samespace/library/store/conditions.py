"""Conditions on segments, joined by and, or and not; each compiles to SQL for the database and to a mask over an Arrow table.

Of an unknown value nothing is true, so a condition and its negation divide all segments in two.
"""

import math
import re
import unicodedata
from dataclasses import dataclass
from functools import cache, reduce
from typing import Any, Protocol

from .arrow import string_array
from .filter import literals

EARTH_KM = 6371.0
"""Mean radius of the earth."""


class Condition(Protocol):
    """What a segment meets or not."""

    @property
    def sql(self) -> str:
        """The condition as SQL, which is never NULL."""
        ...

    def mask(self, table: Any) -> Any:
        """Return which rows of an Arrow table meet it: booleans without nulls."""
        ...


@dataclass(frozen=True)
class AllOf:
    """All of several conditions."""

    parts: tuple[Condition, ...]

    @property
    def sql(self) -> str:
        return "(" + " AND ".join(part.sql for part in self.parts) + ")"

    def mask(self, table: Any) -> Any:
        import pyarrow.compute as pc

        return reduce(pc.and_, (part.mask(table) for part in self.parts))


@dataclass(frozen=True)
class AnyOf:
    """At least one of several conditions."""

    parts: tuple[Condition, ...]

    @property
    def sql(self) -> str:
        return "(" + " OR ".join(part.sql for part in self.parts) + ")"

    def mask(self, table: Any) -> Any:
        import pyarrow.compute as pc

        return reduce(pc.or_, (part.mask(table) for part in self.parts))


@dataclass(frozen=True)
class Not:
    """The opposite of a condition."""

    part: Condition

    @property
    def sql(self) -> str:
        return f"(NOT {self.part.sql})"

    def mask(self, table: Any) -> Any:
        import pyarrow.compute as pc

        return pc.invert(self.part.mask(table))


@dataclass(frozen=True)
class Compared:
    """A column's number against another: `op` is one of OPERATORS."""

    column: str
    op: str
    number: float

    @property
    def sql(self) -> str:
        return f"coalesce({self.column} {self.op} {self.number!r}, false)"

    def mask(self, table: Any) -> Any:
        import pyarrow.compute as pc

        return pc.fill_null(getattr(pc, OPERATORS[self.op])(table[self.column], self.number), False)


OPERATORS = {">=": "greater_equal", "<=": "less_equal", ">": "greater", "<": "less", "=": "equal"}
"""SQL's → pyarrow.compute's."""


@dataclass(frozen=True)
class Matches:
    """A column's text matches a regular expression of RE2, whatever the case."""

    column: str
    pattern: str

    @property
    def sql(self) -> str:
        return f"coalesce(regexp_like({self.column}, {literals([f'(?i){self.pattern}'])}), false)"

    def mask(self, table: Any) -> Any:
        import pyarrow.compute as pc

        return pc.fill_null(pc.match_substring_regex(table[self.column], self.pattern, ignore_case=True), False)


DUPLICATE = Matches("duplicate", ".")
"""Being one of several copies of a picture or video."""


@dataclass(frozen=True)
class Present:
    """A column has a value."""

    column: str

    @property
    def sql(self) -> str:
        return f"({self.column} IS NOT NULL)"

    def mask(self, table: Any) -> Any:
        import pyarrow.compute as pc

        return pc.is_valid(table[self.column])


@dataclass(frozen=True)
class OneOf:
    """A column's text is one of several."""

    column: str
    values: tuple[str, ...]

    @property
    def sql(self) -> str:
        return f"coalesce({self.column} IN ({literals(self.values)}), false)" if self.values else "false"

    def mask(self, table: Any) -> Any:
        import pyarrow.compute as pc

        return pc.fill_null(pc.is_in(table[self.column], string_array(self.values)), False)


@dataclass(frozen=True)
class InFiles:
    """A segment of one of some files: by path, or by content, wherever it was moved."""

    paths: tuple[str, ...]
    """As stored."""
    hashes: tuple[str, ...]

    @property
    def sql(self) -> str:
        if not self.paths:
            return "false"
        return f"(path IN ({literals(self.paths)}) OR hash IN ({literals(self.hashes)}))"

    def mask(self, table: Any) -> Any:
        import pyarrow.compute as pc

        return pc.or_(pc.is_in(table["path"], string_array(self.paths)), pc.is_in(table["hash"], string_array(self.hashes)))


@dataclass(frozen=True)
class Near:
    """Taken within some kilometres of a place, along the surface of a sphere."""

    lat: float
    lon: float
    km: float

    @property
    def _least(self) -> float:
        """Cosine of the angle that so many kilometres are, as seen from the centre of the earth."""
        return math.cos(min(math.pi, self.km / EARTH_KM))

    @property
    def sql(self) -> str:
        lat, lon = math.radians(self.lat), math.radians(self.lon)
        cosine = f"sin(radians(lat)) * {math.sin(lat)!r} + cos(radians(lat)) * {math.cos(lat)!r} * cos(radians(lon) - {lon!r})"
        return f"coalesce({cosine} >= {self._least!r}, false)"

    def mask(self, table: Any) -> Any:
        import pyarrow.compute as pc

        lat, lon = (pc.multiply(table[name], math.pi / 180) for name in ("lat", "lon"))
        height = pc.multiply(pc.sin(lat), math.sin(math.radians(self.lat)))
        along = pc.multiply(
            pc.multiply(pc.cos(lat), math.cos(math.radians(self.lat))), pc.cos(pc.subtract(lon, math.radians(self.lon)))
        )
        return pc.fill_null(pc.greater_equal(pc.add(height, along), self._least), False)


def loose(text: str) -> str:
    """Return a text as a regular expression of RE2 that matches it with any accents, written in any of Unicode's forms."""
    pattern = []
    for c in unicodedata.normalize("NFC", text):
        base, *marks = list(unicodedata.normalize("NFD", c))
        if base.lower() in _accented() and all("\u0300" <= mark <= "\u036f" for mark in marks):
            pattern.append(f"[{base}{_accented()[base.lower()]}][\u0300-\u036f]*")
        elif not "\u0300" <= c <= "\u036f":
            pattern.append(f"(?:{literal(c)}|{literal(base + ''.join(marks))})" if marks else literal(c))
    return "".join(pattern)


@cache
def _accented() -> dict[str, str]:
    """Return letter → the same with accents, of Latin, Greek and Cyrillic script."""
    found: dict[str, str] = {}
    for code in (*range(0xC0, 0x250), *range(0x386, 0x45F), *range(0x1E00, 0x1FFF)):
        base, *marks = list(unicodedata.normalize("NFD", chr(code)))
        if base.isalpha() and marks and all("\u0300" <= mark <= "\u036f" for mark in marks):
            found[base.lower()] = found.get(base.lower(), "") + chr(code)
    return found


def literal(text: str) -> str:
    """Return a text as a regular expression that matches it, to RE2 and to the database's engine."""
    return re.sub(r"([\\.+*?()|\[\]{}^$])", r"\\\1", text)  # nothing else: to the database's engine \< is the beginning of a word
