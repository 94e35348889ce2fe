"""A policy without any endpoint: instructions, marks, and how well each mark fits, by words and by sight.

It never takes what a page says for an instruction, tries nothing twice, and says that it cannot rather than clicking on.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher

import numpy as np

from ...preprocess.pixels import square
from ...spaces.space import Space
from ..screen.actions import Action, Click, Done, Key, Scroll, Type
from ..screen.policy import Decision, Look, Mark
from .grammar import CHECK, ENTER, SCROLL, Instruction, instructions
from .marks import Screen, read_screen

GOOD, FAIR = 0.72, 0.45
"""A mark that scores this much is taken; one of less than FAIR is not considered."""
SIGHT = 0.6
"""Most that a mark scores by sight or by what its words mean: less than by its very words."""
MEANT, SEEN = (0.55, 0.85), (0.05, 0.25)
"""Cosines of texts, and of a crop and a text, from which the score begins and at which it is whole."""
MOST_TRIES, MOST_SCROLLS = 3, 6
WHEEL = 0.7
"""Of the screen's height that is scrolled at a time."""


@dataclass
class Tried:
    """What was tried for the instruction at hand."""

    places: list[tuple[int, int]] = field(default_factory=list)
    scrolls: int = 0
    before: bytes = b""
    """The screen before the last try."""


class LocalPolicy:
    """Words and shapes, ranked by a space."""

    name = "local"
    by_meaning = True
    """Whether a mark that no words name may be found by what its words mean, and by sight."""

    def __init__(self, space: Space):
        self.space = space

    def begin(self, task: str, size: tuple[int, int]) -> None:
        """Take a task apart. Raises RequestError where it says nothing to do."""
        self.left, self.size = instructions(task), size
        self.last = self.left[0]
        self.tries = Tried()

    def decide(self, look: Look) -> Decision:
        """Return what is to be done next: the first instruction that is left, on the mark that fits it best."""
        shown = look.screenshot.tobytes()
        if self.tries.places and shown == self.tries.before and len(self.tries.places) < MOST_TRIES:
            self.left.insert(0, self.last)  # nothing happened: another mark
        elif self.tries.places:
            self.tries = Tried()
        if not self.left:
            return Decision((Done("all of it was done"),), "nothing is left to do")
        one = self.left[0]
        if one.verb == SCROLL:
            return self._scroll(-1 if one.target == "up" else 1, "as it says", done=True)
        screen = read_screen(look.screenshot)
        marks = self.ranked(one, screen)
        fitting = [mark for mark in marks if mark.score >= GOOD and mark.middle not in self.tries.places]
        if not fitting:
            if self.tries.scrolls < MOST_SCROLLS and one.target:
                self.tries.scrolls += 1
                return self._scroll(1, f"nothing here fits “{one.target}”", marks=marks)
            return Decision((Done(f"nothing on the screen fits “{one.target}”", False),), str(one), tuple(marks))
        best = fitting[min(max(one.ordinal - 1, 0), len(fitting) - 1)] if one.ordinal > 0 else fitting[-1 if one.ordinal else 0]
        self.last = self.left.pop(0)
        self.tries.places.append(best.middle)
        self.tries.before = shown
        return Decision(
            self._actions(one, best),
            f"{one} → “{best.text}”" if best.text else str(one),
            (best, *(m for m in marks if m is not best)),
        )

    def _actions(self, one: Instruction, mark: Mark) -> tuple[Action, ...]:
        """Return what is done to a mark."""
        x, y = mark.middle
        if one.verb == ENTER:
            return Click(x, y), Key("ctrl+a"), Type(one.text)
        return (Click(x, y),)

    def _scroll(self, by: int, why: str, done: bool = False, marks: Sequence[Mark] = ()) -> Decision:
        """Return a turn of the wheel."""
        if done:
            self.left.pop(0)
        width, height = self.size
        return Decision((Scroll(width // 2, height // 2, 0, by * int(WHEEL * height)),), why, tuple(marks))

    def ranked(self, one: Instruction, screen: Screen) -> list[Mark]:
        """Return the marks that an instruction may mean, best first; of several as good, in reading order."""
        if one.verb == ENTER:
            found = self._fields(one, screen)
        else:
            found = self._named(one.target, [*screen.words, *(shape for shape in screen.shapes if shape.text)], screen)
            if one.verb == CHECK:
                found = [_beside(mark, screen) for mark in found]
        kept = [mark for mark in found if mark.score >= FAIR]
        return sorted(kept, key=lambda mark: (-round(mark.score, 2), mark.top // 12, mark.left))

    def _fields(self, one: Instruction, screen: Screen) -> list[Mark]:
        """Return fields, by the label before or above each."""
        fields = screen.fields
        if not one.target:
            return [replace(mark, score=1.0) for mark in sorted(fields, key=lambda m: (m.top, m.left))]
        labels = self._named(one.target, list(screen.words), screen)
        found = []
        for mark in fields:
            near = [(label.score * _nearness(label, mark), label) for label in labels]
            best = max(near, key=lambda pair: pair[0], default=(0.0, None))
            found.append(replace(mark, score=best[0]))
        if len(fields) == 1 and found[0].score < GOOD:
            return [replace(found[0], score=GOOD)]  # there is no other
        return found

    def _named(self, phrase: str, marks: Sequence[Mark], screen: Screen) -> list[Mark]:
        """Return marks with how well each fits a phrase: by its words and, where no words fit, by meaning and by sight."""
        scored = [replace(_part(mark, phrase), score=likeness(mark.text, phrase)) for mark in marks]
        if not phrase or max((mark.score for mark in scored), default=0.0) >= GOOD:
            return scored if phrase else [replace(mark, score=1.0) for mark in scored]
        if not self.by_meaning:
            return scored
        (z,) = self.space.text([phrase])
        shapes = [shape for shape in screen.shapes if not shape.text][:60]
        if marks:
            cosines = self.space.text([mark.text or "?" for mark in marks]) @ z
            scored = [replace(m, score=max(m.score, SIGHT * _share(float(c), MEANT))) for m, c in zip(scored, cosines)]
        if shapes:
            crops = [screen.screenshot.crop((s.left, s.top, s.right, s.bottom)) for s in shapes]
            seen = self.space.pixels(np.stack([square(crop, self.space.config.prep) for crop in crops])) @ z
            scored += [replace(s, score=SIGHT * _share(float(c), SEEN)) for s, c in zip(shapes, seen)]
        best = max((mark.score for mark in scored), default=0.0)
        if best >= FAIR:  # the best of what is meant is taken
            scored = [replace(m, score=GOOD) if m.score == best else m for m in scored]
        return scored


def likeness(text: str, phrase: str) -> float:
    """Return how well what is written fits a phrase: 1 where it is that, less where it is in it, or nearly the same letters."""
    a, b = " ".join(text.casefold().split()).strip(" .:*"), " ".join(phrase.casefold().split()).strip(" .:*")
    if not a or not b:
        return 0.0
    if a == b:
        return 1.0
    if a.replace(" ", "") == b.replace(" ", ""):
        return 0.98
    words = a.split()
    if b in a and (set(b.split()) <= set(words) or len(b) > 4):
        return 0.75 + 0.2 * len(b) / len(a)
    same = SequenceMatcher(None, a, b).ratio()
    return 0.9 * same if same >= 0.8 else 0.0


def _part(mark: Mark, phrase: str) -> Mark:
    """Return the part of a line of text where a phrase stands, by the number of its characters; the whole line where it does not."""
    at, length = mark.text.casefold().find(phrase.casefold()), len(mark.text)
    if at < 0 or not phrase or len(phrase) == length:
        return mark
    width = mark.right - mark.left
    return replace(mark, left=mark.left + width * at // length, right=mark.left + width * (at + len(phrase)) // length + 1)


def _beside(label: Mark, screen: Screen) -> Mark:
    """Return the box that belongs to a label, to its left or right in the same row, with the label's score; the label where there is none."""
    middle = (label.top + label.bottom) / 2
    row = [
        box for box in screen.boxes if box.top - 4 <= middle <= box.bottom + 4 and not (label.left < box.middle[0] < label.right)
    ]
    near = sorted(row, key=lambda box: min(abs(box.right - label.left), abs(box.left - label.right)))
    if not near or min(abs(near[0].right - label.left), abs(near[0].left - label.right)) > 3 * (label.bottom - label.top):
        return label
    return replace(near[0], text=label.text, score=label.score)


def _nearness(label: Mark, mark: Mark) -> float:
    """Return how near a label is to the field that it may name: 1 before it in its row or above it, less further away."""
    height = max(mark.bottom - mark.top, 1)
    same_row = label.top < mark.bottom and label.bottom > mark.top
    if same_row:
        gap = mark.left - label.right if label.right <= mark.left + height else 4 * height
    else:
        gap = mark.top - label.bottom if label.bottom <= mark.top + height // 2 else 4 * height
        gap += abs(label.left - mark.left) // 2
    return max(0.0, 1.0 - max(0, gap) / (12 * height))


def _share(value: float, span: tuple[float, float]) -> float:
    """Return where a value lies between two others, 0 to 1."""
    return min(1.0, max(0.0, (value - span[0]) / (span[1] - span[0])))
