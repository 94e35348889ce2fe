"""A screenshot → marks: what is written, and shapes that may be buttons, fields, boxes and icons."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from functools import cached_property
from hashlib import sha256
from statistics import median
from threading import Lock

import numpy as np
from cachetools import LRUCache, cached
from PIL import Image

from ...core.errors import MissingExtra
from ...media import ocr
from ..screen.policy import Mark

MOST = 200
"""Shapes of a screen, at most."""
LEAST = 6
"""Pixels of a shape's side, at least."""
LARGEST = 0.6
"""Of the screen that a shape covers, at most."""
SAME = 0.75
"""Shapes whose intersection is more than this share of their union are one."""
UNIT = 22.0
"""Pixels of a line's height, where nothing is written."""
BOX, ICON = (0.35, 1.6), (0.25, 2.5)
"""Lines' heights of the side of a check box or a radio button, and of an icon."""
LETTER = 0.8
"""Of the height of its line that a character has, at most."""
PLAIN = 25
"""Deviation of the grey values in an empty box, at most."""
FIELD_ASPECT = 1.5
"""Width over height of a field to type into, at least."""
REPEATED = 0.9
"""Likeness of text on the screen and the task from which it repeats the task."""
DRAWN = re.compile(r"""^(?:[^\w#$€£@"'(\[<>≥+\-.×]|[口囗日回目〇])+\s*(?=\S)|^[□☐☑☒■○◯●◉▪▢口囗〇]$""")
"""Boxes, circles and bullets that are read as characters before what they belong to."""


@dataclass(frozen=True)
class TextLine(Mark):
    """A line of text, with where each of its words stands."""

    words: tuple[Mark, ...] = ()


@dataclass(frozen=True)
class Screen:
    """What was found in a screenshot."""

    lines: tuple[TextLine, ...]
    """In reading order."""
    shapes: tuple[Mark, ...]
    """Rectangles, with the text in them."""
    screenshot: Image.Image
    unit: float = UNIT
    """Pixels of a line's height."""

    @cached_property
    def boxes(self) -> list[Mark]:
        """Small squares and circles with nothing in them: check boxes and radio buttons that are not chosen."""
        return [s for s in _outermost(self._empty(BOX)) if _aspect(s) < 1.33 and self._inside(s, 4).std() < PLAIN]

    @cached_property
    def radios(self) -> list[Mark]:
        """Circles among the boxes."""
        return [box for box in self.boxes if self._is_round(box)]

    @cached_property
    def icons(self) -> list[Mark]:
        """Small shapes without text."""
        return _outermost([shape for shape in self._empty(ICON) if _aspect(shape) < 5])

    @cached_property
    def fields(self) -> list[Mark]:
        """Bright rectangles to type into; what is written in one may be its value."""
        least = max(2 * LEAST, 0.6 * self.unit)
        wide = [
            s
            for s in self.shapes
            if s.bottom - s.top >= least and s.right - s.left >= FIELD_ASPECT * min(s.bottom - s.top, 2 * self.unit)
        ]
        bright = [s for s in wide if np.median(self._inside(s)) > 245]
        innermost = [s for s in bright if not any(_encloses(s, other) for other in bright)]
        icons = [icon for icon in self.icons if icon.bottom - icon.top > 0.8 * self.unit]
        return [s for s in innermost if not any(_encloses(s, icon) and not _at_end(icon, s) for icon in icons)]

    @cached_property
    def buttons(self) -> list[Mark]:
        """Shapes with a text in them that are no fields."""
        return [shape for shape in self.shapes if shape.text and shape not in self.fields]

    @cached_property
    def links(self) -> list[Mark]:
        """Words in blue; words of one line that follow each other are one link."""
        found: list[Mark] = []
        for line in self.lines:
            last = None
            for word in line.words:
                blue = self._is_blue(word)
                if blue and last is not None:
                    found[-1] = replace(found[-1], right=word.right, text=f"{found[-1].text} {word.text}")
                elif blue:
                    found.append(word)
                last = word if blue else None
        return found

    def _empty(self, sides: tuple[float, float]) -> list[Mark]:
        """Return shapes without text whose sides are so many lines high."""
        low, high = sides[0] * self.unit, sides[1] * self.unit
        return [s for s in self.shapes if not s.text and low <= max(s.right - s.left, s.bottom - s.top) <= high]

    def _inside(self, mark: Mark, border: int = 6) -> np.ndarray:
        """Return the grey values of a mark but for a border of one in so many; those of the border where nothing is within."""
        part = self.screenshot.crop((mark.left, mark.top, mark.right, mark.bottom)).convert("L")
        grey = np.asarray(part)
        edge = max(2, min(grey.shape) // border)
        inner = grey[edge:-edge, edge:-edge]
        return inner if inner.size else grey

    def _is_round(self, mark: Mark) -> bool:
        """Whether a box is a circle: going in from its corners along the diagonals, nothing is met at first."""
        grey = np.asarray(
            self.screenshot.crop((mark.left, mark.top, mark.right, mark.bottom)).convert("L").resize((40, 40)), float
        )
        corners = [grey, grey[::-1], grey[:, ::-1], grey[::-1, ::-1]]
        return bool(np.median([np.abs(np.diff(np.diagonal(corner)[:5])).max() for corner in corners]) < 24)

    def _is_blue(self, mark: Mark) -> bool:
        """Whether what is written is blue, as links are."""
        pixels = np.asarray(self.screenshot.crop((mark.left, mark.top, mark.right, mark.bottom)), float).reshape(-1, 3)
        if not len(pixels):
            return False
        ink = np.abs(pixels - np.median(pixels, 0)).sum(1)
        written = pixels[ink > 0.6 * ink.max()] if ink.max() > 60 else pixels[:0]
        red, green, blue = written.mean(0) if len(written) else (0, 0, 0)
        return bool(blue > 110 and blue > 1.6 * red and blue > 1.25 * green)


def written(screenshot: Image.Image) -> list[Mark]:
    """Return what is written on a screen, each text as far as a click beside it may still mean it. Raises MissingExtra."""
    screen = read_screen(screenshot)
    around = [(line, (line.bottom - line.top) // 2) for line in screen.lines]
    lines = [replace(o, left=o.left - by, top=o.top - by, right=o.right + by, bottom=o.bottom + by) for o, by in around]
    return [*lines, *screen.buttons]


def read_screen(screenshot: Image.Image, task: str = "") -> Screen:
    """Find what is written and what may be pressed. Raises MissingExtra where no reader of text is installed.

    task: lines that repeat it are left out, for nothing is meant by them.
    """
    if ocr.reader() is None:
        raise MissingExtra("reading a screen", "operate")
    read = _read(screenshot)
    unit = median([line.bottom - line.top for line in read] or [UNIT])
    lines = tuple(line for line in _without(read, task) if line.text)
    shapes = [shape for shape in _shapes(screenshot, unit) if not any(_is_letter(shape, line) for line in read)]
    return Screen(lines, tuple(_with_text(shape, lines) for shape in shapes)[:MOST], screenshot, unit)


@cached(LRUCache(4), lambda screenshot: (screenshot.size, sha256(screenshot.tobytes()).digest()), Lock())
def _read(screenshot: Image.Image) -> list[TextLine]:
    """Return what is written on a screen, from the top; what was read a moment ago is not read again."""
    read = [_line(line, words, screenshot.size) for line, words in ocr.lines_and_words(screenshot)]
    return sorted(read, key=lambda line: (line.top, line.left))


def _line(line: ocr.Line, words: Sequence[ocr.Line], size: tuple[int, int]) -> TextLine:
    """Return a line of text in pixels, without a box or a bullet before it, which is read as a character."""
    width, height = size

    def mark(one: ocr.Line) -> Mark:
        box = int(one.left * width), int(one.top * height), int(one.right * width) + 1, int(one.bottom * height) + 1
        return Mark(*box, one.text)

    whole, text = mark(line), DRAWN.sub("", line.text).strip()
    parts = [mark(word) for word in words]
    if text != whole.text.strip():
        parts = parts[len(parts) - len(text.split()) :]
        parts[:1] = [_cut(word, text.split()[0]) for word in parts[:1]]
    left = parts[0].left if parts else whole.left  # a line's own box has in it what stands before it
    return TextLine(left, whole.top, whole.right, whole.bottom, text, words=tuple(parts))


def _cut(word: Mark, left: str) -> Mark:
    """Return a word without what was read before it, by the number of its characters, of which a box is as wide as two."""
    before = len(word.text) - len(left)
    if before <= 0:
        return word
    share = 2 * before / (2 * before + len(left))
    return replace(word, left=word.left + int(share * (word.right - word.left)), text=left)


def _without(lines: Sequence[TextLine], task: str) -> list[TextLine]:
    """Return the lines without those that together repeat a task."""
    asked = _letters(task)
    best, left = REPEATED, list(lines)
    for start in range(len(lines) if asked else 0):
        repeated = ""
        for end in range(start, len(lines)):
            repeated += _letters(lines[end].text)
            if len(repeated) > len(asked) / REPEATED:
                break
            if REPEATED * len(asked) <= len(repeated) and (same := SequenceMatcher(None, repeated, asked).ratio()) > best:
                best, left = same, [*lines[:start], *lines[end + 1 :]]
    return left


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text.casefold()))


def _shapes(screenshot: Image.Image, unit: float) -> list[Mark]:
    """Return the rectangles around closed edges and around drawings of several strokes, the smaller first, each once."""
    import cv2

    grey = np.asarray(screenshot.convert("L"))
    edges = cv2.dilate(cv2.Canny(grey, 20, 60), np.ones((2, 2), np.uint8))
    gap = max(2, int(unit / 4))
    joined = cv2.morphologyEx(edges, cv2.MORPH_CLOSE, np.ones((gap, gap), np.uint8))
    alone = [cv2.boundingRect(contour) for contour in cv2.findContours(edges, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)[0]]
    together = [cv2.boundingRect(contour) for contour in cv2.findContours(joined, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)[0]]
    icons = [box for box in together if max(box[2:]) <= ICON[1] * unit]
    boxes = sorted(alone + icons, key=lambda box: box[2] * box[3])
    found: list[Mark] = []
    most = LARGEST * grey.size
    for x, y, w, h in boxes:
        mark = Mark(x, y, x + w, y + h)
        if min(w, h) >= LEAST and w * h <= most and not any(_same(mark, other) for other in found):
            found.append(mark)
    return found


def _is_letter(shape: Mark, line: Mark) -> bool:
    """Whether a shape is a character of a line, or several, or of it and the next."""
    across = line.left < shape.middle[0] < line.right and shape.top > line.top - LEAST and shape.bottom < line.bottom + LEAST
    both = (
        line.holds(shape.middle[0], shape.top + LEAST)
        and line.bottom < shape.bottom
        and shape.bottom - shape.top < 2 * (line.bottom - line.top)
    )
    return (across and shape.bottom - shape.top < LETTER * (line.bottom - line.top)) or (both and shape.right < line.right)


def _with_text(shape: Mark, lines: Sequence[Mark]) -> Mark:
    """Return a shape with what is written in it."""
    inside = [
        line.text for line in lines if shape.holds(*line.middle) and line.bottom - line.top <= 1.5 * (shape.bottom - shape.top)
    ]
    return replace(shape, text=" ".join(inside))


def _same(a: Mark, b: Mark) -> bool:
    """Whether two marks are as good as one."""
    width = min(a.right, b.right) - max(a.left, b.left)
    height = min(a.bottom, b.bottom) - max(a.top, b.top)
    if width <= 0 or height <= 0:
        return False
    return width * height / (_area(a) + _area(b) - width * height) > SAME


def moved(before: Screen, after: Screen) -> int:
    """Return how many pixels lower most lines stand that are on both screens; 0 where they stand still, or none is."""
    tops = {line.text: line.top for line in before.lines}
    shifts = [line.top - tops[line.text] for line in after.lines if line.text in tops and abs(line.top - tops[line.text]) > LEAST]
    return int(median(shifts)) if shifts else 0


def _outermost(marks: list[Mark]) -> list[Mark]:
    """Return the marks that are in no other."""
    return [mark for mark in marks if not any(_encloses(other, mark) for other in marks)]


def _at_end(icon: Mark, mark: Mark) -> bool:
    """Whether an icon is in the right end of a mark: arrows, a clock, a handle."""
    return icon.left > mark.right - 2 * (icon.right - icon.left) - LEAST


def _encloses(a: Mark, b: Mark) -> bool:
    """Whether a mark has another in it that is smaller."""
    return a.left <= b.left and a.top <= b.top and a.right >= b.right and a.bottom >= b.bottom and _area(a) > _area(b) / SAME


def _area(mark: Mark) -> int:
    return (mark.right - mark.left) * (mark.bottom - mark.top)


def _aspect(mark: Mark) -> float:
    """Return the longer side over the shorter."""
    width, height = mark.right - mark.left, mark.bottom - mark.top
    return max(width, height) / max(1, min(width, height))
