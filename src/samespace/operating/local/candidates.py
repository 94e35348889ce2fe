"""Which marks an instruction may mean, best first."""

import re
from collections.abc import Sequence
from dataclasses import replace

from ..screen.policy import Mark
from .grammar import CHECK, CHOOSE, ENTER, Instruction, kind_named
from .marks import Screen
from .ranking import GOOD, Ranker, box_of, in_order, nearness
from .values import extreme

PAGES = re.compile(r"[\s\d<>≤≥«»‹›|]*")
"""Links to other pages of the same."""
OPEN = 3.0
"""Lines' heights of a list that is open, or of a text of several lines, at least."""


class Candidates:
    """Marks for instructions, by a ranker."""

    def __init__(self, ranker: Ranker):
        self.ranker = ranker
        self.list: Mark | None = None
        """The list that was last seen open: with an entry chosen it looks less like one."""

    def of(self, one: Instruction, screen: Screen, guess: bool = False) -> list[Mark]:
        """Return the marks that an instruction may mean, best first. guess: also by what words mean, and by sight."""
        if one.extreme:
            return _with_most(one, screen)
        if one.verb == ENTER:
            return self._fields(one, screen, guess)
        if one.verb == CHOOSE:
            return self._listed(one, screen)
        if not one.target:
            return of_kind(one.kind, screen)
        marks = self.ranker.named(one.target, screen)
        if one.within:
            return self._in_rows(one, marks, screen)
        if not marks and (kind := kind_named(one.target)):
            return of_kind(kind, screen)
        if guess and not marks:
            marks = self.ranker.meant(one.target, screen)
        return [box_of(mark, screen) for mark in marks] if one.verb == CHECK else pressable(marks, screen)

    def _fields(self, one: Instruction, screen: Screen, guess: bool) -> list[Mark]:
        """Return fields, empty ones first, by the label before or above each, or in it."""
        fields = in_order([replace(f, score=float(not f.text)) for f in screen.fields])
        if not one.target:
            one_line = [f for f in fields if f.bottom - f.top < OPEN * screen.unit]
            return [replace(mark, score=1.0) for mark in one_line or fields]
        labels = self.ranker.named(one.target, screen) or (self.ranker.meant(one.target, screen) if guess else [])
        scored = [(max((label.score * nearness(label, f) for label in labels), default=0.0), f) for f in fields]
        near = [(f.score, score, replace(f, score=score)) for score, f in scored if score >= GOOD]
        if not near and len(fields) == 1:
            return [replace(fields[0], score=GOOD)]  # there is no other
        return [mark for _, _, mark in sorted(near, key=lambda found: found[:2], reverse=True)]

    def _listed(self, one: Instruction, screen: Screen) -> list[Mark]:
        """Return the entry of a list that is open, or the closed list, which is gone through by the letters of its entries."""
        self.list = next(iter(open_lists(screen)), self.list)
        if self.list:
            return [mark for mark in self.ranker.named(one.target, screen) if self.list.holds(*mark.middle)]
        closed = [replace(f, score=GOOD) for f in screen.fields]
        labels = self.ranker.named(one.within, screen) if one.within else []
        return sorted(closed, key=lambda f: -nearness(labels[0], f)) if labels else closed

    def _in_rows(self, one: Instruction, marks: Sequence[Mark], screen: Screen) -> list[Mark]:
        """Return the marks that belong to a name: for each such name on the screen the nearest after it, by words, else by sight."""
        found = []
        names = self.ranker.named(one.within, screen)
        for name in names:
            here = row_of(name, screen)
            inside = [mark for mark in marks if here.holds(*mark.middle) and mark.middle != name.middle]
            alike = self.ranker.alike(one.target, [icon for icon in screen.icons if here.holds(*icon.middle)], screen)
            inside = inside or ([replace(alike, score=GOOD)] if alike else [])
            found += sorted(inside, key=lambda mark: abs(mark.middle[1] - name.middle[1]))[:1]
        return found or (list(marks) if names and len(marks) == 1 else [])


def pressable(marks: Sequence[Mark], screen: Screen) -> list[Mark]:
    """Return marks in order, those in a button or a link before others that fit a little better."""
    buttons = [b for b in screen.buttons if b.bottom - b.top < OPEN * screen.unit]

    def looks_so(mark: Mark) -> bool:
        return any(b.holds(*mark.middle) for b in [*buttons, *screen.links])

    return sorted(marks, key=lambda mark: -round(mark.score + 0.1 * looks_so(mark), 2))


def of_kind(kind: str, screen: Screen) -> list[Mark]:
    """Return all things of a kind, in reading order; all that may be pressed where none is named."""
    kinds = {
        "button": screen.buttons, "link": screen.links, "field": screen.fields, "icon": screen.icons,
        "spinner": screen.fields, "box": [box for box in screen.boxes if box not in screen.radios], "radio": screen.radios,
    }  # fmt: skip
    marks = [
        mark for mark in kinds.get(kind, [*screen.buttons, *screen.links]) if kind != "link" or not PAGES.fullmatch(mark.text)
    ]
    return [replace(mark, score=1.0) for mark in sorted(marks, key=lambda m: (m.top // 12, m.left))]


def open_lists(screen: Screen) -> list[Mark]:
    """Return the lists of which several entries are shown."""
    return [f for f in screen.fields if f.bottom - f.top >= OPEN * screen.unit]


def row_of(name: Mark, screen: Screen) -> Mark:
    """Return the part of the screen that belongs to a name: to the next line that begins like it does, or its row."""
    begins = name.text.strip()[:1]
    next_ones = [
        word.top
        for line in screen.lines
        for word in line.words
        if line.top > name.bottom and not begins.isalnum() and word.text.startswith(begins)
    ]
    bottom = min(next_ones, default=screen.screenshot.height) if not begins.isalnum() else name.bottom + int(screen.unit)
    return Mark(0, name.top - int(screen.unit / 2), screen.screenshot.width, bottom)


def _with_most(one: Instruction, screen: Screen) -> list[Mark]:
    """Return what is pressed for that which has the least or the most of something: the button that says it, or the nearest below."""
    buttons = [b for b in screen.buttons if b.bottom - b.top < OPEN * screen.unit]
    most = extreme(one.target, one.extreme, [*buttons, *screen.lines])
    if most is None:
        return []
    below = [b for b in buttons if b.bottom >= most.bottom]
    return [replace(min(below, key=lambda b: b.middle[1] - most.middle[1], default=most), score=1.0)]


def arrows_of(field: Mark, screen: Screen) -> tuple[Mark, Mark] | None:
    """Return the arrows up and down at the right end of a field; None where there are none."""
    height = field.bottom - field.top
    near = [
        shape
        for shape in screen.shapes
        if not shape.text
        and field.right - height < shape.middle[0] < field.right + 1.5 * height
        and shape.bottom - shape.top < height / 2
    ]
    up = [s for s in near if field.top < s.middle[1] < field.middle[1]]
    down = [s for s in near if field.middle[1] < s.middle[1] < field.bottom]
    return (up[-1], down[-1]) if up and down else None
