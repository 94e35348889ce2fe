"""A form that is to be filled in: which field takes what."""

import re
from dataclasses import replace

from ..screen.policy import Mark
from .grammar import ENTER, Instruction
from .marks import Screen
from .ranking import label_of
from .values import value_of

STEM = 5
"""First letters in which a label and a word of a phrase agree: Director, directed by."""


def filled(phrase: str, screen: Screen) -> list[Instruction]:
    """Return what is entered into each field: what stands beside its label elsewhere, or where there is a phrase, what it says of it."""
    labels = [label for field in screen.fields if (label := label_of(field, screen.lines)) is not None]
    if phrase and len(screen.fields) == 1:
        return [Instruction(ENTER, text=phrase, kind="field")]
    values = _of_phrase(phrase, labels) if phrase else [value_of(_name(label), _without(label, screen)) for label in labels]
    return [Instruction(ENTER, _name(label), value) for label, value in zip(labels, values) if value]


def _name(label: Mark) -> str:
    return label.text.strip(" :*")


def _without(label: Mark, screen: Screen) -> Screen:
    """Return a screen without one line."""
    return replace(screen, lines=tuple(line for line in screen.lines if line is not label))


def _of_phrase(phrase: str, labels: list[Mark]) -> list[str | None]:
    """Return what a phrase such as "action movies directed by Bowen from year 1998" says of each label: the last word of the part that names it.

    What no label is named for is said of the first label that nothing is said of: action.
    """
    parts = [part.split() for part in re.split(r"\s+(?=(?:from|in|with|for|on|at|to|\w+ed by|called|named)\b)", phrase)]
    named = [
        next((i for i, part in enumerate(parts) if any(_agree(word, _name(label)) for word in part)), None) for label in labels
    ]
    values: list[str | None] = [None if i is None else parts[i][-1] for i in named]
    rest = [part for i, part in enumerate(parts) if i not in named]
    if rest and None in values:
        values[values.index(None)] = rest[0][0]
    return values


def _agree(word: str, label: str) -> bool:
    """Whether a word of a phrase names a label."""
    return len(word) > 3 and word.casefold()[:STEM] == label.casefold()[:STEM]
