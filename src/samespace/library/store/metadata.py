"""A library's metadata, one small file: its spaces, its modalities, and its settings."""

import json
from dataclasses import asdict, dataclass, replace
from typing import Any

from ...core.errors import LibraryError
from .location import Location
from .words import VERSION

FILE, FORMAT = "library.json", 2


@dataclass(frozen=True)
class SpaceRecord:
    """A space whose vectors the library holds."""

    name: str
    """As given to --space."""
    dim: int
    """Length of its vectors."""
    complete: bool = False
    """Whether every file has a vector of it; until then an older complete space is the default."""
    audio: str = ""
    """Hash of the audio tower's weights that embedded the library's sound, and after a plus the speech model; empty for none."""


@dataclass(frozen=True)
class Contents:
    """The file's contents."""

    spaces: dict[str, SpaceRecord]
    """Fingerprint → space, oldest first."""
    modalities: tuple[str, ...] = ("image",)
    """Modalities of the library's segments."""
    reads_pictures: bool = False
    """Whether text in pictures and videos is read when they are indexed."""
    words: int = VERSION
    """Version of `words.folded` that the library's texts were written by."""


class LibraryMetadata:
    """library.json. It is read at each use, because another process may have written it."""

    def __init__(self, location: Location):
        self.location = location

    @property
    def exists(self) -> bool:
        """Whether there is a library. Raises LibraryError."""
        return self.location.read(FILE) is not None

    def read(self) -> Contents:
        """Return the contents; empty ones where there is no library. Raises LibraryError."""
        text = self.location.read(FILE)
        if text is None:
            return Contents({})
        try:
            values = json.loads(text)
            if values["format"] != FORMAT:
                raise LibraryError(
                    f"{self.location} has format {values['format']}, this version writes {FORMAT}; index into a new --library"
                )
            spaces = {fingerprint: SpaceRecord(**record) for fingerprint, record in values["spaces"].items()}
            return Contents(
                spaces, tuple(values["modalities"]), bool(values.get("reads_pictures", False)), int(values.get("words", 1))
            )
        except (ValueError, KeyError, TypeError) as error:
            raise LibraryError(
                f"{self.location}/{FILE} cannot be read ({error}); mend it: samespace doctor --library {self.location}"
            )

    def update(self, **changes: Any) -> None:
        """Write the file with spaces, modalities or reads_pictures changed. Raises LibraryError, OSError."""
        now = replace(self.read(), **changes)
        self.location.files.write(FILE, json.dumps({"format": FORMAT} | asdict(now), indent=2))

    @property
    def spaces(self) -> dict[str, SpaceRecord]:
        """Fingerprint → space, oldest first. Raises LibraryError."""
        return self.read().spaces

    def record_space(self, fingerprint: str, record: SpaceRecord) -> None:
        """Add or replace a space; a new one comes last. Raises LibraryError, OSError."""
        self.update(spaces=self.spaces | {fingerprint: record})

    def default_space(self) -> str:
        """Return the space to use where none is named: the newest complete one, else the newest, else the starter."""
        records = list(self.spaces.values())
        complete = [record.name for record in records if record.complete]
        return (complete or [record.name for record in records] or ["starter"])[-1]
