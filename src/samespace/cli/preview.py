"""A hit drawn in the terminal, two pixels per character."""

from PIL import Image

from ..core.errors import UnreadableMedia
from ..library.search.hits import Hit
from ..media.image import opaque
from ..media.thumbnails import thumbnail

COLUMNS, ROWS = 48, 16
"""Largest size of a drawing, in characters."""


def draw(hit: Hit) -> str:
    """Return a hit as lines of coloured half blocks (24-bit ANSI), or a note where it cannot be read."""
    try:
        image = opaque(thumbnail(hit, 2 * COLUMNS))
    except UnreadableMedia as error:
        return f"     (no preview: {error})"
    image.thumbnail((COLUMNS, 2 * ROWS), Image.Resampling.LANCZOS)
    rgb, width = image.tobytes(), image.width
    pixels = [tuple(rgb[i : i + 3]) for i in range(0, len(rgb), 3)]
    rows = [pixels[i : i + width] for i in range(0, len(pixels), width)]
    lines = []
    for upper, lower in zip(rows[0::2], rows[1::2]):
        cells = ("\x1b[38;2;{};{};{};48;2;{};{};{}m▀".format(*top, *bottom) for top, bottom in zip(upper, lower))
        lines.append("     " + "".join(cells) + "\x1b[0m")
    return "\n".join(lines)
