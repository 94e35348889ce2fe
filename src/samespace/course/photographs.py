"""The photographs that the course uses until the reader gives others."""

from pathlib import Path

from ..core.errors import MissingExtra
from ..library.demo import PHOTOGRAPHS, photographs


def find_photograph(name: str) -> Path | None:
    """Return one of the demo's photographs; None where there is none of this name, or the extra `demo` is not installed."""
    if name not in PHOTOGRAPHS:
        return None
    try:
        return {path.name: path for path in photographs()}[name]
    except MissingExtra:
        return None
