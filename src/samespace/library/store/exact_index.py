"""Memory-mapped Arrow copies of what searches read: made when indexing ends, named after the table's version, and not used once
that is out of date.

A small library's copy, the exact index, holds its vectors and is searched exactly, in milliseconds: opening the database costs a
second, most of it imports. A large one's, the metadata cache, holds what hits display, by row id: the database's index finds ten
vectors in 5 ms and would take 8 more to fetch a dozen columns of them.
"""

import os
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ...core.files import write_atomically
from .arrow import COPIED, DISPLAYED, SCHEMA, int64_array, matrices, numbers_of, python_value, segment_of
from .filter import WORDS, Filter
from .records import Candidate, Segment
from .words import WordIndex

MAX_ROWS = 200_000
"""Above this the database's index is faster than an exact scan, and the copy has no vectors."""
ROW_ID = "_rowid"
"""LanceDB's name for where a row lies; it holds for one version of the table."""
FEW_ROWS = 20
"""Up to so many rows are read value by value: `take` imports pyarrow.compute first, which takes longer than a search."""


def _read_copy(path: Path, version: str) -> pa.Table:
    """Raises OSError or ValueError where there is no copy of this version."""
    source = pa.memory_map(str(path)) if os.name != "nt" else pa.py_buffer(path.read_bytes())  # Windows replaces no mapped file
    table = pa.ipc.open_file(source).read_all()
    if (table.schema.metadata or {}).get(b"version") != version.encode():
        raise ValueError(f"{path} is out of date")
    if "id" not in table.schema.names:
        raise ValueError(f"{path} was made by an older version; the next index makes it again")
    return with_all_columns(table)


def with_all_columns(table: pa.Table) -> pa.Table:
    """Return a table with the columns that it lacks, empty: an older version wrote it."""
    for name in COPIED:
        if name not in table.schema.names:
            field = SCHEMA.field(name)
            table = table.append_column(field, pa.nulls(len(table), field.type))
    return table


def write_copy(path: Path, version: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
    """Write batches of this schema. Readers of the old copy keep it until they close it."""

    def write(file: Any) -> None:
        with pa.ipc.new_file(file, schema.with_metadata({"version": version})) as out:
            for batch in batches:
                out.write_batch(pa.RecordBatch.from_arrays(batch.columns, schema=schema))

    for partial in path.parent.glob(f"{path.name}.*.part"):  # left by a process that was killed: only one writes at a time
        partial.unlink(missing_ok=True)
    write_atomically(path, write)


def widened(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return the batch with its last column, vectors, as fp32, which is what a CPU multiplies."""
    halves = batch.column(batch.num_columns - 1)
    wide = pa.FixedSizeListArray.from_arrays(halves.flatten().to_numpy().astype(np.float32), halves.type.list_size)
    return pa.RecordBatch.from_arrays([*batch.columns[:-1], wide], names=batch.schema.names)


def segments_at(table: pa.Table, rows: np.ndarray) -> list[Segment]:
    """Return rows by number, batch by batch; `take` of the whole table would first join its batches."""
    batches = table.to_batches()
    ends = np.cumsum([len(batch) for batch in batches])
    owners, found = np.searchsorted(ends, rows, side="right"), np.empty(len(rows), object)
    for owner in set(owners.tolist()):
        mine, batch = np.flatnonzero(owners == owner), batches[owner]
        within = rows[mine] - (ends[owner] - len(batch))
        if len(rows) > FEW_ROWS:
            found[mine] = batch.select(list(DISPLAYED)).take(int64_array(within)).to_pylist()
        else:
            found[mine] = [{name: python_value(batch[name][row]) for name in DISPLAYED} for row in within.tolist()]
    return [segment_of(row) for row in found]


class TableCopy:
    """A copy of the table, without what cannot be displayed."""

    def __init__(self, table: pa.Table):
        self.table = table

    @cached_property
    def words(self) -> WordIndex:
        """Its words."""
        return WordIndex(self.table[WORDS])


class MetadataCache(TableCopy):
    """What hits of a large library display, by row id."""

    def __init__(self, path: Path, version: str):
        """Raises OSError or ValueError where there is no copy of this version."""
        table = _read_copy(path, version)
        super().__init__(table.drop([ROW_ID]))
        row_ids = numbers_of(table[ROW_ID])
        self._order = np.argsort(row_ids, kind="stable")
        self._row_ids = row_ids[self._order]

    def segments(self, row_ids: list[int]) -> list[Segment]:
        """Return segments by row id. Raises KeyError where a row is not here."""
        at = np.searchsorted(self._row_ids, np.array(row_ids, np.uint64)).clip(max=len(self._row_ids) - 1)
        if (self._row_ids[at] != row_ids).any():
            raise KeyError(row_ids)
        return segments_at(self.table, self._order[at])


class ExactIndex(TableCopy):
    """All vectors of a small library, searched exactly."""

    def __init__(self, path: Path, version: str):
        """Raises OSError or ValueError where there is no copy of this version."""
        table = _read_copy(path, version)
        super().__init__(table.drop(["z"]))
        self._chunks, self._dim = matrices(table["z"]), table.schema.field("z").type.list_size  # on disk
        self._last: tuple[np.ndarray, np.ndarray] | None = None  # a query and its scores: one for each modality, and for words

    def search(self, z: np.ndarray, limit: int, filter: Filter) -> list[Candidate]:
        """Return the `limit` best segments, best first."""
        scores = self.cosines(z)
        rows = np.arange(len(scores)) if filter == Filter() else filter.rows(self.table)
        if limit < len(rows):
            rows = rows[np.argpartition(-scores[rows], limit)[:limit]]
        rows = rows[np.argsort(-scores[rows], kind="stable")]
        rows = rows[np.isfinite(scores[rows])]
        found = zip(rows, segments_at(self.table, rows), strict=True)
        return [Candidate(segment, float(scores[row]), self._vector(row)) for row, segment in found]

    def candidates(self, rows: np.ndarray, z: np.ndarray) -> list[Candidate]:
        """Return rows by number, in their order, as found by z."""
        cosines, segments = self.cosines(z)[rows], segments_at(self.table, rows)
        return [Candidate(*found, self._vector(row)) for row, found in zip(rows, zip(segments, cosines.tolist()), strict=True)]

    def sample(self, count: int, filter: Filter) -> tuple[np.ndarray, int]:
        """Return about `count` vectors spread over the rows that pass, and how many pass."""
        if filter == Filter():
            step = max(1, -(-len(self.table) // count))
            return np.concatenate([chunk[::step] for chunk in self._chunks]), len(self.table)
        rows = filter.rows(self.table)
        step = max(1, -(-len(rows) // count))
        return np.stack([self._vector(row) for row in rows[::step]]), len(rows)

    def vectors(self) -> tuple[list[str], np.ndarray]:
        """Return the ids of its segments and their vectors: float32 (rows, dim)."""
        return self.table["id"].to_pylist(), np.concatenate([np.empty((0, self._dim), np.float32), *self._chunks])

    def cosines(self, z: np.ndarray) -> np.ndarray:
        """Return the cosine of z with every row: float32 (rows,)."""
        last = self._last
        if last is None or not np.array_equal(last[0], z):
            last = self._last = z, np.concatenate([np.empty(0, np.float32), *(chunk @ z for chunk in self._chunks)])
        return last[1]

    def _vector(self, row: int) -> np.ndarray:
        """Return the vector of a row: float32 (dim,)."""
        for chunk in self._chunks:
            if row < len(chunk):
                return np.asarray(chunk[row])
            row -= len(chunk)
        raise IndexError(row)
