"""Screenshots as a model is shown them, and its coordinates back on the screen."""

import base64
import io
import math
from dataclasses import dataclass
from typing import Any

from PIL import Image

from ..screen.actions import Point


@dataclass(frozen=True)
class Frame:
    """A screen of one size, shown in another."""

    screen: tuple[int, int]
    shown: tuple[int, int]

    @staticmethod
    def within(screen: tuple[int, int], longest: int, pixels: float) -> "Frame":
        """Return a frame that is shown with at most `longest` pixels a side and so many in all."""
        width, height = screen
        scale = min(1.0, longest / max(screen), math.sqrt(pixels / (width * height)))
        return Frame(screen, (max(1, int(width * scale)), max(1, int(height * scale))))

    def picture(self, screenshot: Image.Image) -> Image.Image:
        """Return a screenshot as it is shown."""
        return screenshot if screenshot.size == self.shown else screenshot.resize(self.shown, Image.Resampling.LANCZOS)

    def to_screen(self, x: float, y: float) -> Point:
        """Return the pixel of the screen in the middle of a pixel that is shown, on the screen's edge where it is outside."""
        (width, height), (w, h) = self.screen, self.shown
        column, row = math.floor((x + 0.5) * width / w), math.floor((y + 0.5) * height / h)
        return min(max(column, 0), width - 1), min(max(row, 0), height - 1)


def keys_of(value: Any) -> str:
    """Return the keys that a model names, as one chord: it may give them as a list."""
    return "+".join(map(str, value)) if isinstance(value, list) else str(value)


def png(picture: Image.Image) -> str:
    """Return a picture as PNG in base64."""
    out = io.BytesIO()
    picture.save(out, "PNG")
    return base64.b64encode(out.getvalue()).decode()
