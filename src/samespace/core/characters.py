"""Which characters of a text steer what shows it, and which only join letters."""

import unicodedata

JOINERS = {"\u200c", "\u200d", *map(chr, range(0xE0020, 0xE0080))}
"""Between letters of Persian and other scripts, and between the parts of an emoji or a flag: they belong to the word."""
STEERING = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Categories of characters that end lines, turn the direction of text around, or are halves of one."""


def is_plain(character: str) -> bool:
    """Whether a character is part of a text, and neither ends a line nor controls what shows it."""
    return character in JOINERS or unicodedata.category(character) not in STEERING


def joined_spaces(text: str) -> str:
    """Return a text with spaces, and what controls, joined to one space."""
    return " ".join("".join(c if is_plain(c) else " " for c in text).split())
