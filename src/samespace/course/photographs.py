"""The photographs that the course uses until the reader gives others."""

from pathlib import Path

from ..library.demo import PHOTOGRAPHS, photographs


def find_photograph(name: str) -> Path | None:
    """Return one of the demo's photographs; None where there is none of this name. Raises MissingExtra."""
    return {path.name: path for path in photographs()}[name] if name in PHOTOGRAPHS else None
