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
CHUNK = 16_384
"""Rows widened to fp32 at a time."""


class Flat:
    """An open flat copy, searched exactly."""

    def __init__(self, path: Path, version: str):
        """Raises OSError or ValueError where there is no copy of this version."""
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        if (table.schema.metadata or {}).get(b"version") != version.encode():
            raise ValueError(f"{path} is out of date")
        self.segments = table.drop(["z"])
        self.chunks = [
            chunk.values.to_numpy().reshape(len(chunk), -1) for chunk in table["z"].chunks if len(chunk)
        ]  # fp16 (rows, dim), still on disk

    def search(self, z: np.ndarray, limit: int, filter: Filter) -> list[dict[str, Any]]:
        """The `limit` best segments, best first, each with `score`."""
        scores = self.scores(z)
        if filter != Filter():
            scores[~filter.mask(self.segments).to_numpy(zero_copy_only=False)] = -np.inf
        best = np.argpartition(-scores, limit)[:limit] if limit < len(scores) else np.arange(len(scores))
        best = best[np.argsort(-scores[best], kind="stable")]
        best = best[np.isfinite(scores[best])]
        return [row | {"score": float(s)} for row, s in zip(self.segments.take(best).to_pylist(), scores[best])]

    def scores(self, z: np.ndarray) -> np.ndarray:
        """Cosine of z with every row: float32 (rows,)."""
        parts = [c[i : i + CHUNK].astype(np.float32) @ z for c in self.chunks for i in range(0, len(c), CHUNK)]
        return np.concatenate(parts) if parts else np.empty(0, np.float32)


def write_flat(path: Path, version: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
    """Write a flat copy; readers of the old one keep it until they close it."""
    scratch = path.with_suffix(".part")
    with pa.OSFile(str(scratch), "wb") as file, pa.ipc.new_file(file, schema.with_metadata({"version": version})) as out:
        for batch in batches:
            out.write_batch(batch.cast(schema) if batch.schema != schema else batch)
    os.replace(scratch, path)
