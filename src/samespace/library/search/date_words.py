"""Times as people name them in a search, offered as conditions and never applied silently: "in 2019", "last summer", "am Strand 2021"."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

MONTHS = (
    "january januar janvier enero gennaio", "february februar février febrero febbraio", "march märz mars marzo", "april avril abril aprile",
    "may mai mayo maggio", "june juni juin junio giugno", "july juli juillet julio luglio", "august août agosto",
    "september septembre septiembre settembre", "october oktober octobre octubre ottobre", "november novembre noviembre",
    "december dezember décembre diciembre dicembre",
)  # fmt: skip
"""Names in English, German, French, Spanish and Italian."""
SEASONS = {
    "spring frühling frühjahr printemps primavera": 3, "summer sommer été verano estate": 6, "autumn fall herbst automne otoño autunno": 9,
    "winter hiver invierno inverno": 12,
}  # fmt: skip
"""Names of seasons → the month they begin with, in the north."""
LAST = r"last|letzten?|letztes|letzter|vergangenen?|vergangenes|dernier|dernière|pasado|pasada|scorso|scorsa"
PREPOSITION = r"(?:\b(?:(?:in|im|am|en|de|nel|del|the|of)\b\s*|l'))*"
OPEN = re.compile(
    r"\b(?:since|from|seit|ab|depuis|desde|dal|after|nach|après|después|dopo|before|until|till|to|vor|bis|avant|jusque|antes|hasta|prima)\s*$",
    re.I,
)
"""What makes of a time an open range, of which a condition of its own would mean something else."""
YEAR = r"(?:19|20)\d\d"


@dataclass(frozen=True)
class Offer:
    """Words of a query, and what means the same and can be searched by."""

    text: str
    """As they stand in the query."""
    condition: str
    """A condition such as date:2019-06..2019-08, or a term of a sum such as - people."""


def _names(groups: dict[str, int]) -> dict[str, int]:
    return {name: number for names, number in groups.items() for name in names.split()}


MONTH = _names({names: number for number, names in enumerate(MONTHS, 1)})
SEASON = _names(SEASONS)
DAYS_AGO = _names({"today heute aujourd'hui hoy oggi": 0, "yesterday gestern hier ayer ieri": 1})
PERIODS = _names({"week woche semaine semana settimana": 7, "month monat mois mes mese": 31, "year jahr année an año anno": 365})


def date_words(query: str, today: date) -> list[Offer]:
    """Return the times that a query names, in their order, none overlapping another."""
    found: list[tuple[int, int, str]] = []
    for pattern, meaning in _patterns().items():
        for match in re.finditer(pattern, query, re.IGNORECASE):
            condition = meaning(match, today)
            if condition and not any(match.start() < end and start < match.end() for start, end, _ in found):
                found.append((match.start(), match.end(), condition))
    closed = [one for one in sorted(found) if not OPEN.search(query[: one[0]])]
    return [Offer(query[start:end].strip(), condition) for start, end, condition in closed]


Meaning = Callable[[re.Match[str], date], str]
"""A match and today → a condition; empty where it means none."""


def _any(names: dict[str, int]) -> str:
    """Return a pattern for any of several names."""
    return "|".join(sorted(map(re.escape, names), key=len, reverse=True))


def _patterns() -> dict[str, Meaning]:
    """Return patterns → what makes a condition of a match, the longest first."""
    season, month, period = _any(SEASON), _any(MONTH), _any(PERIODS)
    return {
        rf"{PREPOSITION}\b({season})\s+(?:de\s+|of\s+|del\s+)?({YEAR})\b": lambda m, _: _season(m[1], int(m[2])),
        rf"{PREPOSITION}\b(?:{LAST})\s+({season})\b|{PREPOSITION}\b({season})\s+(?:{LAST})\b": lambda m, t: _last_season(m[1] or m[2], t),
        rf"{PREPOSITION}\b({month})\s+(?:de\s+|of\s+)?({YEAR})\b": lambda m, _: f"date:{m[2]}-{MONTH[m[1].lower()]:02}",
        rf"{PREPOSITION}\b(?:{LAST})\s+({period})\b|{PREPOSITION}\b({period})\s+(?:{LAST})\b": lambda m, t: _last_period(m[1] or m[2], t),
        rf"\b({_any(DAYS_AGO)})\b": lambda m, t: f"date:{t - timedelta(DAYS_AGO[m[1].lower()])}",
        rf"{PREPOSITION}(?<![\w:.\-/])({YEAR})(?![\w:\-/]|\.\d)": lambda m, t: f"year:{m[1]}" if int(m[1]) <= t.year + 1 else "",
    }  # fmt: skip


def _season(name: str, year: int) -> str:
    """Return the three months of a season; winter ends in the next year."""
    first = SEASON[name.lower()]
    return f"date:{year}-12..{year + 1}-02" if first == 12 else f"date:{year}-{first:02}..{year}-{first + 2:02}"


def _last_season(name: str, today: date) -> str:
    """Return the last season of a name that has begun."""
    return _season(name, today.year if today.month >= SEASON[name.lower()] else today.year - 1)


def _last_period(name: str, today: date) -> str:
    """Return the calendar week, month or year before this one."""
    days = PERIODS[name.lower()]
    if days == 365:
        return f"year:{today.year - 1}"
    if days == 31:
        return f"date:{today.replace(day=1) - timedelta(1):%Y-%m}"
    monday = today - timedelta(today.weekday() + 7)
    return f"date:{monday}..{monday + timedelta(6)}"
