"""A library looked through, and mended: what a power cut, a failing disk or another program did to its files.

What cannot be computed again, marks and concepts, is put aside and never thrown away; what can be, is removed, and indexing the same
folders makes it anew.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count

import numpy as np

from ..core.errors import LibraryError, MissingLibrary
from ..spaces.registry import SPACES
from .store.arrow import SEGMENT_FIELDS, segment_of, vector_column, without_unit_length
from .store.concepts import FILE as CONCEPTS
from .store.concepts import ConceptFile
from .store.lance import METADATA_CACHE, TABLE, VERSIONS, Store
from .store.location import Location
from .store.marks import FILE as MARKS
from .store.marks import Marks
from .store.metadata import FILE as METADATA
from .store.metadata import SpaceRecord

ROWS = 8192
"""Segments that are looked at at a time."""
UNIT = 0.02
"""Largest difference of a stored vector's length from 1: it is in half precision."""
AGAIN = "index the same folders again"
"""What is left to do where segments were removed."""
DAMAGED = ".damaged"
"""Ending of the name of what was put aside."""
DAMAGE = (
    "magic",
    "whole buffer",
    "invalid range",
    "range was invalid",
    "decode",
    "too small",
    "not found",
    "corrupt",
    "out of bounds",
    "eof",
)
NO_DAMAGE = ("out of memory", "allocat", "too many open files", "permission", "feature flag", "not supported", "unsupported")
"""Words of LanceDB's reports on files that are not what was written, and of those on other troubles."""


@dataclass(frozen=True)
class Finding:
    """Something that was wrong."""

    what: str
    done: str
    """What was done about it, and what is left to do."""

    def __str__(self) -> str:
        return f"{self.what}: {self.done}"


def check_up(where: Location) -> Iterator[Finding]:
    """Look through a library, all of it, and mend it; yield what was wrong as it is found.

    It is held for writing. Raises MissingLibrary where there is none, LibraryError where it may not be read, or another version of
    samespace wrote it, LibraryBusy.
    """
    store = Store(where)
    if not where.files.names(f"{TABLE}.lance"):
        raise MissingLibrary(f"there is no library at {where}; make one with: samespace index DIR --library {where}")
    with store.writing():
        damaged = [name for name, read in _small_files(store).items() if _is_damaged(read)]
        _check_readable(where)
        for name in damaged:
            kept = _put_aside(where, name)
            redone = "it is written anew" if name == METADATA else "restore it from a backup, or begin anew"
            yield Finding(f"{name} is damaged", f"it is kept as {kept}; {redone}")
        yield from _readable_table(store)
        if where.files.names(f"{TABLE}.lance"):
            store.reopen()
            yield from _metadata(store)
            yield from _rows(store)
            yield from _indexes(store)
            yield from _copies(store)
            if spaces := store.metadata.spaces:
                store.finish(next(reversed(spaces)))


def _small_files(store: Store) -> dict[str, Callable[[], object]]:
    """Return name → what reads it."""
    where = store.location
    return {MARKS: Marks(where).read, CONCEPTS: ConceptFile(where).read, METADATA: store.metadata.read}


def _is_damaged(read: Callable[[], object]) -> bool:
    """Whether a small file is there and is not what was written. Raises LibraryError where it may not be read, or a newer version wrote it."""
    try:
        read()
        return False
    except LibraryError as error:
        if isinstance(error.__context__, ValueError | KeyError | TypeError | AttributeError):
            return True
        raise


def _put_aside(where: Location, name: str) -> str:
    """Give a file or a folder of a library a name under which nothing looks for it, and return that."""
    last = name.rpartition("/")[2]
    there = where.files.names("")
    free = next(free for n in count(1) if (free := f"{last}{DAMAGED}{'' if n == 1 else f'-{n}'}") not in there)
    where.files.rename(name, free)
    return free


# The table.


def _readable_table(store: Store) -> Iterator[Finding]:
    """Go back to the newest version of the table that can be read from beginning to end."""
    where, versions, put_aside = store.location, store.versions(), dict[int, str]()
    for version in versions:  # a table can be opened where its newest manifest can, and so the newest comes first
        if not _opens(store, version):
            put_aside[version] = _put_aside(where, f"{VERSIONS}/{versions[version]}")
    opening = [version for version in versions if version not in put_aside]
    whole = next((version for version in opening if _is_whole(store, version)), None)
    if whole is None:
        for version, name in put_aside.items():
            where.files.rename(name, f"{VERSIONS}/{versions[version]}")
        kept = _put_aside(where, f"{TABLE}.lance")
        if where.read(METADATA) is not None:
            _put_aside(where, METADATA)
        yield Finding("no version of the table can be read", f"it is kept as {kept}; {AGAIN}")
        return
    if whole != opening[0]:
        store.at_version(whole).restore()
    if undone := list(versions).index(whole):
        yield Finding("the newest files of the table are damaged", f"the last {undone} writes were taken back; {AGAIN}")
    elif put_aside:
        yield Finding("manifests of older versions of the table are damaged", "they were put aside; nothing is lost")


def _check_readable(where: Location) -> None:
    """Raises LibraryError where a file may not be read, which is no damage."""
    for folder, _, names in os.walk(where.folder / f"{TABLE}.lance") if not where.remote else ():
        for name in names:
            try:
                with open(os.path.join(folder, name), "rb") as file:
                    file.read(1)
            except OSError as error:
                raise LibraryError(
                    f"{folder}/{name} cannot be read ({error.strerror}); check its permissions and its disk"
                ) from None


def _opens(store: Store, version: int) -> bool:
    """Whether the list of a version's files can be read, and names columns: of a file that is all zeros it would not."""
    try:
        return bool("id" in store.at_version(version).schema.names)
    except LibraryError as error:
        _check_damage(store, error)
        return False


def _is_whole(store: Store, version: int) -> bool:
    """Whether every value of a version can be read."""
    try:
        return store.can_be_read(version, ROWS)
    except LibraryError as error:
        _check_damage(store, error)
        return False


def _check_damage(store: Store, error: LibraryError) -> None:
    """Raise an error again that does not say that a file is damaged: nothing is put aside for want of memory, or of a newer LanceDB."""
    report = str(error.__cause__ or error).lower()
    is_damage = any(word in report for word in DAMAGE) and not any(word in report for word in NO_DAMAGE)
    if store.location.remote or not is_damage:  # in a bucket an object is whole or absent
        raise error


def _metadata(store: Store) -> Iterator[Finding]:
    """Write library.json anew, from the table's columns, where it is missing, or names other spaces."""
    dims = store.dims()
    recorded, was_there = store.metadata.spaces, store.exists
    missing = {fingerprint: dim for fingerprint, dim in dims.items() if fingerprint not in recorded}
    kept = {fingerprint: record for fingerprint, record in recorded.items() if fingerprint in dims}
    if not was_there or missing or len(kept) < len(recorded):
        installed = {entry.config.fingerprint: entry.name for entry in SPACES.entries() if entry.config}
        found = {f: SpaceRecord(installed.get(f, f), dim) for f, dim in missing.items()}
        store.metadata.update(spaces=kept | found, **({} if was_there else {"words": 1}))  # of unknown age: they are folded again
        yield Finding(f"{METADATA} {'names other spaces than the table' if was_there else 'is missing'}", "it was written anew")


def _rows(store: Store) -> Iterator[Finding]:
    """Remove segments that are there a second time, are named after another place, or have a vector that is none."""
    spaces = [vector_column(fingerprint) for fingerprint in store.metadata.spaces]
    names = [*(name for name in SEGMENT_FIELDS if name in store.table.schema.names), "id"]
    seen, twice, wrong = set[str](), set[str](), set[str]()
    for batch in store.table.search().select([*names, *spaces]).to_batches(ROWS):
        for row in batch.select(names).to_pylist():
            if row["id"] != segment_of(row).id or not row["hash"]:
                wrong.add(row["id"])
            (twice if row["id"] in seen else seen).add(row["id"])
        ids = batch["id"].to_pylist()
        wrong.update(ids[row] for space in spaces for row in without_unit_length(batch[space], UNIT))
    if wrong:
        store.remove_ids(wrong)
        yield Finding(f"{len(wrong)} segments are not as they were written", f"removed; {AGAIN}")
    if twice := twice - wrong:
        store.keep_one_of(twice)
        yield Finding(f"{len(twice)} segments were there more than once", "one of each was kept")


# What is made from the table.


def _indexes(store: Store) -> Iterator[Finding]:
    """Drop indexes that do not find what is there; they are built again when all is looked through."""
    for name, column in store.indexes().items():
        try:
            finds = store.index_finds(column)
        except LibraryError:
            finds = False
        if not finds:
            store.drop_index(name)
            yield Finding(f"the index of {column} is damaged", "it was built again")


def _copies(store: Store) -> Iterator[Finding]:
    """Remove copies that do not hold what the table does."""
    for fingerprint in store.metadata.spaces:
        if (copy := store.exact_index(fingerprint)) is None:
            continue
        stored = dict(zip(*store.vectors(fingerprint)))
        try:
            held = dict(zip(*copy.vectors()))
            same = held.keys() == stored.keys() and all(np.allclose(held[id], stored[id], atol=UNIT) for id in held)
        except (OSError, ValueError):
            same = False
        if not same:
            store.exact_path(fingerprint).unlink(missing_ok=True)
            yield Finding("a copy of the table does not hold what the table does", "it was made again")
    (store.location.folder / METADATA_CACHE).unlink(missing_ok=True)  # of a large library; finishing makes it again
