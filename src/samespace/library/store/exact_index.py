"""Memory-mapped Arrow copies of what searches read: made when indexing ends, bearing the table's version, and not used
once that is out of date.

A small library's copy holds its vectors too and is searched exactly, in milliseconds: opening the database costs a second,
most of it imports. A large one's holds the facts that hits show, by row id: the index finds ten vectors in 5 ms, and the
database would take 8 more to fetch a dozen columns of them.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from .filter import Filter

MAX_ROWS = 200_000
"""Above this the database's index is faster than an exact scan, and the copy has no vectors."""
ROW_ID = "_rowid"
"""LanceDB's name for where a row lies; it holds for one version of the table."""


def read_copy(path: Path, version: str) -> pa.Table:
    """Raises OSError or ValueError where there is no copy of this version."""
    table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    if (table.schema.metadata or {}).get(b"version") != version.encode():
        raise ValueError(f"{path} is out of date")
    return table


def write_copy(path: Path, version: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
    """Write batches of this schema. Readers of the old copy keep it until they close it."""
    scratch = path.with_suffix(".part")
    with pa.OSFile(str(scratch), "wb") as file, pa.ipc.new_file(file, schema.with_metadata({"version": version})) as out:
        for batch in batches:
            out.write_batch(pa.RecordBatch.from_arrays(batch.columns, schema=schema))
    os.replace(scratch, path)


def widened(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The same with its last column, vectors, in fp32, which is what a CPU multiplies."""
    halves = batch.column(batch.num_columns - 1)
    wide = pa.FixedSizeListArray.from_arrays(halves.flatten().to_numpy().astype(np.float32), halves.type.list_size)
    return pa.RecordBatch.from_arrays([*batch.columns[:-1], wide], names=batch.schema.names)


def rows(table: pa.Table, places: np.ndarray) -> list[dict[str, Any]]:
    """Rows by number, batch by batch; `take` of the whole would first join its batches."""
    batches = table.to_batches()
    ends = np.cumsum([len(batch) for batch in batches])
    homes, found = np.searchsorted(ends, places, side="right"), np.empty(len(places), object)
    for home in np.unique(homes):
        mine = np.flatnonzero(homes == home)
        found[mine] = batches[home].take(pa.array(places[mine] - (ends[home] - len(batches[home])))).to_pylist()
    return found.tolist()


def matrices(vectors: pa.ChunkedArray) -> list[np.ndarray]:
    """A column of vectors as arrays of shape (rows, dim), without copying; `to_numpy` would load pandas."""
    return [np.from_dlpack(chunk.flatten()).reshape(len(chunk), -1) for chunk in vectors.chunks]


def column_of(parquet: Path, name: str) -> list[Any]:
    """A column of a Parquet file. Raises OSError, ValueError, KeyError."""
    import pyarrow.parquet as pq

    return pq.read_table(parquet, columns=[name])[name].to_pylist()


class Shown:
    """What hits of a large library show, by row id."""

    def __init__(self, path: Path, version: str):
        """Raises OSError or ValueError where there is no copy of this version."""
        table = read_copy(path, version)
        self.segments = table.drop([ROW_ID])
        row_ids = np.concatenate([np.from_dlpack(c) for c in table[ROW_ID].chunks])
        self.order = np.argsort(row_ids, kind="stable")
        self.row_ids = row_ids[self.order]

    def rows(self, row_ids: list[int]) -> list[dict[str, Any]]:
        """Raises KeyError where a row is not here."""
        places = np.searchsorted(self.row_ids, np.array(row_ids, np.uint64)).clip(max=len(self.row_ids) - 1)
        if (self.row_ids[places] != row_ids).any():
            raise KeyError(row_ids)
        return rows(self.segments, self.order[places])


class Flat:
    """An open flat copy, searched exactly."""

    def __init__(self, path: Path, version: str):
        """Raises OSError or ValueError where there is no copy of this version."""
        table = read_copy(path, version)
        self.segments = table.drop(["z"])
        self.chunks = matrices(table["z"])  # on disk

    def search(self, z: np.ndarray, limit: int, filter: Filter) -> list[dict[str, Any]]:
        """The `limit` best segments, best first, each with `score` and its vector `z`."""
        scores = self.scores(z)
        if filter != Filter():
            scores[~filter.mask(self.segments).to_numpy(zero_copy_only=False)] = -np.inf
        best = np.argpartition(-scores, limit)[:limit] if limit < len(scores) else np.arange(len(scores))
        best = best[np.argsort(-scores[best], kind="stable")]
        best = best[np.isfinite(scores[best])]
        return [
            row | {"score": float(scores[i]), "z": self.vector(i)} for i, row in zip(best, rows(self.segments, best), strict=True)
        ]

    def vector(self, row: int) -> np.ndarray:
        """float32 (dim,)"""
        for chunk in self.chunks:
            if row < len(chunk):
                return chunk[row]
            row -= len(chunk)
        raise IndexError(row)

    def sample(self, count: int, filter: Filter) -> tuple[np.ndarray, int]:
        """Vectors spread over what passes: float32, about `count` of them, or all; and how many pass."""
        if filter == Filter():
            step = max(1, -(-len(self.segments) // count))
            return np.concatenate([chunk[::step] for chunk in self.chunks]), len(self.segments)
        passing = np.flatnonzero(filter.mask(self.segments).to_numpy(zero_copy_only=False))
        step = max(1, -(-len(passing) // count))
        return np.stack([self.vector(i) for i in passing[::step]]), len(passing)

    def scores(self, z: np.ndarray) -> np.ndarray:
        """Cosine of z with every row: float32 (rows,)."""
        return np.concatenate([np.empty(0, np.float32), *(chunk @ z for chunk in self.chunks)])
