"""Words of one's own in queries and filters: what they mean is learnt from their examples, in the space and library at hand."""

import base64
import os
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from unicodedata import normalize

import numpy as np

from ...core.errors import LibraryBusy, LibraryError, QueryError, UnreadableMedia
from ...core.paths import absolute
from ...media.kinds import kind_of
from ...spaces.space import Space
from ..store.concepts import Concept, ConceptFile, Contents, Example, check_name
from ..store.conditions import Condition, OneOf
from ..store.filter import Filter
from ..store.lance import Store
from ..store.records import AUDIO, IMAGE, Segment
from .hits import LIKELY
from .learning import Background, Direction, LearntQuery, away_from, learn, unit
from .query import QueryEncoder, Term

KEPT_SIDE = 448
"""Longer side of the pictures that are kept of examples that are not indexed."""
SILENT = frozenset(
    "a an and at das de der des die du ein eine et foto il in la le les my of on photo photos picture pictures the un une und with".split()
)
"""Words that say nothing of a picture when a name stands beside them."""
Given = Segment | str | Path
"""An example as it is given: an indexed segment, or a file."""


class Concepts:
    """The words that people taught one library, in one space."""

    def __init__(self, store: Store, space: Space, file: ConceptFile):
        self._store, self._space, self._file = store, space, file
        self._backgrounds: dict[str, tuple[str, Background]] = {}  # modality → the table's version, and what it is like then
        self._learnt: dict[str, tuple[str, Concept, Direction]] = {}  # name → the table's version, examples, direction

    def read(self) -> Contents:
        """Return all concepts. Raises LibraryError."""
        return self._file.read()

    def named(self, name: str) -> Concept:
        """Return a concept. Raises QueryError where there is none of this name, LibraryError."""
        concepts = self.read()
        if (concept := concepts.get(name)) is None:
            names = ", ".join(f'"{concept.name}"' for concept in concepts.concepts.values()) or "none yet"
            raise QueryError(f"nothing was learnt by the name {name!r}; there are: {names}")
        return concept

    def teach(self, name: str, yes: Iterable[Given], no: Iterable[Given]) -> Concept:
        """Add examples to a concept, which is new where there is none, and return it.

        Raises QueryError, UnreadableMedia, LibraryError, LibraryBusy.
        """
        check_name(name)
        given = [[self._example(one) for one in side] for side in (yes, no)]
        modalities = {modality for side in given for modality, _ in side}

        def taught(concept: Concept) -> Concept:
            sources = modalities | ({concept.modality} if concept.yes else set())
            if len(sources) > 1:
                raise QueryError(
                    f"{name!r} is learnt from either sights or sounds, not from both; give the other ones another name"
                )
            more = (tuple(example for _, example in side) for side in given)
            concept = replace(concept, modality=sources.pop() if sources else concept.modality).with_examples(*more)
            if not concept.yes:
                raise QueryError(f"{name!r} has no example of what it is; give at least one file that shows it")
            return concept

        self._file.change(name, taught)
        return self.named(name)

    def forget(self, name: str) -> None:
        """Forget a concept. Raises QueryError where there is none, LibraryError, LibraryBusy."""
        self.named(name)
        self._file.change(name, lambda concept: None)

    def condition(self, name: str, probability: float = LIKELY) -> Condition:
        """Return the condition of being a concept, at least so likely. Raises QueryError where there is none, LibraryError."""
        concept = self.named(name)
        direction, filter = self.direction(concept), Filter(modality=concept.modality)
        found = self._store.within(direction.unit, direction.least_cosine(probability), self._space.fingerprint, filter)
        likely = {**dict.fromkeys(found, True), **direction.labels}
        return OneOf("id", tuple(id for id, wanted in likely.items() if wanted))

    def direction(self, concept: Concept) -> Direction:
        """Return what a concept's examples have in common, in this space and library. Raises QueryError where none of them is here."""
        version, last = self._store.newest_version(), self._learnt.get(concept.name)
        if last is None or last[0] != version or last[1] != concept:
            yes, no = (self._vectors(examples) for examples in (concept.yes, concept.no))
            if not len(yes):
                raise QueryError(
                    f"none of the examples of {concept.name!r} can be read in this space; give others: samespace learn {concept.name!r} FILE"
                )
            words = self._space.text([concept.name])[0] if self._space.config.has_words else None
            direction = learn(yes, no, self._background(concept.modality), words)
            labels = {example.id: True for example in concept.yes} | {example.id: False for example in concept.no}
            last = self._learnt[concept.name] = version, concept, replace(direction, labels=labels)
        return last[2]

    def query(self, phrase: str) -> LearntQuery | None:
        """Return what a phrase looks for; None where no name stands in it that was learnt. Raises QueryError, LibraryError."""
        concepts, rest = self._mentioned(phrase)
        if not concepts:
            return None
        modality = concepts[0].modality
        directions = tuple(self.direction(concept) for concept in concepts if concept.modality == modality)
        weights = [direction.w for direction in directions]
        z = self._space.text([rest])[0] if rest else None
        if z is not None:
            weights.append(self._background(modality).scaled(z).w)
        return LearntQuery(directions, modality, z, unit(np.sum(weights, axis=0)))

    def feedback(self, z: np.ndarray | None, meant: Sequence[str], not_meant: Sequence[str]) -> LearntQuery | None:
        """Return a query (E,) as it is meant, where some of its hits are said to be meant, and some not, by the ids of their segments.

        None where none of them is here any more. Raises QueryError, LibraryError.
        """
        found = {id: one for id in (*meant, *not_meant) if (one := self._store.segment(id, self._space.fingerprint))}
        if not found:
            return None
        modality = next(iter(found.values()))[0].modality
        yes, no = (
            [found[id][1] for id in ids if id in found and found[id][0].modality == modality] for ids in (meant, not_meant)
        )
        examples, others = (np.array(side, np.float32).reshape(-1, self._space.dim) for side in (yes, no))
        background = self._background(modality)
        if len(examples):
            labels = dict.fromkeys(meant, True) | dict.fromkeys(not_meant, False)
            direction = replace(learn(examples, others, background, z), labels=labels)
            return LearntQuery((direction,), modality, None, direction.unit)
        return None if z is None else LearntQuery((), modality, z, away_from(others, background, z).unit)

    def _mentioned(self, phrase: str) -> tuple[list[Concept], str]:
        """Return the concepts whose names stand in a phrase, longer names first; and its other words, if they say anything."""
        found, rest = [], normalize("NFC", phrase)
        for key, concept in sorted(self.read().concepts.items(), key=lambda item: -len(item[0])):
            names = "|".join(re.escape(normalize("NFC", name)) for name in (concept.name, key))  # as written, and with ss for ß
            without = re.sub(rf"(?<!\w)(?:{names})(?!\w)", " ", rest, flags=re.IGNORECASE)
            if without != rest:
                found.append(concept)
                rest = without
        telling = any(word not in SILENT for word in re.findall(r"\w+", rest.lower()))
        return found, " ".join(rest.split()) if telling else ""

    def _example(self, given: Given) -> tuple[str, Example]:
        """Return an example, and what its vector is made from. Raises UnreadableMedia, QueryError, LibraryError."""
        fingerprint = self._space.fingerprint
        path = given.path if isinstance(given, Segment) else absolute(given)
        kind = given.kind if isinstance(given, Segment) else kind_of(Path(path))
        if kind is None:
            raise QueryError(f"{path} is no picture, video, sound or document; give files that show it")
        segment = given if isinstance(given, Segment) else Segment(path, kind, modality=AUDIO if kind == "audio" else IMAGE)
        if indexed := self._store.segment(segment.id, fingerprint):
            return segment.modality, Example(segment.id, path, {fingerprint: indexed[1]})
        if not os.path.isfile(path):
            raise QueryError(f"{path} is no file; give files that show it")
        picture = self._kept(Path(path)) if kind == "image" else ""
        return segment.modality, Example(segment.id, path, {fingerprint: self._encoded(path)}, picture)

    def _kept(self, path: Path) -> str:
        from ...media.image import jpeg

        return base64.b64encode(jpeg(self._space.open(path), KEPT_SIDE)).decode()

    def _encoded(self, path: str) -> np.ndarray:
        return QueryEncoder(self._space).encode(Term(1.0, path, Path(path)))

    def _vectors(self, examples: Sequence[Example]) -> np.ndarray:
        """Return the vectors of those examples that have one in this space or can be given one: float32 (n, E)."""
        found = [z for example in examples if (z := self._vector(example)) is not None]
        return np.array(found, np.float32).reshape(-1, self._space.dim)

    def _vector(self, example: Example) -> np.ndarray | None:
        """Return an example's vector in this space: that it was learnt with, its segment's, or its file's as it is now."""
        if (z := example.vectors.get(self._space.fingerprint)) is not None:
            return z
        if indexed := self._store.segment(example.id, self._space.fingerprint):
            return indexed[1]
        with suppress(UnreadableMedia, LibraryError, LibraryBusy):
            if example.picture:
                return np.asarray(self._space.image([self._space.decode(base64.b64decode(example.picture), example.path)])[0])
            if os.path.isfile(example.path):
                return self._encoded(example.path)
        return None

    def _background(self, modality: str) -> Background:
        version, last = self._store.newest_version(), self._backgrounds.get(modality)
        if last is None or last[0] != version:
            sample, _ = self._store.sample(self._space.fingerprint, modality)
            if not len(sample):
                raise QueryError(
                    f"there is no segment of kind {modality} here to learn from; index some first: samespace index DIR"
                )
            last = self._backgrounds[modality] = version, Background(sample)
        return last[1]
