"""A library: folders of media, indexed into one store and searched by words and files. CLI and server both use it."""

import contextlib
import math
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..core.errors import MissingExtra, MissingLibrary, SamespaceError, UnreadableMedia, WrongSpace
from ..core.paths import absolute, data_folder, expanded
from ..spaces.registry import load
from ..spaces.space import Space, once
from .indexing.report import Progress, Report
from .search.hits import Hit
from .search.query import Weighted, names_file
from .store.filter import Filter
from .store.location import Location
from .store.marks import Change, Marks
from .store.metadata import LibraryMetadata
from .store.records import Candidate, Grouping, Segment

if TYPE_CHECKING:  # searching imports nothing of indexing, and the store while the text tower opens
    from .duplicates import DuplicateGroup, DuplicateReview, TrashReport
    from .indexing.duplicates import ComparingProgress
    from .indexing.embed import FileEncoder
    from .indexing.reading import ReadingProgress
    from .search.concepts import Concepts, Given
    from .search.searcher import Searcher
    from .search.space_map import SpaceMap
    from .search.where import Names
    from .store.concepts import Concept
    from .store.lance import Store


ALL = 10**9
"""More files than a library has."""


class Library:
    """One library, in one space: a façade over indexing, search and the store."""

    def __init__(self, path: str | Path | None = None, space: Space | str | Path | None = None, cluster: str = ""):
        """Open it; nothing is created yet. Without `space`, the newest complete one it holds, else the starter.

        `path` is a folder, or a URI of object storage: "s3://bucket/photos", reached by the usual AWS_… variables.
        `cluster` is the address of a Ray cluster that embeds files; without one this process does.
        """
        self.location = Location(path or default_path())
        """Where it is stored: a local path or a URI."""
        self._metadata = LibraryMetadata(self.location)
        self.marks = Marks(self.location)
        """What people say of its files."""
        self.space = space if isinstance(space, Space) else load(space or self._metadata.default_space())
        self._cluster = self._connect(cluster) if cluster else None

    @once
    def store(self) -> "Store":
        """Its table."""
        from .store.lance import Store

        return Store(self.location)

    @once
    def _searcher(self) -> "Searcher":
        from .search.searcher import Searcher

        return Searcher(self.store, self.space)

    def add(
        self,
        paths: Iterable[str | Path],
        exclude: Iterable[str] = (),
        additional: bool = False,
        progress: Progress | None = None,
        encoder: "FileEncoder | None" = None,
        settle: float = 0.0,
    ) -> Report:
        """Index files and folders: new ones are embedded, moved ones keep their vectors, ones that are gone are removed.

        Everything written so far is kept whatever interrupts it. `additional` lets a second space's vectors in; `encoder`
        replaces the space's own. Files that changed in the last `settle` seconds are left for the next time. A folder that is not there
        is skipped where others are. Raises LibraryError, LibraryBusy, WrongSpace.
        """
        from .indexing.embed import Embedder
        from .indexing.indexer import Indexer

        roots, started, report = [expanded(p) for p in paths], time.monotonic(), Report()
        self._check_space(additional)
        report.skipped += self._absent(roots)
        absent = {path for path, _ in report.skipped}
        roots = [root for root in roots if str(root) not in absent]
        encoder = encoder or self._cluster or Embedder(self.space)
        with self.store.writing(), self.marks.following(self.store) as moves:
            try:
                Indexer(self.store, self.space, encoder).run(roots, exclude, report, progress, settle)
            finally:
                moves.any |= report.wrote
        if report.lost_copies or self.store.uncompared():
            report.comparing = True
            self.compare(progress and (lambda done, total: progress(report, done, total)))
        report.seconds = time.monotonic() - started
        return report

    def read_pictures(self, progress: "ReadingProgress | None" = None, seconds: float = math.inf) -> int:
        """Read the text in pictures and videos that were not read yet, for so long at the most; return how many were.

        Everything read so far is kept whatever interrupts it. Raises MissingExtra, LibraryError, LibraryBusy.
        """
        from ..media import ocr
        from .indexing.reading import read_pictures

        self.check_searchable()
        if ocr.reader() is None:
            raise MissingExtra("reading text in pictures", "ocr")
        return read_pictures(self.store, self.space.fingerprint, progress, seconds)

    def compare(self, progress: "ComparingProgress | None" = None) -> int:
        """Find copies and stacks among the files that were not compared yet, which indexing does at its end; return how many were.

        Raises LibraryError, LibraryBusy, WrongSpace.
        """
        from .indexing.duplicates import compare

        self.check_searchable()
        return compare(self.store, self.space.fingerprint, progress)

    @property
    def reads_pictures(self) -> bool:
        """Whether text in pictures and videos is read when they are indexed."""
        return self._metadata.read().reads_pictures

    @reads_pictures.setter
    def reads_pictures(self, wanted: bool) -> None:
        self._metadata.update(reads_pictures=wanted)

    def mark(self, paths: Iterable[str | Path], change: Change) -> int:
        """Tag files, put them into albums, rate, hide or favour them; return how many of them are indexed.

        The files themselves are not touched. Raises LibraryError, LibraryBusy.
        """
        self.check_exists()
        hashes = self.store.hashes_below(map(absolute, paths))
        self.marks.change(hashes, change)
        return len(hashes)

    def write_sidecars(self, where: str = "") -> tuple[int, list[tuple[str, str]]]:
        """Write your tags, people and stars of the marked files that meet conditions into XMP files beside them.

        Return how many were written, and (path, reason) of those that were not. What the XMP files say already stays, and the
        files themselves are not touched. Albums, favourites and hidden files have no place there. Raises LibraryError, QueryError.
        """
        from ..media.metadata.xmp_writer import write_sidecar

        self.check_searchable()
        contents = self.marks.read()
        wanted = set(contents.files)
        if where.strip():
            filter = self.filter_of(where).narrowed(contents.matching(lambda mark: not mark.is_empty))
            wanted = {one.path for one in self.store.newest(self.space.fingerprint, filter, ALL, "file")}
        written, problems = 0, list[tuple[str, str]]()
        for path, mark in contents.files.items():
            if path in wanted and (mark.tags or mark.people or mark.rating):
                try:
                    if not os.path.exists(path):
                        raise UnreadableMedia("it is not there; mount its disk")
                    write_sidecar(Path(path), mark.tags, mark.people, mark.rating)
                    written += 1
                except (UnreadableMedia, OSError) as error:
                    problems.append((path, str(error)))
        return written, problems

    def duplicates(self, where: str = "", first: int = 0) -> "Iterator[DuplicateGroup]":
        """Yield the groups of copies that nobody has reviewed, the newest first, each with its best file first and why.

        `where` holds conditions: a group is returned whole if one of its files meets them; `first` groups
        are left out. Raises LibraryError, WrongSpace, QueryError.
        """
        from .search.where import condition_of

        return self.review.groups(condition_of(where, self.names) if where.strip() else None, first)

    @property
    def review(self) -> "DuplicateReview":
        """What people decide about copies. Raises LibraryError, WrongSpace."""
        from .duplicates import DuplicateReview

        self.check_searchable()
        return DuplicateReview(self.store, self.space.fingerprint, self.marks)

    def trash(self, paths: Iterable[str | Path]) -> "TrashReport":
        """Move copies to the system's trash and forget them; the last copy of a picture stays. Raises LibraryError, LibraryBusy, OSError."""
        review = self.review
        with self.store.writing():  # nothing is moved that could not be forgotten
            report = review.trash(absolute(path) for path in paths)
            self.forget(report.moved)
        return report

    def restore_trashed(self) -> "TrashReport":
        """Take back the files that `trash` moved last, and index them again. Raises LibraryError, LibraryBusy, OSError."""
        review = self.review
        with self.store.writing():
            report = review.restore()
            if report.moved:
                self.add(report.moved)
        return report

    def forget(self, paths: Iterable[str | Path]) -> int:
        """Remove files, and all that were below folders, whether they still exist or not; return how many.

        The files themselves are not touched. Raises LibraryError, LibraryBusy.
        """
        self.check_exists()
        with self.store.writing():
            below = [absolute(path) for path in paths]
            gone = self.store.hashes_below(below)
            had_copies = self.store.has_copies_below(below) and self.space.fingerprint in self._metadata.spaces
            self.store.remove_below(below)
            self.location.remove_thumbnails(gone.values())
            self.store.finish(self.space.fingerprint)
            if had_copies:  # what was a copy of one of them may be the only one now
                self.compare()
        return len(gone)

    def search(
        self,
        query: str,
        top: int = 10,
        filter: Filter = Filter(),
        min_relevance: float = 0.0,
        files: bool = True,
        extra_vectors: Sequence[Weighted] = (),
        group_by: Grouping = "stack",
        where: str = "",
        meant: Sequence[str] = (),
        not_meant: Sequence[str] = (),
    ) -> list[Hit]:
        """Return the best files for words, a file, or algebra over both (see QueryEncoder.query), best first.

        Each file is represented by its best segment, and each stack by its best file. With `group_by` "file" each copy is a hit,
        with "place" every place in a file. Files that the query names are not among its hits, nor are hits less relevant than `min_relevance`. With `files` false the
        query is words only and opens no file, for queries that others send. `extra_vectors` are added to the query.
        `where` holds conditions (see search.where), which may as well stand in the query; without words it gives what meets them,
        newest first. `meant` and `not_meant` are ids of hits that are what the query means, or not: the others are ranked by them, too.
        Raises LibraryError, WrongSpace, QueryError, UnreadableMedia.
        """
        self.check_searchable()
        if not (files and names_file(query)):
            self.space.open_text_tower_early()
        candidates = self._searcher.search(query, top, filter, where, files, extra_vectors, group_by, meant, not_meant)
        return [hit for hit in self.hits(candidates) if hit.relevance is None or hit.relevance >= min_relevance]

    def unknown_words(self, query: str) -> list[str]:
        """Return the words of a query that the space's tokenizer does not know, or only the letters of: they are found only where they are written."""
        from .search.query import without_signs

        plain = without_signs(query) if not names_file(query) else ""
        words = self.space.words if plain and self.space.config.has_words else None
        return list(dict.fromkeys([*words.unknown(plain), *words.spelt(plain)])) if words else []

    @property
    def names(self) -> "Names":
        """What names in conditions are looked up in. Raises LibraryError."""
        names: Names = self._searcher.names(self.marks.read())
        return names

    @property
    def concepts(self) -> "Concepts":
        """The words that people taught it; `learn` adds to them."""
        concepts: Concepts = self._searcher.concepts
        return concepts

    @property
    def map(self) -> "SpaceMap":
        """All of it in two dimensions."""
        found: SpaceMap = self._searcher.map
        return found

    def learn(self, name: str, yes: "Iterable[Given]" = (), no: "Iterable[Given]" = ()) -> "Concept":
        """Teach it a word by examples of what it is and is not: files, or indexed segments. Return all that it was taught of the word.

        It then works in queries, "Bella on the beach", and as a condition, concept:bella; more examples are added to those of before.
        Raises QueryError, UnreadableMedia, LibraryError, LibraryBusy, WrongSpace.
        """
        self.check_searchable()
        return self.concepts.teach(name, yes, no)

    def hits(self, candidates: Sequence[Candidate], first_rank: int = 1) -> list[Hit]:
        """Return candidates as hits, with the sizes of their stacks. Raises LibraryError."""
        sizes = self.store.stack_sizes(self.space.fingerprint) if any(one.segment.stack for one in candidates) else {}
        return [Hit.of(one, rank, sizes.get(one.segment.stack or "", 1)) for rank, one in enumerate(candidates, first_rank)]

    def stack(self, id: str) -> list[Hit]:
        """Return the files of a segment's stack, the newest first and its own as this segment; its own alone where it is in none. Raises LibraryError, WrongSpace."""
        from .store.conditions import Matches

        segment = self.segment(id)
        if segment is None:
            return []
        of_stack = Filter(where=Matches("stack", f"^{segment.stack}$")) if segment.stack else Filter(within=segment.path)
        filter = self.filter_of("").narrowed(of_stack.where) if of_stack.where else of_stack
        newest = self.store.newest(self.space.fingerprint, filter, 1000, "file")
        return self.hits([Candidate.listed(segment if one.path == segment.path else one) for one in newest])

    def filter_of(self, where: str) -> Filter:
        """Return conditions as a filter, which leaves out what is hidden unless they ask for it. Raises QueryError, LibraryError."""
        from .search.where import narrowed

        return narrowed(Filter(), where, self.names)

    def save_search(self, name: str, query: str) -> None:
        """Keep a query under a name; an empty one forgets it. Raises QueryError where it cannot be understood, LibraryError, LibraryBusy."""
        from .search.where import split

        split(query, self.names)
        self.marks.save_search(name, query)

    def warm(self) -> None:
        """Load what the first search needs; nothing where there is no library of this space yet, or the space knows no words."""
        with contextlib.suppress(SamespaceError):
            self.check_exists()
            self.store.count()
            self.search("warm", files=False)

    def segment(self, id: str) -> Segment | None:
        """Return an indexed segment by its id (see Hit.id); None where there is none. Raises LibraryError, WrongSpace."""
        self.check_searchable()
        found = self.store.segment(id, self.space.fingerprint)
        return found[0] if found else None

    def vector(self, id: str) -> np.ndarray | None:
        """Return the vector of an indexed segment: float32 (dim,); None where there is none. Raises as `segment`."""
        self.check_searchable()
        found = self.store.segment(id, self.space.fingerprint)
        return found[1] if found else None

    def write_captions(self, captions: dict[str, str]) -> int:
        """Store captions (path → text) of indexed images, for searches with words; return how many of them are indexed.

        Raises LibraryError, LibraryBusy.
        """
        self.check_exists()
        with self.store.writing():
            count: int = self.store.write_captions({os.path.abspath(path): text for path, text in captions.items()})
            self.store.finish(self.space.fingerprint)
        return count

    def contains(self, path: str | Path) -> bool:
        """Whether a file is indexed here."""
        return self._metadata.exists and bool(self.store.contains(absolute(path)))

    def files_below(self, path: str | Path) -> set[str]:
        """Return the indexed files of a folder, or the file itself."""
        return self.store.files_below(absolute(path)) if self._metadata.exists else set()

    @property
    def exists(self) -> bool:
        """Whether anything was indexed into it."""
        return self._metadata.exists

    def check_exists(self) -> None:
        """Raises MissingLibrary where there is no library yet."""
        if not self._metadata.exists:
            raise MissingLibrary(f"there is no library at {self.location} yet; make one with: samespace index DIR")

    def check_searchable(self) -> None:
        """Raises MissingLibrary where there is no library yet, WrongSpace where it has no vectors of this space."""
        self.check_exists()
        self._check_space(additional=False)

    def _check_space(self, additional: bool) -> None:
        """Raises WrongSpace where there are vectors, but none of this space, unless it is to be an `additional` one."""
        records = self._metadata.spaces
        if records and self.space.fingerprint not in records and not additional:
            names = ", ".join(f"{record.name} ({f})" for f, record in records.items())
            raise WrongSpace(
                f"{self.location} holds vectors of {names}, not of {self.space.handle} ({self.space.fingerprint}); to add them "
                f"to the old ones: samespace index DIR --library {self.location} --space {self.space.handle} --additional"
            )

    def _absent(self, roots: list[Path]) -> list[tuple[str, str]]:
        """Return what is to be indexed and is not there, or is indexed and has become empty, which is what a disk that is not mounted
        looks like: (path, reason). Raises MissingLibrary where nothing else is to be indexed."""
        absent = list[tuple[str, str]]()
        for root in roots:
            if not root.exists():
                remedy = (
                    f"remove what is indexed of it: samespace forget {root}" if self.files_below(root) else "give one that does"
                )
                absent.append((str(root), f"it does not exist; {remedy}"))
        for root, count in self.emptied(roots).items():
            remedy = f"mount its disk, or remove them: samespace forget {root}"
            absent.append((str(root), f"it is empty now, and {count} of its files are indexed; {remedy}"))
        if absent and len(absent) == len(set(roots)):
            path, reason = absent[0]
            raise MissingLibrary(f"{path}: {reason}")
        return absent

    def emptied(self, roots: Iterable[Path]) -> dict[Path, int]:
        """Return the folders that are empty, which is what a disk that is not mounted looks like, and how many of their files are indexed."""
        from .indexing.scan import looks_unmounted

        empty = [root for root in roots if root.is_dir() and looks_unmounted(str(root))]
        return {root: len(indexed) for root in empty if (indexed := self.files_below(root))}

    def _connect(self, address: str) -> "FileEncoder":
        """Connect to a Ray cluster. Raises MissingExtra, LibraryError."""
        from .indexing.cluster import Cluster

        return Cluster(address, self.space)


def default_path() -> str | Path:
    """Return $SAMESPACE_LIBRARY, or a folder in the user's data."""
    named = os.environ.get("SAMESPACE_LIBRARY", "")
    return named if "://" in named else data_folder("SAMESPACE_LIBRARY", "library")
