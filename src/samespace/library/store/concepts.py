"""Words of one's own: names, and the examples that say what they mean. They lie in one small file, concepts.json.

What is learnt from examples is not kept: it follows from their vectors and the library's, and so is always of both as they are.
"""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ...core.characters import is_plain
from ...core.errors import LibraryError, QueryError
from ...core.paths import to_path, to_text
from .db_errors import write_lock
from .location import Location
from .records import IMAGE

FILE, FORMAT = "concepts.json", 1
MAX_NAME = 60
"""Characters of the longest name."""
MAX_EXAMPLES = 1000
"""Most examples of one concept."""


@dataclass(frozen=True)
class Example:
    """Something that a concept is, or is not."""

    id: str
    """Of the segment; of a file that is not indexed, of the segment that it would be."""
    path: str
    """Absolute, when it was given."""
    vectors: Mapping[str, np.ndarray] = field(compare=False)
    """Fingerprint of a space → float32 (dim,)."""
    picture: str = ""
    """A small JPEG of an image that is not indexed, in base64: another space learns from it even when the file is gone."""


@dataclass(frozen=True)
class Concept:
    """A name, and examples of what it is and is not."""

    name: str
    modality: str = IMAGE
    """What its examples' vectors are made from."""
    yes: tuple[Example, ...] = ()
    no: tuple[Example, ...] = ()

    def with_examples(self, yes: tuple[Example, ...], no: tuple[Example, ...]) -> "Concept":
        """Return it with more examples; the latest word on each counts. Raises QueryError where there are too many."""
        latest = {example.id: True for example in yes} | {example.id: False for example in no}
        old = [[example for example in side if example.id not in latest] for side in (self.yes, self.no)]
        yes = tuple({example.id: example for example in (*old[0], *yes) if latest.get(example.id, True)}.values())
        no = tuple({example.id: example for example in (*old[1], *no)}.values())
        if len(yes) + len(no) > MAX_EXAMPLES:
            raise QueryError(f"{self.name!r} has {len(yes) + len(no)} examples; {MAX_EXAMPLES} at most are learnt from")
        return replace(self, yes=yes, no=no)


@dataclass(frozen=True)
class Contents:
    """All concepts of a library."""

    concepts: Mapping[str, Concept] = field(default_factory=dict)
    """Name, folded → concept."""

    def __bool__(self) -> bool:
        return bool(self.concepts)

    def get(self, name: str) -> Concept | None:
        """Return the concept of a name, in whatever case."""
        return self.concepts.get(name.casefold())


class ConceptFile:
    """The concepts of one library. They are read at each use, because another process may have written them."""

    def __init__(self, location: Location):
        self.location = location
        self._last: tuple[str, Contents] | None = None  # the file's text, and what it says

    def read(self) -> Contents:
        """Return all concepts. Raises LibraryError."""
        text = self.location.read(FILE)
        if text is None:
            return Contents()
        if self._last is None or self._last[0] != text:
            self._last = text, self._parsed(text)
        return self._last[1]

    def _parsed(self, text: str) -> Contents:
        try:
            values = json.loads(text)
            if values["format"] != FORMAT:
                raise LibraryError(
                    f"{self.location}/{FILE} has format {values['format']}, this version writes {FORMAT}; use a newer one"
                )
            concepts = [_concept_of(name, one) for name, one in values["concepts"].items()]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise LibraryError(
                f"{self.location}/{FILE} cannot be read ({error}); restore it from a backup, or begin anew: samespace doctor --library {self.location}"
            ) from None
        return Contents({concept.name.casefold(): concept for concept in concepts})

    def change(self, name: str, change: Callable[[Concept], Concept | None]) -> None:
        """Change one concept, which is new where there is none; None forgets it. Raises QueryError, LibraryError, LibraryBusy, OSError."""
        check_name(name)
        with write_lock(self.location, "concepts.lock", seconds=10):
            concepts = dict(self.read().concepts)
            changed = change(concepts.pop(name.casefold(), Concept(name)))
            if changed is not None:
                concepts[name.casefold()] = changed
            values = {concept.name: _values_of(concept) for concept in concepts.values()}
            self.location.files.write(FILE, json.dumps({"format": FORMAT, "concepts": values}, indent=1, ensure_ascii=False))


def check_name(name: str) -> None:
    """Raises QueryError where a name cannot be one."""
    if not name.strip() or name != name.strip() or len(name) > MAX_NAME or not all(map(is_plain, name)) or set(name) & set('",:'):
        raise QueryError(
            f"{name[:40]!r} cannot be a name that is learnt; use up to {MAX_NAME} characters, no quotation mark, comma or colon"
        )
    if not any(character.isalnum() for character in name):
        raise QueryError(f"{name!r} has no letter and no digit; choose a name that can be written in a query")


def _values_of(concept: Concept) -> dict[str, Any]:
    def values(example: Example) -> dict[str, Any]:
        vectors = {f: base64.b64encode(z.astype("<f2").tobytes()).decode() for f, z in example.vectors.items()}
        return {"id": example.id, "path": to_text(example.path), "vectors": vectors, "picture": example.picture}

    sides = {"yes": concept.yes, "no": concept.no}
    return {"modality": concept.modality} | {side: [values(example) for example in examples] for side, examples in sides.items()}


def _concept_of(name: str, values: dict[str, Any]) -> Concept:
    """Raises ValueError, KeyError, TypeError, AttributeError."""

    def example(one: dict[str, Any]) -> Example:
        vectors = {f: np.frombuffer(base64.b64decode(z), "<f2").astype(np.float32) for f, z in one["vectors"].items()}
        return Example(str(one["id"]), to_path(one["path"]), vectors, str(one["picture"]))

    return Concept(name, str(values["modality"]), tuple(map(example, values["yes"])), tuple(map(example, values["no"])))
