"""How well marks fit what a person calls a thing: by its very words, by what they mean, and by sight."""

import re
from collections.abc import Sequence
from dataclasses import replace
from difflib import SequenceMatcher

import numpy as np

from ...preprocess.pixels import square
from ...spaces.space import Space
from ..screen.policy import Mark
from .marks import Screen, TextLine

EXACT, GOOD, FAIR = 0.97, 0.72, 0.45
"""A mark that scores EXACT says what was asked for; one of GOOD is taken, and the best of those above FAIR if none is better."""
SIGHT = 0.6
"""Most that a mark scores by sight or by what its words mean: less than by its very words."""
MEANT, SEEN = (0.55, 0.85), (0.05, 0.25)
"""Cosines of texts, and of a crop and a text, from which the score begins and at which it is whole."""
MOST_SEEN = 60
"""Shapes that are looked at."""
SAME_MEANING = [set(words.split("|")) for words in ("submit|send|ok|go|search|find|done|confirm", "cancel|close|dismiss|no", "log in|login|sign in", "next|>|»|›|≥", "previous|back|<|«|‹", "more|…|...|•••")]  # fmt: skip
"""What buttons that do the same say."""
ICONS = {
    "+": "plus", "add": "plus", "-": "minus", "remove": "minus", "x": "cross mark", "close": "cross mark", "like": "red heart", "favourite": "red heart",
    "reply": "right arrow curving left", "retweet": "repeat button", "repeat": "repeat button", "share": "outbox tray", "search": "magnifying glass",
    "delete": "wastebasket", "trash": "wastebasket", "settings": "gear", "edit": "pencil", "star": "star", "home": "house", "cart": "shopping cart",
    "mail": "envelope", "email": "envelope", "phone": "telephone receiver", "calendar": "calendar", "lock": "locked", "play": "play button",
}  # fmt: skip
"""What the signs of people's names for icons are called by Unicode, as the starter space has learnt them."""


class Ranker:
    """Marks for phrases."""

    def __init__(self, space: Space, by_meaning: bool = True):
        """by_meaning: whether a mark that no words name may be found by what its words mean, and by sight."""
        self.space, self.by_meaning = space, by_meaning

    def named(self, phrase: str, screen: Screen) -> list[Mark]:
        """Return marks that say what a phrase says, or nearly, best first; of several as good, in reading order."""
        scored = [replace(part, score=score) for line in screen.lines for part, score in _parts(line, phrase)]
        if _best(scored) < GOOD and " " in phrase:
            scored += [replace(pair, score=likeness(pair.text, phrase)) for pair in _broken(screen.lines)]
        if _best(scored) < GOOD:
            scored += [replace(shape, score=likeness(shape.text, phrase)) for shape in screen.buttons]
        return in_order([mark for mark in scored if mark.score >= GOOD])

    def meant(self, phrase: str, screen: Screen) -> list[Mark]:
        """Return the marks that a phrase fits best by what their words mean, or by sight; none where no mark fits it fairly."""
        if not self.by_meaning:
            return []
        if (icon := self.alike(phrase, screen.icons, screen)) is not None:
            return [replace(icon, score=GOOD)]
        (z,) = self.space.text([phrase])
        texts = [*screen.lines, *screen.buttons]
        scored = []
        if texts:
            cosines = self.space.text([mark.text or "?" for mark in texts]) @ z
            scored = [replace(m, score=SIGHT * _share(float(c), MEANT)) for m, c in zip(texts, cosines)]
        empty = set(screen.fields)  # an empty field looks like anything
        if seen := [shape for shape in screen.shapes if not shape.text and shape not in empty][-MOST_SEEN:]:
            cosines = self._vectors(seen, screen) @ z
            scored += [replace(m, score=SIGHT * _share(float(c), SEEN)) for m, c in zip(seen, cosines)]
        best = _best(scored)
        return [replace(m, score=GOOD) for m in scored if m.score == best >= FAIR]

    def _vectors(self, marks: Sequence[Mark], screen: Screen) -> np.ndarray:
        """Return the vectors of what marks look like: float32 [n, dim]."""
        crops = [screen.screenshot.crop((m.left, m.top, m.right, m.bottom)) for m in marks]
        return self.space.pixels(np.stack([square(crop, self.space.config.prep) for crop in crops]))

    def alike(self, phrase: str, marks: Sequence[Mark], screen: Screen) -> Mark | None:
        """Return which of some marks looks most like the sign for what a phrase names; None where it has no sign, and of none."""
        if not marks or not self.by_meaning or phrase.casefold() not in ICONS:
            return None
        (z,) = self.space.text([ICONS[phrase.casefold()]])
        return marks[int(np.argmax(self._vectors(marks, screen) @ z))]


def in_order(marks: Sequence[Mark]) -> list[Mark]:
    """Return marks, best first; of several as good, in reading order."""
    return sorted(marks, key=lambda mark: (-round(mark.score, 2), mark.top // 12, mark.left))


def _best(marks: Sequence[Mark]) -> float:
    return max((mark.score for mark in marks), default=0.0)


def likeness(text: str, phrase: str) -> float:
    """Return how well what is written fits a phrase: 1 where it is that, less where it is in it, or nearly the same letters.

    phrase: * stands for any letters.
    """
    if "*" in phrase:
        return float(re.fullmatch(".*".join(map(re.escape, phrase.split("*"))), text.strip(), re.I) is not None)
    same_case = " ".join(text.split()).strip(" .,:*") == " ".join(phrase.split()).strip(" .,:*")
    a, b = _plain(text), _plain(phrase)
    if not a or not b:
        return 0.0
    if a == b:
        return 1.0 if same_case else 0.98
    if a.replace(" ", "") == b.replace(" ", ""):
        return 0.97
    if any(a in words and b in words for words in SAME_MEANING):
        return 0.9
    if b in a and (set(b.split()) <= set(a.split()) or len(b) > 4):
        return 0.75 + 0.2 * len(b) / len(a)
    same = SequenceMatcher(None, a, b).ratio()
    return 0.9 * same if same >= 0.8 else 0.0


def _plain(text: str) -> str:
    """Return a text for comparing: small letters, without marks at its ends."""
    small = " ".join(text.casefold().split())
    return small.strip(" .,:*\"“”'") or small


def _parts(line: TextLine, phrase: str) -> list[tuple[Mark, float]]:
    """Return the parts of a line that fit a phrase, with their scores; the value where the phrase is its label."""
    whole = likeness(line.text, phrase)
    label, colon, value = line.text.partition(":")
    if colon and value.strip() and likeness(label, phrase) >= GOOD:
        return [(_of_words(line, line.words[len(label.split()) :], value.strip()), likeness(label, phrase))]
    if whole >= EXACT or len(line.words) < 2:
        return [(line, whole)]
    length = len(phrase.split())
    found = []
    for start in range(len(line.words) - length + 1):
        words = line.words[start : start + length]
        score = likeness(" ".join(word.text for word in words), phrase)
        if score >= GOOD:  # a word of a line fits a little less than a line of its own
            found.append((_of_words(line, words, " ".join(word.text for word in words)), score - 0.005))
    return found or [(line, whole)]


def _broken(lines: Sequence[TextLine]) -> list[Mark]:
    """Return each line with the one that continues it below, as a name is broken that is too long."""
    pairs = [
        (a, b)
        for a in lines
        for b in lines
        if 0 < b.top - a.top < 1.6 * (a.bottom - a.top) and abs(a.left - b.left) < (a.bottom - a.top) / 2
    ]
    return [Mark(a.left, a.top, max(a.right, b.right), b.bottom, f"{a.text} {b.text}") for a, b in pairs]


def _of_words(line: TextLine, words: Sequence[Mark], text: str) -> Mark:
    """Return the part of a line in which some of its words stand."""
    if not words:
        return line
    return Mark(words[0].left, line.top, words[-1].right, line.bottom, text)


def label_of(field: Mark, labels: Sequence[Mark]) -> Mark | None:
    """Return the label that names a field: the nearest before it in its row, or above it."""
    best = max(labels, key=lambda label: nearness(label, field), default=None)
    return best if best is not None and nearness(best, field) > 0 else None


def nearness(label: Mark, mark: Mark) -> float:
    """Return how near a label is to the field that it may name: 1 in it, before it in its row or above it, less further away."""
    height = max(mark.bottom - mark.top, 1)
    if mark.holds(*label.middle):
        return 1.0
    if label.top < mark.bottom and label.bottom > mark.top:  # in its row
        gap = mark.left - label.right if label.right <= mark.left + height else 4 * height
    else:
        gap = mark.top - label.bottom if label.bottom <= mark.top + height // 2 else 4 * height
        gap += abs(label.left - mark.left) // 2
    return max(0.0, 1.0 - max(0, gap) / (12 * height))


def box_of(label: Mark, screen: Screen) -> Mark:
    """Return the box that belongs to a label, in its row, before it rather than behind it, with the label's score; the label where there is none."""
    middle, height = (label.top + label.bottom) / 2, label.bottom - label.top

    def gap(box: Mark) -> float:
        return label.left - box.right if box.middle[0] < label.left else 2 * (box.left - label.right)

    row = [b for b in screen.boxes if b.top - 4 <= middle <= b.bottom + 4 and not label.left < b.middle[0] < label.right]
    nearest = min(row, key=gap, default=None)
    return replace(nearest, text=label.text, score=label.score) if nearest and gap(nearest) <= 3 * height else label


def _share(value: float, span: tuple[float, float]) -> float:
    """Return where a value lies between two others, 0 to 1."""
    return min(1.0, max(0.0, (value - span[0]) / (span[1] - span[0])))
