"""What a library says of itself: its spaces, and whether it has captions; one small file, written whole or not at all."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from ..errors import LibraryError


@dataclass(frozen=True)
class Held:
    """A space whose vectors the library holds."""

    name: str
    """As given to --space."""
    dim: int
    """Length of its vectors."""
    complete: bool = False
    """Whether every segment has one; until then another space's vectors answer where there are any."""


class Note:
    """library.json."""

    def __init__(self, path: Path):
        self.path = path

    @property
    def exists(self) -> bool:
        return (self.path / "library.json").exists()

    @property
    def spaces(self) -> dict[str, Held]:
        """Fingerprint → space, oldest first. Raises LibraryError."""
        if not self.exists:
            return {}
        try:
            note = json.loads((self.path / "library.json").read_text("utf-8"))
            return {fingerprint: Held(**held) for fingerprint, held in note["spaces"].items()}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise LibraryError(f"{self.path}/library.json cannot be read ({error}); restore it, or index into a new --library")

    def usual_space(self) -> str:
        """Name of the space that answers where none is named: the newest complete one."""
        names = [held.name for held in self.spaces.values()]
        complete = [held.name for held in self.spaces.values() if held.complete]
        return (complete or names or ["starter"])[-1]

    def note_space(self, fingerprint: str, held: Held) -> None:
        """Remember a space, in the order of first coming."""
        self.write_note(self.spaces | {fingerprint: held}, self.captioned)

    @property
    def captioned(self) -> bool:
        """Whether segments have texts, which searches then read too."""
        return self.exists and json.loads((self.path / "library.json").read_text("utf-8")).get("captioned", False)

    def write_note(self, spaces: dict[str, Held], captioned: bool) -> None:
        note = {"format": 1, "captioned": captioned, "spaces": {f: asdict(h) for f, h in spaces.items()}}
        scratch = self.path / "library.json.part"
        scratch.write_text(json.dumps(note, indent=2), "utf-8")
        os.replace(scratch, self.path / "library.json")
