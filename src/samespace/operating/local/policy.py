"""A policy without any endpoint: instructions, marks, and how well each mark fits, by words and by sight.

It never takes what a page says for an instruction, tries nothing twice, and says that it cannot rather than clicking on.
"""

from dataclasses import dataclass, field, replace

from ...spaces.space import Space
from ..screen.actions import Action, Click, Done, Drag, Key, Scroll, Type
from ..screen.policy import REFUSED, Decision, Look, Mark
from .candidates import Candidates, arrows_of, of_kind
from .forms import filled
from .grammar import CHECK, CHOOSE, DRAG, ENTER, FILL, FIND, READ, READ_BEFORE, SCROLL, Instruction, instructions, is_exploring
from .marks import Screen, moved, read_screen
from .ranking import EXACT, Ranker
from .uncover import WHEEL, Uncovering
from .values import is_segmented, segments, value_of, word_of

MOST_TRIES = 3
"""Marks tried for an instruction whose first had no effect."""
MOST_CLICKS = 100
"""On a field's arrows."""
TO_THE_END = 50
"""Heights of what is scrolled that are scrolled to reach its end."""


@dataclass
class Tried:
    """What was tried for the instruction at hand."""

    places: list[tuple[int, int]] = field(default_factory=list)
    """Where it was pressed."""
    sure: bool = False
    """Whether what was pressed said what was asked for: it may have worked without a change that can be seen."""
    screen: bytes = b""
    """The screen before the last try."""


class LocalPolicy:
    """Words and shapes, ranked by a space."""

    name = "local"
    by_meaning = True
    """Whether a mark that no words name may be found by what its words mean, and by sight."""

    def __init__(self, space: Space):
        self.candidates = Candidates(Ranker(space, self.by_meaning))

    def begin(self, task: str, size: tuple[int, int]) -> None:
        """Take a task apart. Raises RequestError where it says nothing to do."""
        self.left, self.size, self.task = instructions(task), size, task
        self.uncovering = Uncovering(self.candidates, is_exploring(task))
        self.last: Instruction | None = None
        self.read = ""
        """What was read off the screen last."""
        self.tried = Tried()
        self.seen: Screen | None = None
        self.decided = 0
        """Actions that were decided on last."""

    def decide(self, look: Look) -> Decision:
        """Return what is to be done next: the first instruction that is left, on the mark that fits it best."""
        if refusal := next((note for note in look.notes if note.startswith(REFUSED)), None):
            return _cannot(refusal)
        if look.done < self.decided:
            return _cannot("; ".join(look.notes) or "the last action was not done")
        decision = self._decided(look)
        self.decided = len(decision.actions)
        return decision

    def _decided(self, look: Look) -> Decision:
        """Return what is to be done next, nothing having gone wrong."""
        shown = look.screenshot.tobytes()
        self._look_back(shown)
        screen: Screen | None = None
        while self.left:
            screen = screen or self._read(look)
            one = self.left[0]
            if one.verb in (READ, FILL, FIND) and self._understood(one, screen):
                continue
            decision = (
                self._acted(screen, shown)
                or self.uncovering.wheel(one, screen)
                or (self.uncovering.further(one, screen) if self.uncovering.exploring else None)
                or self._acted(screen, shown, guess=True)
                or self.uncovering.further(one, screen)
            )
            if decision:
                return decision
            if one.times == 0 and self.tried.places:  # all that there were
                self._next()
                continue
            return _cannot(f"nothing on the screen fits “{one.target or one.kind or one.verb}”")
        return Decision((Done(self.read or "all of it was done"),), "nothing is left to do")

    def _read(self, look: Look) -> Screen:
        """Return what is on the screen; what was pressed is where it has been scrolled to."""
        screen = read_screen(look.screenshot, self.task)
        by = moved(self.seen, screen) if self.seen else 0
        self.tried.places = [(x, y + by) for x, y in self.tried.places]
        self.seen = screen
        self.left = [self._as_called(one, screen) for one in self.left]
        return screen

    def _as_called(self, one: Instruction, screen: Screen) -> Instruction:
        """Return an instruction, its ordinal a part of its target where something on the screen is called so: last name."""
        marks = self.candidates.ranker.named(one.whole, screen) if one.whole else []
        return replace(one, target=one.whole, ordinal=0, whole="") if marks and marks[0].score >= EXACT else one

    def _look_back(self, shown: bytes) -> None:
        """See what the last action did: where nothing changed, another mark is tried, unless it was sure to be the right one."""
        tried = self.tried
        if self.last and shown == tried.screen and not tried.sure and len(tried.places) < MOST_TRIES:
            self.left.insert(0, self.last)
        elif self.last:
            self.tried = Tried()
        self.last = None

    def _understood(self, one: Instruction, screen: Screen) -> bool:
        """Read, look for or expand what acts on nothing itself; whether that could be done."""
        if one.verb == READ:
            read = word_of(screen, one.ordinal, one.kind == "field") if one.kind else value_of(one.target, screen)
            self.read = read or self.read
            dealt = read is not None
        elif one.verb == FILL:
            entered = filled(one.text, screen)
            self.left[1:1] = entered
            dealt = bool(entered)
        else:
            dealt = bool(self.candidates.of(one, screen))
        if dealt:
            self._next()
        return dealt

    def _next(self) -> Instruction:
        """Take the first instruction that is left."""
        self.uncovering.forget()
        return self.left.pop(0)

    def _acted(self, screen: Screen, shown: bytes, guess: bool = False) -> Decision | None:
        """Return what does the first instruction, with those after it that need no other look; None where nothing fits.

        guess: a mark that no words name may be found by what its words mean, and by sight.
        """
        one = self.left[0]
        if one.verb in (READ, FILL, FIND):
            return None
        if one.verb == SCROLL:
            return self._scrolled(self._next(), screen)
        if one.times != 1:
            return self._in_rows(one, screen)
        actions: list[Action] = []
        marks: list[Mark] = []
        why: list[str] = []
        while self.left and (not actions or (one.verb in (CHECK, ENTER) and self.left[0].verb in (CHECK, ENTER))):
            one = self.left[0]
            fitting = self._untried(self.candidates.of(one, screen, guess), screen)
            best = _chosen(one, fitting, self.uncovering.passed)
            done = self._actions(one, best, screen) if best else ()
            if best is None or not done:
                break
            actions += done
            marks += [best, *(mark for mark in fitting if mark is not best)]
            why.append(f"{one} → “{best.text}”" if best.text else str(one))
            self.tried.places.append(best.middle)
            self.tried.sure = best.score >= EXACT or len(why) > 1
            self.uncovering.note(one, best, screen)
            self.last = self._next()
        self.tried.screen = shown
        return Decision(tuple(actions), "; ".join(why), tuple(marks)) if actions else None

    def _in_rows(self, one: Instruction, screen: Screen) -> Decision | None:
        """Return the same done in those of several rows that are seen; the instruction is left for those that are not."""
        rows = [y for _, y in self.tried.places]
        marks = [m for m in self.candidates.of(one, screen) if not any(abs(m.middle[1] - y) < screen.unit / 2 for y in rows)]
        marks = marks[: one.times or None]
        if not marks:
            return None
        self.tried.places += [mark.middle for mark in marks]
        if one.times == len(marks):
            self.last = self._next()
        elif one.times:
            self.left[0] = replace(one, times=one.times - len(marks))
        return Decision(tuple(Click(*mark.middle) for mark in marks), str(one), tuple(marks))

    def _untried(self, marks: list[Mark], screen: Screen) -> list[Mark]:
        """Return the marks that were not pressed yet, wherever they have been scrolled to."""
        near = screen.unit / 3
        return [m for m in marks if not any(max(abs(m.middle[0] - x), abs(m.middle[1] - y)) < near for x, y in self.tried.places)]

    def _actions(self, one: Instruction, mark: Mark, screen: Screen) -> tuple[Action, ...]:
        """Return what is done to a mark; nothing where what else is needed is not there."""
        x, y = mark.middle
        if one.kind == "spinner" and (clicks := _spun(one, mark, screen)):
            return clicks
        if one.verb == ENTER:
            text = self.read if one.text == READ_BEFORE else one.text
            if is_segmented(mark, screen):
                return Click(mark.left + (mark.bottom - mark.top) // 2, y), Type(segments(text))
            return Click(x, y), Key("ctrl+a"), Type(text)
        if one.verb == CHOOSE and self.candidates.list is None:  # a closed list is gone through by the letters of its entries
            return Click(x, y), Type(one.target), Key("enter")
        if one.verb == CHOOSE and one.ordinal > 1:
            return (Click(x, y, keys="ctrl"),)
        if one.verb == DRAG:
            ends = self.candidates.ranker.named(one.text, screen)
            return (Drag(((x, y), _end_of(one, ends[0]))),) if ends else ()
        return (Click(x, y),)

    def _scrolled(self, one: Instruction, screen: Screen) -> Decision:
        """Return a turn of the wheel, over what is named, or to its end."""
        areas = of_kind(one.kind, screen) if one.kind else []
        area = max(areas, key=lambda a: a.bottom - a.top, default=Mark(0, 0, *self.size))
        by = int((TO_THE_END if one.ordinal else WHEEL) * (area.bottom - area.top))
        return Decision((Scroll(*area.middle, 0, -by if one.target == "up" else by),), str(one), (area,))


def _chosen(one: Instruction, marks: list[Mark], passed: int) -> Mark | None:
    """Return which of the marks that fit is meant: the best, the nth, the last. passed: those of pages before."""
    ordinal = 0 if one.verb in (CHOOSE, DRAG) else one.ordinal
    if ordinal < 0:
        return marks[-1] if marks else None
    at = ordinal - 1 - passed if ordinal else 0
    return marks[at] if 0 <= at < len(marks) else None


def _end_of(one: Instruction, to: Mark) -> tuple[int, int]:
    """Return where something is dragged: on a mark, above it, or below."""
    return to.middle[0], max(0, {-1: to.top - 1, 1: to.bottom + 1}.get(one.ordinal, to.middle[1]))


def _spun(one: Instruction, field: Mark, screen: Screen) -> tuple[Action, ...]:
    """Return the clicks on a field's arrows that bring its number to the one asked for; nothing where it has none."""
    arrows = arrows_of(field, screen)
    try:
        by = int(one.text) - int(field.text)
    except ValueError:
        return ()
    return (Click(*arrows[by < 0].middle),) * min(abs(by), MOST_CLICKS) if arrows else ()


def _cannot(why: str) -> Decision:
    """Return the end of an operation that cannot be done."""
    return Decision((Done(why, False),), "nothing else is tried")
