"""What people say of their files: tags, albums, favourites, stars, and which are hidden; searches that they have saved; copies they want.

It cannot be made again, so it lies in one small file of its own, marks.json, which is written whole or not at all. A mark belongs to a
path and to a content: a file that is moved keeps it, and so does one that is changed in its place.
"""

import json
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol

from ...core.characters import is_plain
from ...core.errors import LibraryError, QueryError, as_utf8
from ...core.paths import to_path, to_text
from .conditions import AllOf, AnyOf, Condition, InFiles, Not, OneOf
from .db_errors import write_lock
from .location import Location
from .words import folded, terms_of

FILE, FORMAT = "marks.json", 1
FOLLOWING = "following.json"
"""While files are indexed: the paths that were indexed before."""
MAX_NAME = 200
"""Characters of the longest tag or name of an album."""


@dataclass(frozen=True)
class Mark:
    """What is said of a file."""

    hash: str
    """BLAKE2b of its content, when it was marked or indexed last."""
    tags: tuple[str, ...] = ()
    albums: tuple[str, ...] = ()
    people: tuple[str, ...] = ()
    """Names."""
    favourite: bool = False
    hidden: bool = False
    rating: int = 0
    """Stars, 1 to 5; 0 for none of one's own."""

    @property
    def words(self) -> str:
        """Tags, albums and people, folded as what can be found by words is."""
        return folded("\n".join((*self.tags, *self.albums, *self.people)))

    def joined(self, other: "Mark") -> "Mark":
        """Return a mark that says what both say."""
        return replace(
            self,
            tags=_changed(self.tags, other.tags, ()),
            albums=_changed(self.albums, other.albums, ()),
            people=_changed(self.people, other.people, ()),
            favourite=self.favourite or other.favourite,
            hidden=self.hidden and other.hidden,
            rating=max(self.rating, other.rating),
        )

    @property
    def is_empty(self) -> bool:
        """Whether it says nothing."""
        return self == Mark(self.hash)


@dataclass(frozen=True)
class Change:
    """What is to be said of files from now on; what is None stays."""

    tags: tuple[str, ...] = ()
    """Added."""
    without_tags: tuple[str, ...] = ()
    albums: tuple[str, ...] = ()
    """Added."""
    without_albums: tuple[str, ...] = ()
    people: tuple[str, ...] = ()
    """Added."""
    favourite: bool | None = None
    hidden: bool | None = None
    rating: int | None = None

    def __post_init__(self) -> None:
        if self.rating is not None and not 0 <= self.rating <= 5:
            raise QueryError(f"{self.rating} is no number of stars; give 1 to 5, or 0 for none")
        for name in (*self.tags, *self.albums, *self.people):
            if not name.strip() or len(name) > MAX_NAME or not all(map(is_plain, name)) or '"' in name:
                raise QueryError(
                    f"{name[:40]!r} cannot be the name of a tag, an album or a person; use up to {MAX_NAME} characters, no quotation marks"
                )

    def of(self, mark: Mark) -> Mark:
        """Return a mark with the change made."""
        changes = {name: value for name in ("favourite", "hidden", "rating") if (value := getattr(self, name)) is not None}
        return replace(
            mark,
            tags=_changed(mark.tags, self.tags, self.without_tags),
            albums=_changed(mark.albums, self.albums, self.without_albums),
            people=_changed(mark.people, self.people, ()),
            **changes,
        )


@dataclass(frozen=True)
class Contents:
    """All marks of a library."""

    files: Mapping[str, Mark] = field(default_factory=dict)
    """Path → mark."""
    searches: Mapping[str, str] = field(default_factory=dict)
    """Name of a saved search → its query."""
    reviewed: frozenset[str] = frozenset()
    """Contents of copies that people have looked at, and want all of: their hashes."""

    def matching(self, wanted: Callable[[Mark], bool]) -> InFiles:
        """Return the condition of being a file with such a mark."""
        found = {path: mark.hash for path, mark in self.files.items() if wanted(mark)}
        return InFiles(tuple(map(to_text, found)), tuple(sorted(set(found.values()))))

    @property
    def hidden(self) -> Condition:
        """The condition of being hidden: of these very files, for of copies one stays to be seen."""
        return OneOf("path", tuple(to_text(path) for path, mark in self.files.items() if mark.hidden))

    def with_tag(self, name: str) -> Condition:
        """Return the condition of having a tag of one's own."""
        return self.matching(lambda mark: folded(name) in map(folded, mark.tags))

    def in_album(self, name: str) -> Condition:
        """Return the condition of being in an album. Raises ValueError where there is none of this name."""
        if name.lower() not in {album.lower() for album, _ in self.albums()}:
            albums = ", ".join(f'"{album}"' for album, _ in self.albums()) or "none yet"
            raise ValueError(f"there is no album {name!r}; there are: {albums}")
        return self.matching(lambda mark: name.lower() in map(str.lower, mark.albums))

    def saying(self, phrase: str) -> InFiles:
        """Return the condition of having all words of a phrase among tags, albums and people."""
        terms = terms_of(phrase)
        return self.matching(lambda mark: bool(terms) and all(term in mark.words for term in terms))

    def rated(self, condition: Condition, stars: Callable[[int], bool]) -> Condition:
        """Return a condition on the file's own rating, or on one's own, which comes first."""
        rated = self.matching(lambda mark: mark.rating > 0)
        return AnyOf((self.matching(lambda mark: mark.rating > 0 and stars(mark.rating)), AllOf((condition, Not(rated)))))

    def of(self, paths: Collection[str]) -> "Contents":
        """Return the same with the marks of these files alone."""
        return replace(self, files={path: mark for path, mark in self.files.items() if path in paths})

    def albums(self) -> list[tuple[str, int]]:
        """Return albums by name, and how many files each has."""
        return sorted(Counter(album for mark in self.files.values() for album in mark.albums).items())

    def tags(self) -> list[tuple[str, int]]:
        """Return one's own tags by name, and how many files each has."""
        return sorted(Counter(tag for mark in self.files.values() for tag in mark.tags).items())


def followed(marks: Mapping[str, Mark], indexed: Mapping[str, str], before: Collection[str] = ()) -> dict[str, Mark]:
    """Return marks by the paths that their files have now. `indexed`: path → hash; `before`: the paths that were indexed earlier.

    Of copies that were moved together each keeps its own; the marks of those for which no path is left are joined with another's. What
    was hidden hides no copy that was there before. A new file of a camera that counts anew takes no mark of the one that was there.
    """
    free: dict[str, list[str]] = defaultdict(list)
    for path, hash in indexed.items():
        if path not in marks:
            free[hash].append(path)
    replaced = {path for path, mark in marks.items() if path in indexed and _gave_way(path, mark, indexed[path], free, before)}
    lost = [path for path in marks if path not in indexed or path in replaced]
    files = {path: replace(mark, hash=indexed[path]) for path, mark in marks.items() if path in indexed and path not in replaced}
    moved = {path: to for path in lost if (to := _taken(free[marks[path].hash], os.path.basename(path)))}
    for path in lost:
        mark = marks[path]
        if (
            to := moved.get(path)
            or _taken(free[mark.hash])
            or next((to for other, to in moved.items() if marks[other].hash == mark.hash), "")
        ):
            moved[path] = to
            mark = replace(mark, hidden=mark.hidden and to not in before)
            files[to] = mark.joined(files[to]) if to in files else mark
        else:
            files[path] = mark  # it may come back
    return files


def _gave_way(path: str, mark: Mark, hash: str, free: Mapping[str, list[str]], before: Collection[str]) -> bool:
    """Whether what was marked is now elsewhere, under its name, and another file at its path."""
    name = os.path.basename(path)
    return hash != mark.hash and any(os.path.basename(to) == name and to not in before for to in free.get(mark.hash, ()))


def _taken(paths: list[str], name: str = "") -> str:
    """Remove and return the first of some paths, or the first of a name; empty where there is none."""
    found = next((path for path in paths if not name or os.path.basename(path) == name), "")
    if found:
        paths.remove(found)
    return found


class Indexed(Protocol):
    """What is indexed."""

    @property
    def exists(self) -> bool: ...

    def hashes_of_marked(self, marked: Mapping[str, Mark]) -> dict[str, str]: ...


@dataclass
class Moves:
    """Whether anything was written that marks may have to follow."""

    any: bool


class Marks:
    """The marks of one library. The file is read at each use, because another process may have written it, and parsed where it changed."""

    def __init__(self, location: Location):
        self.location = location
        self._parsed: tuple[str | None, Contents] = None, Contents()

    def read(self) -> Contents:
        """Return all marks. Raises LibraryError."""
        text = self.location.read(FILE)
        if text != self._parsed[0]:
            self._parsed = text, Contents() if text is None else self._contents(text)
        return self._parsed[1]

    def _contents(self, text: str) -> Contents:
        """Parse the file. Raises LibraryError."""
        try:
            values = json.loads(text)
            if values["format"] != FORMAT:
                raise LibraryError(
                    f"{self.location}/{FILE} has format {values['format']}, this version writes {FORMAT}; use a newer one"
                )
            files = {to_path(path): _mark_of(mark) for path, mark in values["files"].items()}
            searches = {str(name): str(query) for name, query in values["searches"].items()}
            return Contents(files, searches, frozenset(map(str, values.get("reviewed", ()))))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise LibraryError(
                f"{self.location}/{FILE} cannot be read ({error}); restore it from a backup, or begin anew: samespace doctor --library {self.location}"
            ) from None

    def change(self, files: Mapping[str, str], change: Change) -> None:
        """Say something of files: path → hash of its content. Raises LibraryError, LibraryBusy, OSError."""
        self.change_each({path: (hash, [change]) for path, hash in files.items()})

    def change_each(self, files: Mapping[str, tuple[str, Iterable[Change]]]) -> None:
        """Say something else of each file: path → hash of its content, and the changes. Raises as `change`."""
        with self._writing():
            contents = self.read()
            marked = dict(contents.files)
            for path, (hash, changes) in files.items():
                mark = replace(marked.get(path, Mark(hash)), hash=hash)
                for change in changes:
                    mark = change.of(mark)
                marked[path] = mark
            self._write(replace(contents, files=marked))

    def pass_on(self, heirs: Mapping[str, tuple[str, str]]) -> None:
        """Say of other files, too, what is said of some: path → path and hash of the other. Raises LibraryError, LibraryBusy, OSError."""
        with self._writing():
            contents = self.read()
            files = dict(contents.files)
            for path, (heir, hash) in heirs.items():
                if path in files:
                    files[heir] = files.get(heir, Mark(hash)).joined(files[path])
            if files != contents.files:
                self._write(replace(contents, files=files))

    def save_search(self, name: str, query: str) -> None:
        """Keep a query under a name; an empty one forgets it. Raises QueryError, LibraryError, LibraryBusy, OSError."""
        Change(albums=(name,))  # checks the name
        with self._writing():
            contents = self.read()
            searches = {**contents.searches, name: as_utf8(query)}
            self._write(replace(contents, searches={name: query for name, query in searches.items() if query.strip()}))

    def review(self, hashes: Iterable[str]) -> None:
        """Remember that all of some copies are wanted. Raises LibraryError, LibraryBusy, OSError."""
        with self._writing():
            contents = self.read()
            self._write(replace(contents, reviewed=contents.reviewed | frozenset(hashes)))

    def follow(self, indexed: Mapping[str, str], before: Collection[str] = ()) -> None:
        """After indexing: marks go with files that were moved, and stay with files that were changed.

        `indexed`: path → hash; `before`: the paths that were indexed earlier. Files that are not indexed keep theirs: they may come back.
        """
        with self._writing():
            contents = self.read()
            files = followed(contents.files, indexed, before)
            if files != contents.files:
                self._write(replace(contents, files=files))

    @contextmanager
    def following(self, indexed: Indexed) -> Iterator[Moves]:
        """While files are indexed: afterwards marks go with those that were moved, whatever interrupts it.

        Which paths were indexed before is kept in a file until then, for a process that is killed. Raises LibraryError, LibraryBusy, OSError.
        """
        kept, marked = self.location.read(FOLLOWING), self.read().files
        try:
            before = set(map(to_path, json.loads(kept or "")))
        except ValueError:
            before, kept = set(indexed.hashes_of_marked(marked)) if marked and indexed.exists else set(), None
        moves = Moves(any=kept is not None)
        if marked and kept is None:
            self.location.files.write(FOLLOWING, json.dumps(list(map(to_text, before))))
        try:
            yield moves
        finally:
            if moves.any and (marked := self.read().files):
                self.follow(indexed.hashes_of_marked(marked), before)
            with suppress(FileNotFoundError):
                self.location.files.remove(FOLLOWING)

    def _writing(self) -> AbstractContextManager[object]:
        """Hold the marks, not the library: marking goes on while files are indexed."""
        return write_lock(self.location, "marks.lock", seconds=10)

    def _write(self, contents: Contents) -> None:
        files = {to_text(path): _values_of(mark) for path, mark in contents.files.items() if not mark.is_empty}
        values = {"format": FORMAT, "files": files, "searches": dict(contents.searches), "reviewed": sorted(contents.reviewed)}
        text = json.dumps(values, indent=1, ensure_ascii=False)
        self.location.files.write(FILE, text)


def _changed(names: tuple[str, ...], added: Iterable[str], removed: Iterable[str]) -> tuple[str, ...]:
    """Return names with some added and some removed, whatever their case, each once."""
    without = {name.lower() for name in removed}
    unique = {name.lower(): name for name in (*added, *names)}
    return tuple(sorted(name for lower, name in unique.items() if lower not in without))


def _values_of(mark: Mark) -> dict[str, Any]:
    """Return what a mark says as JSON's values; nothing of what it does not."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(mark).items() if value}


def _mark_of(values: dict[str, Any]) -> Mark:
    """Raises ValueError, KeyError, TypeError."""
    tags, albums, people = (tuple(map(str, values.get(name, ()))) for name in ("tags", "albums", "people"))
    favourite, hidden = (bool(values.get(name, False)) for name in ("favourite", "hidden"))
    return Mark(str(values["hash"]), tags, albums, people, favourite, hidden, int(values.get("rating", 0)))
