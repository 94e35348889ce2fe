"""The parts of the course."""

from dataclasses import dataclass

MINUTES = 85
"""About how long the course takes."""


@dataclass(frozen=True)
class Part:
    """A part of the course."""

    id: str
    """Its element on the page."""
    title: str


PARTS = (
    Part("opening", "Two encoders, one space"),
    Part("vectors", "Everything becomes a vector"),
    Part("search", "Search in the space"),
    Part("patches", "How images become tokens"),
    Part("llava", "LLaVA, step by step"),
    Part("wild", "In the wild"),
    Part("check", "Knowledge check"),
)
