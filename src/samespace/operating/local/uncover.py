"""What may bring to light what cannot be seen: the wheel, a further page, a menu, a branch of a tree."""

import re

from ..screen.actions import Click, Scroll
from ..screen.policy import Decision, Mark
from .candidates import Candidates, of_kind, row_of
from .grammar import CHOOSE, PRESS, Instruction
from .marks import Screen

MOST = 15
"""Things pressed for one instruction."""
WHEEL = 0.7
"""Of the height of what is scrolled, at a time."""
FURTHER = re.compile(r"[\s\d<≤«‹|]*[>≥»›]|next|older|more|show more|load more|read more|…|\.\.\.|•••", re.I)
"""What leads on to more of the same."""
ARROWS = ">≥»›"
BRANCH = re.compile(r"[+▸▶⊞]")
"""What opens a branch."""


class Uncovering:
    """What was tried, in one operation."""

    def __init__(self, candidates: Candidates, exploring: bool):
        """exploring: whether the task says that anything may be opened."""
        self.candidates, self.exploring = candidates, exploring
        self.tried: set[tuple[object, ...]] = set()
        self.scrolled = b""
        """The screen before the wheel was turned last."""
        self.scrolls = self.down = True
        self.moved = False
        self.pressed = self.passed = 0
        """Of things that are counted, those of the pages before."""
        self.opened: list[str] = []
        """What was pressed because the task says so: more of the same may be pressed."""

    def forget(self) -> None:
        """Begin anew, for another instruction."""
        self.scrolled, self.pressed, self.passed = b"", 0, 0
        self.scrolls = self.scrolls or self.moved
        self.down, self.moved = True, False

    def note(self, one: Instruction, mark: Mark, screen: Screen) -> None:
        """Take note of what was pressed."""
        if one.verb == PRESS:
            self.opened.append(one.target)
            self.tried.add(_key(mark, screen))

    def wheel(self, one: Instruction, screen: Screen) -> Decision | None:
        """Return a turn of the wheel, over the list where there is one; None at the end of what can be scrolled."""
        now = screen.screenshot.tobytes()
        if one.within and self.candidates.ranker.named(one.within, screen) and one.times == 1:
            return None  # it belongs to what is seen
        if self.scrolled == now:
            turn_back = self.down and self.moved and one.verb == CHOOSE
            self.down, self.scrolls = not turn_back, turn_back
        elif self.scrolled:
            self.moved = True
        if not self.scrolls:
            return None
        self.scrolled = now
        width, height = screen.screenshot.size
        area = (self.candidates.list if one.verb == CHOOSE else None) or Mark(0, 0, width, height)
        by = int(WHEEL * (area.bottom - area.top)) * (1 if self.down else -1)
        return Decision((Scroll(*area.middle, 0, by),), f"nothing here fits “{one.target or one.kind}”")

    def further(self, one: Instruction, screen: Screen) -> Decision | None:
        """Return the pressing of what leads on and was not pressed yet; None where nothing is left to try."""
        self.pressed += 1
        if self.pressed > MOST:
            return None
        shown = tuple(line.text for line in screen.lines)
        for mark in self._leading(one, screen):
            again = FURTHER.fullmatch(mark.text) is not None  # on another page it leads further
            key = (mark.text, shown) if again else _key(mark, screen)
            if key not in self.tried:
                self.tried.add(key)
                if one.ordinal > 0 and not one.target:
                    self.passed += len(_counted(one, screen))
                self.scrolled, self.scrolls = b"", self.scrolls or self.moved
                why = f"“{one.target or one.kind}” may be behind “{mark.text or 'this'}”"
                return Decision((Click(*_arrow_of(mark)),), why, (mark,))
        return None

    def _leading(self, one: Instruction, screen: Screen) -> list[Mark]:
        """Return what may lead on: for a name in its part of the screen, else anywhere."""
        words = [word for line in screen.lines for word in (line, *line.words)]
        leading = [mark for mark in [*words, *screen.buttons] if FURTHER.fullmatch(mark.text)]
        parts = [row_of(name, screen) for name in self.candidates.ranker.named(one.within, screen)] if one.within else []
        if parts:
            leading += [icon for icon in screen.icons if _is_dots(icon)]
            return [mark for mark in leading if any(part.holds(*mark.middle) for part in parts)]
        leading += [mark for phrase in self.opened for mark in self.candidates.ranker.named(phrase, screen)]
        if self.exploring:
            leading += [mark for mark in words if BRANCH.fullmatch(mark.text)] or [*screen.lines, *screen.icons]
        return leading


def _counted(one: Instruction, screen: Screen) -> list[Mark]:
    """Return the things on a page that are counted."""
    return [mark for mark in of_kind(one.kind, screen) if not FURTHER.fullmatch(mark.text)]


def _key(mark: Mark, screen: Screen) -> tuple[object, ...]:
    """Return what a mark is known again by, wherever it has moved to: its line, and how far to the right it begins."""
    line = next((line.text for line in screen.lines if line.holds(*mark.middle)), mark.text)
    return line, mark.left // 8


def _arrow_of(mark: Mark) -> tuple[int, int]:
    """Return where a mark is pressed: at its end where an arrow is the last of several characters, as in 1 2 3 >."""
    x, y = mark.middle
    return (mark.right - (mark.bottom - mark.top) // 3 if len(mark.text) > 1 and mark.text[-1] in ARROWS else x), y


def _is_dots(icon: Mark) -> bool:
    """Whether an icon may be three dots: much wider than high."""
    return icon.right - icon.left >= 2.5 * (icon.bottom - icon.top)
