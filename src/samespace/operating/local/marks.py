"""A screenshot → marks: what is written, and shapes that may be buttons, fields and boxes."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from ...core.errors import MissingExtra
from ...media import ocr
from ..screen.policy import Mark

MOST = 200
"""Marks of a screen, at most."""
LEAST = 6
"""Pixels of a shape's side, at least."""
LARGEST = 0.4
"""Of the screen that a shape covers, at most."""
SAME = 0.75
"""Shapes whose intersection is more than this share of their union are one."""
BOX = (8, 48)
"""Pixels of the side of a check box or a radio button."""
DRAWN = re.compile(r"""^(?:[^\w#$€£@"'(\[<>+\-.×]|[口囗日回目〇])+\s*(?=\S)|^[□☐☑☒■○◯●◉▪▢口囗〇]$""")
"""Boxes, circles and bullets that are read as characters before what they belong to."""
FIELD_ASPECT = 2.2
"""Width over height of a field to type into, at least."""


@dataclass(frozen=True)
class Screen:
    """What was found in a screenshot."""

    words: tuple[Mark, ...]
    """Lines of text."""
    shapes: tuple[Mark, ...]
    """Rectangles, with the text in them."""
    screenshot: Image.Image

    @property
    def boxes(self) -> list[Mark]:
        """Small squares and circles without text: check boxes, radio buttons."""
        return [s for s in self.shapes if not s.text and _squarish(s) and BOX[0] <= s.bottom - s.top <= BOX[1]]

    @property
    def fields(self) -> list[Mark]:
        """Wide bright rectangles: fields to type into; what is written in one may be its value."""
        return [s for s in self.shapes if _wide(s) and self._bright(s)]

    def _bright(self, mark: Mark) -> bool:
        """Whether most of a mark is as good as white, as fields are and buttons mostly are not."""
        inside = np.asarray(self.screenshot.crop((mark.left + 2, mark.top + 2, mark.right - 2, mark.bottom - 2)).convert("L"))
        return bool(inside.size and np.median(inside) > 250)


def read_screen(screenshot: Image.Image) -> Screen:
    """Find what is written and what may be pressed. Raises MissingExtra where no reader of text is installed."""
    if ocr.reader() is None:
        raise MissingExtra("reading a screen", "operate")
    lines = ocr.lines(screenshot, single=True)
    words = tuple(word for line in lines if (word := _word(line, *screenshot.size)) is not None)
    shapes = tuple(_with_text(shape, words) for shape in _shapes(screenshot))
    return Screen(words, shapes[:MOST], screenshot)


def _word(line: ocr.Line, width: int, height: int) -> Mark | None:
    """Return a line of text in pixels, without a box or a bullet before it, which is read as a character; None where nothing is left."""
    text = DRAWN.sub("", line.text)
    left = line.left + (line.right - line.left) * (1 - len(text) / max(1, len(line.text)))
    if not text.strip():
        return None
    return Mark(
        int(left * width), int(line.top * height), int(line.right * width) + 1, int(line.bottom * height) + 1, text.strip()
    )


def _shapes(screenshot: Image.Image) -> list[Mark]:
    """Return the rectangles around closed edges, the smaller first, each once."""
    import cv2

    grey = np.asarray(screenshot.convert("L"))
    edges = cv2.dilate(cv2.Canny(grey, 20, 60), np.ones((2, 2), np.uint8))
    contours, _ = cv2.findContours(edges, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    boxes = sorted((cv2.boundingRect(contour) for contour in contours), key=lambda box: box[2] * box[3])
    found: list[Mark] = []
    most = LARGEST * grey.size
    for x, y, w, h in boxes:
        mark = Mark(x, y, x + w, y + h)
        if min(w, h) >= LEAST and w * h <= most and not any(_same(mark, other) for other in found):
            found.append(mark)
    return found


def _with_text(shape: Mark, words: Sequence[Mark]) -> Mark:
    """Return a shape with what is written in it."""
    inside = [
        word.text for word in words if shape.holds(*word.middle) and word.bottom - word.top <= 1.5 * (shape.bottom - shape.top)
    ]
    return replace(shape, text=" ".join(inside))


def _same(a: Mark, b: Mark) -> bool:
    """Whether two marks are as good as one."""
    width = min(a.right, b.right) - max(a.left, b.left)
    height = min(a.bottom, b.bottom) - max(a.top, b.top)
    if width <= 0 or height <= 0:
        return False
    return width * height / (_area(a) + _area(b) - width * height) > SAME


def _area(mark: Mark) -> int:
    return (mark.right - mark.left) * (mark.bottom - mark.top)


def _squarish(mark: Mark) -> bool:
    width, height = mark.right - mark.left, mark.bottom - mark.top
    return 0.75 <= width / height <= 1.33


def _wide(mark: Mark) -> bool:
    return (mark.right - mark.left) >= FIELD_ASPECT * (mark.bottom - mark.top) and mark.bottom - mark.top >= 2 * LEAST
