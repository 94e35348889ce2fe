"""A picture drawn in the terminal, two pixels a character."""

from PIL import Image

from ..core.errors import UnreadableMedia
from ..library.indexing.segments import still
from ..library.results import Hit
from ..media.image import opaque

COLUMNS, ROWS = 48, 16


def blocks(hit: Hit) -> str:
    """What was found as lines of coloured half blocks (24-bit ANSI); a note where it cannot be read."""
    try:
        picture = opaque(still(hit, 2 * COLUMNS))
    except UnreadableMedia as error:
        return f"     (no preview: {error})"
    picture.thumbnail((COLUMNS, 2 * ROWS), Image.Resampling.LANCZOS)
    pixels, (width, height) = picture.load(), picture.size
    lines = []
    for y in range(0, height - 1, 2):
        cells = ("\x1b[38;2;{};{};{};48;2;{};{};{}m▀".format(*pixels[x, y], *pixels[x, y + 1]) for x in range(width))
        lines.append("     " + "".join(cells) + "\x1b[0m")
    return "\n".join(lines)
