"""What is read off a screen: the value beside a label, a word of a text, which of several has the most."""

import re
from collections.abc import Sequence

from ..screen.policy import Mark
from .marks import Screen
from .ranking import GOOD, likeness

MONEY = re.compile(r"[$€£¥]\s?(\d[\d.,]*)|(\d[\d.,]*)\s?(?:[$€£¥]|EUR|USD|CHF)")
DURATION = re.compile(r"(?:(\d+)\s?h)?\s?(?:(\d+)\s?m(?:in)?)?\b", re.I)
NUMBER = re.compile(r"-?\d+(?:[.,]\d+)*")
SEGMENTS = re.compile(r"[-/:.\sdmyjthpa]*", re.I)
"""What a field of a date or a time shows before anything is entered: mm/dd/yyyy, --:-- --."""
PUNCTUATION = " .,;:!?\"“”'()"


def value_of(label: str, screen: Screen) -> str | None:
    """Return what stands beside a label, in its line after a colon or in the next cell; None where there is nothing."""
    best = max(screen.lines, key=lambda line: likeness(line.text.partition(":")[0], label), default=None)
    if best is None or likeness(best.text.partition(":")[0], label) < GOOD:
        return None
    if value := best.text.partition(":")[2].strip():
        return value
    middle = (best.top + best.bottom) // 2
    row = [line for line in screen.lines if line.top <= middle < line.bottom and line.left >= best.right]
    return min(row, key=lambda line: line.left).text if row else None


def word_of(screen: Screen, number: int, area: bool) -> str | None:
    """Return the nth word of the running text, or of the largest field with text in it; −1: the last. None where there are not so many."""
    fields = sorted((field for field in screen.fields if field.text), key=lambda f: (f.bottom - f.top) * (f.right - f.left))
    if area and fields:
        lines = [line for line in screen.lines if fields[-1].holds(*line.middle)]
    else:
        around = [shape for shape in screen.shapes if shape.text and shape.bottom - shape.top < 4 * screen.unit]
        lines = [line for line in screen.lines if not any(shape.holds(*line.middle) for shape in around)]
    words = [word.strip(PUNCTUATION) for line in lines for word in line.text.split() if word.strip(PUNCTUATION)]
    at = number - 1 if number > 0 else number
    return words[at] if -len(words) <= at < len(words) else None


def extreme(of: str, sign: int, marks: Sequence[Mark]) -> Mark | None:
    """Return which mark has the least (sign −1) or the most (1) of something; None where no mark has any."""
    reader = (
        _money
        if re.search(r"cost|price|cheap|expensive|fare", of, re.I)
        else _minutes
        if re.search(r"duration|time|long|short", of, re.I)
        else _number
    )
    valued = [(value, mark) for mark in marks if (value := reader(mark.text)) is not None]
    return max(valued, key=lambda pair: sign * pair[0])[1] if valued else None


def _money(text: str) -> float | None:
    match = MONEY.search(text)
    return _value((match[1] or match[2]).rstrip(".,"), "") if match else None


def _minutes(text: str) -> float | None:
    """Return the minutes of "2h 16m"."""
    found = [(int(hours or 0), int(minutes or 0)) for hours, minutes in DURATION.findall(text) if hours or minutes]
    return 60.0 * found[0][0] + found[0][1] if found else None


def _number(text: str) -> float | None:
    match = NUMBER.search(text)
    return _value(match[0], ".") if match else None


def _value(digits: str, decimal: str) -> float:
    """Return what 1,299 or 1.299,00 says: the last mark, if it stands once, is the decimal one, before three digits only where it is `decimal`."""
    at = max(map(digits.rfind, ".,"))
    if at < 0:
        return float(digits)
    whole, mark, part = digits[:at], digits[at], digits[at + 1 :]
    is_decimal = digits.count(mark) == 1 and (len(part) != 3 or mark == decimal)
    return float(re.sub(r"[.,]", "", whole) + (f".{part}" if is_decimal else part))


def is_segmented(field: Mark, screen: Screen) -> bool:
    """Whether a field shows the parts of a date or a time that are to be entered one after the other."""
    if field.text:
        return SEGMENTS.fullmatch(field.text) is not None
    dashes = [s for s in screen.icons if field.holds(*s.middle) and s.bottom - s.top < 0.3 * (field.bottom - field.top)]
    return len(dashes) >= 3


def segments(text: str) -> str:
    """Return a date or a time as it is typed into such a field: 9:37 PM → 0937PM; what is no such thing stays as it is."""
    parts = re.findall(r"\d+|[ap]\.?m\.?", text, re.I)
    if not re.match(r"\s*\d{1,4}\s*[-/:.]\s*\d", text):
        return text
    return "".join(part.zfill(2) if part.isdigit() else part.replace(".", "").upper() for part in parts)
