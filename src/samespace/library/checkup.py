"""A library looked through, and mended: what a power cut, a failing disk or another program did to its files.

What cannot be computed again, marks and concepts, is put aside and never thrown away; what can be, is removed, and indexing the same
folders makes it anew.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..core.errors import LibraryError, MissingLibrary
from ..spaces.registry import SPACES
from .store.arrow import SEGMENT_FIELDS, segment_of, vector_column, without_unit_length
from .store.concepts import FILE as CONCEPTS
from .store.lance import METADATA_CACHE, TABLE, VERSIONS, Store
from .store.location import Location
from .store.marks import FILE as MARKS
from .store.metadata import FILE as METADATA
from .store.metadata import Contents, SpaceRecord

ROWS = 8192
"""Segments that are looked at at a time."""
UNIT = 0.02
"""Largest difference of a stored vector's length from 1: it is in half precision."""
AGAIN = "index the same folders again"
"""What is left to do where segments were removed."""
DAMAGED = ".damaged"
"""Ending of the name of what was put aside."""
COLUMN = vector_column("")
"""Beginning of the name of a space's column."""


@dataclass(frozen=True)
class Finding:
    """Something that was wrong."""

    what: str
    done: str
    """What was done about it, and what is left to do."""

    def __str__(self) -> str:
        return f"{self.what}: {self.done}"


def check_up(where: Location) -> list[Finding]:
    """Look through a library, all of it, and mend it; return what was wrong.

    It is held for writing. Raises MissingLibrary where there is none, LibraryError where it may not be read, LibraryBusy.
    """
    store = Store(where)
    if not store.exists and not where.files.names(f"{TABLE}.lance"):
        raise MissingLibrary(f"there is no library at {where}; make one with: samespace index DIR --library {where}")
    with store.writing():
        findings = [*_words_of_people(where), *_readable_table(store)]
        if where.files.names(f"{TABLE}.lance"):
            store = Store(where)  # whatever was opened before may have been replaced
            findings += [*_metadata(store), *_rows(store), *_indexes(store), *_copies(store)]
            if spaces := store.metadata.spaces:
                store.finish(next(reversed(spaces)))
    return findings


def _words_of_people(where: Location) -> Iterator[Finding]:
    """Put marks and concepts aside that are no JSON: they cannot be computed again, and a person may read them still."""
    for name in (MARKS, CONCEPTS):
        if _is_damaged(where, name):
            where.files.rename(name, name + DAMAGED)
            yield Finding(f"{name} is damaged", f"it is kept as {name}{DAMAGED}; restore it from a backup, or begin anew")


def _is_damaged(where: Location, name: str) -> bool:
    """Whether a small file is there and is not what was written."""
    try:
        text = where.read(name)
        return text is not None and "format" not in json.loads(text)
    except (LibraryError, ValueError, TypeError):
        return True


# The table.


def _readable_table(store: Store) -> Iterator[Finding]:
    """Go back to the newest version of the table that can be read from beginning to end."""
    where, versions = store.location, store.versions()
    _check_readable(where)
    opening = [version for version in versions if _opens(store, version)]
    for version in versions.keys() - set(opening):
        manifest = versions[version]
        where.files.rename(f"{VERSIONS}/{manifest}", f"{TABLE}.lance/{manifest}{DAMAGED}")
    whole = next((version for version in opening if _is_whole(store, version)), None)
    if whole is None:
        if where.files.names(f"{TABLE}.lance"):
            where.files.rename(f"{TABLE}.lance", f"{TABLE}.lance{DAMAGED}")
            where.files.remove(METADATA)
            yield Finding("no version of the table can be read", f"it is kept as {TABLE}.lance{DAMAGED}; {AGAIN}")
        return
    if whole != opening[0]:
        store.at_version(whole).restore()
    if undone := list(versions).index(whole):
        yield Finding("the newest files of the table are damaged", f"the last {undone} writes were taken back; {AGAIN}")
    elif len(opening) < len(versions):
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
    except LibraryError:
        if store.location.remote:  # it is whole or absent there, and was not reached
            raise
        return False


def _is_whole(store: Store, version: int) -> bool:
    """Whether every value of a version can be read."""
    try:
        return store.can_be_read(version, ROWS)
    except LibraryError:
        if store.location.remote:
            raise
        return False


def _metadata(store: Store) -> Iterator[Finding]:
    """Write library.json anew, from the table's columns, where it is damaged, or lacks a space."""
    damaged = _is_damaged(store.location, METADATA)
    if damaged:
        store.location.files.rename(METADATA, METADATA + DAMAGED)
    elif store.exists:
        store.metadata.read()  # raises where another version wrote it
    dims = {
        field.name.removeprefix(COLUMN): field.type.list_size for field in store.table.schema if field.name.startswith(COLUMN)
    }
    recorded = {} if damaged else store.metadata.spaces
    missing = {fingerprint: dim for fingerprint, dim in dims.items() if fingerprint not in recorded}
    kept = {fingerprint: record for fingerprint, record in recorded.items() if fingerprint in dims}
    if damaged or missing or len(kept) < len(recorded):
        installed = {entry.config.fingerprint: entry.name for entry in SPACES.entries() if entry.config}
        found = {f: SpaceRecord(installed.get(f, f), dim) for f, dim in missing.items()}
        store.metadata.update(**vars(Contents(kept | found)) if damaged else {"spaces": kept | found})
        yield Finding(f"{METADATA} {'is damaged' if damaged else 'names other spaces than the table'}", "it was written anew")


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
    """Drop indexes that cannot be searched; they are built again when all is looked through."""
    for name, column in store.indexes().items():
        try:
            store.try_index(column)
        except LibraryError:
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
