"""The flat copy: a library's vectors in one memory-mapped Arrow file, for exact search in milliseconds.

Opening the database costs a second, most of it imports; a small library need not pay that for every search. The copy
is made from the table when indexing ends, bears the table's version, and is not used once that is out of date.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from .filter import Filter

MAX_ROWS = 200_000
"""Above this the database's index is faster than an exact scan, and the copy is not made."""


class Flat:
    """An open flat copy, searched exactly."""

    def __init__(self, path: Path, version: str):
        """Raises OSError or ValueError where there is no copy of this version."""
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        if (table.schema.metadata or {}).get(b"version") != version.encode():
            raise ValueError(f"{path} is out of date")
        self.segments = table.drop(["z"])
        flat = (np.from_dlpack(c.flatten()).reshape(len(c), -1) for c in table["z"].chunks)  # to_numpy would load pandas
        self.chunks = list(flat)  # (rows, dim), on disk

    def search(self, z: np.ndarray, limit: int, filter: Filter) -> list[dict[str, Any]]:
        """The `limit` best segments, best first, each with `score` and its vector `z`."""
        scores = self.scores(z)
        if filter != Filter():
            scores[~filter.mask(self.segments).to_numpy(zero_copy_only=False)] = -np.inf
        best = np.argpartition(-scores, limit)[:limit] if limit < len(scores) else np.arange(len(scores))
        best = best[np.argsort(-scores[best], kind="stable")]
        best = best[np.isfinite(scores[best])]
        rows = (self.segments.slice(i, 1).to_pylist()[0] for i in best)
        return [row | {"score": float(scores[i]), "z": self.vector(i)} for i, row in zip(best, rows)]

    def vector(self, row: int) -> np.ndarray:
        """float32 (dim,)"""
        for chunk in self.chunks:
            if row < len(chunk):
                return chunk[row]
            row -= len(chunk)
        raise IndexError(row)

    def sample(self, count: int) -> np.ndarray:
        """Vectors spread over the whole copy: float32, about `count` of them, or all."""
        step = max(1, -(-len(self.segments) // count))
        return np.concatenate([chunk[::step] for chunk in self.chunks])

    def scores(self, z: np.ndarray) -> np.ndarray:
        """Cosine of z with every row: float32 (rows,)."""
        return np.concatenate([np.empty(0, np.float32), *(chunk @ z for chunk in self.chunks)])


def write_flat(path: Path, version: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
    """Write a flat copy of batches whose last column is `z`, widened to fp32, which is what a CPU multiplies.

    Readers of the old copy keep it until they close it.
    """
    scratch = path.with_suffix(".part")
    with pa.OSFile(str(scratch), "wb") as file, pa.ipc.new_file(file, schema.with_metadata({"version": version})) as out:
        for batch in batches:
            halves = batch.column(batch.num_columns - 1)
            wide = pa.array(halves.flatten().to_numpy().astype(np.float32))
            z = pa.FixedSizeListArray.from_arrays(wide, halves.type.list_size)
            out.write_batch(pa.RecordBatch.from_arrays([*batch.columns[:-1], z], schema=schema))
    os.replace(scratch, path)
