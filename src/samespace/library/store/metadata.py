"""What a library says of itself: its spaces, its senses, and whether it has texts; one small file, written whole or not at all."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...core.errors import LibraryError
from .location import Home

FILE = "library.json"


@dataclass(frozen=True)
class Held:
    """A space whose vectors the library holds."""

    name: str
    """As given to --space."""
    dim: int
    """Length of its vectors."""
    complete: bool = False
    """Whether every file has one; until then another space's vectors answer where there are any."""
    audio: str = ""
    """The audio tower that heard the library's sound; empty for none."""


class Note:
    """library.json."""

    def __init__(self, where: str | Path):
        self.home = Home(where)

    @property
    def exists(self) -> bool:
        return self.home.read(FILE) is not None

    @property
    def spaces(self) -> dict[str, Held]:
        """Fingerprint → space, oldest first. Raises LibraryError."""
        text = self.home.read(FILE)
        if text is None:
            return {}
        try:
            note = json.loads(text)
            return {fingerprint: Held(**held) for fingerprint, held in note["spaces"].items()}
        except (ValueError, KeyError, TypeError) as error:
            raise LibraryError(f"{self.home}/{FILE} cannot be read ({error}); restore it, or index into a new --library")

    def usual_space(self) -> str:
        """Name of the space that answers where none is named: the newest complete one."""
        names = [held.name for held in self.spaces.values()]
        complete = [held.name for held in self.spaces.values() if held.complete]
        return (complete or names or ["starter"])[-1]

    def note_space(self, fingerprint: str, held: Held) -> None:
        """Remember a space, in the order of first coming."""
        self.write_note(spaces=self.spaces | {fingerprint: held})

    @property
    def captioned(self) -> bool:
        """Whether segments have texts, which searches then read too."""
        return self.noted("captioned", False)

    @property
    def senses(self) -> tuple[str, ...]:
        """What segments are of: sight, and sound or text where the library has them."""
        return tuple(self.noted("senses", ["sight"]))

    def noted(self, name: str, otherwise: Any) -> Any:
        return json.loads(self.home.read(FILE) or "{}").get(name, otherwise)

    def write_note(self, **changes: Any) -> None:
        """Write the note with spaces, captioned or senses changed."""
        now = {"captioned": self.captioned, "senses": self.senses, "spaces": self.spaces} | changes
        note = {"format": 1} | now | {"spaces": {f: asdict(h) for f, h in now["spaces"].items()}}
        self.home.write(FILE, json.dumps(note, indent=2))
