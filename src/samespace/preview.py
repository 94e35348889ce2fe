"""A picture drawn in the terminal, two pixels a character."""

from pathlib import Path

from PIL import Image

from .errors import UnreadableMedia
from .media import image as image_media

COLUMNS, ROWS = 48, 16


def blocks(path: Path) -> str:
    """A picture as lines of coloured half blocks (24-bit ANSI); a note where it cannot be read."""
    try:
        picture = image_media.opaque(image_media.read(path, path.read_bytes(), 2 * COLUMNS)[0])
    except (UnreadableMedia, OSError) as error:
        return f"     (no preview: {error})"
    picture.thumbnail((COLUMNS, 2 * ROWS), Image.Resampling.LANCZOS)
    pixels, (width, height) = picture.load(), picture.size
    lines = []
    for y in range(0, height - 1, 2):
        cells = ("\x1b[38;2;{};{};{};48;2;{};{};{}m▀".format(*pixels[x, y], *pixels[x, y + 1]) for x in range(width))
        lines.append("     " + "".join(cells) + "\x1b[0m")
    return "\n".join(lines)
