"""Segments as rows of Arrow tables, and Arrow's values as NumPy's.

`pa.array`, `pa.scalar` and `to_numpy` import pandas where it is installed, `take` and `flatten` import pyarrow.compute. Each takes
longer than a search of a small library, which does without both.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ...core.paths import to_path, to_text
from .filter import WORDS
from .records import Segment
from .words import words_of

SCHEMA = pa.schema(
    {
        "id": pa.string(), "path": pa.string(), "root": pa.string(), "kind": pa.string(), "start": pa.float32(),
        "end": pa.float32(), "page": pa.int32(), "modality": pa.string(), "ordinal": pa.int32(), "hash": pa.string(),
        "size": pa.int64(), "mtime": pa.int64(), "width": pa.int32(), "height": pa.int32(),
        "taken_at": pa.timestamp("us", "UTC"), "time": pa.int64(), "lat": pa.float64(), "lon": pa.float64(), "text": pa.string(),
        "written": pa.string(), "caption": pa.string(), "keywords": pa.string(), "people": pa.string(), "camera": pa.string(),
        "rating": pa.int8(), "place": pa.string(), "described": pa.int64(), "words": pa.string(),
        "look": pa.binary(), "duplicate": pa.string(), "stack": pa.string(),
    }
)  # fmt: skip
"""Columns of a segment, without its vectors: `id`, SEGMENT_FIELDS, and WORDS."""
SEGMENT_FIELDS = tuple(f.name for f in fields(Segment))
DISPLAYED = tuple(name for name in SEGMENT_FIELDS if name not in ("root", "mtime", "described", "look"))
"""Columns that a search returns."""
COPIED = ("id", *DISPLAYED, WORDS)
"""Columns of the copies that searches read."""


def vector_column(fingerprint: str) -> str:
    """Return the name of the column that holds a space's vectors."""
    return f"z_{fingerprint}"


def segment_of(row: Mapping[str, Any]) -> Segment:
    """Return a stored row as a segment, with paths as the file system has them."""
    values = {name: row[name] for name in SEGMENT_FIELDS if name in row}
    return Segment(**values | {name: to_path(values[name]) for name in ("path", "root") if name in values})


def row_of(segment: Segment) -> dict[str, Any]:
    """Return a segment as a row without vectors, with paths as text."""
    return vars(segment) | {
        "id": segment.id,
        "path": to_text(segment.path),
        "root": to_text(segment.root),
        WORDS: words_of(segment),
    }


def segments_of(table: pa.Table) -> Iterator[Segment]:
    """Yield the rows of a table as segments."""
    names = [name for name in table.schema.names if name in SEGMENT_FIELDS]
    return map(segment_of, table.select(names).to_pylist())


def matrices(vectors: pa.ChunkedArray) -> list[np.ndarray]:
    """Return a column of vectors as arrays (rows, dim), without copying."""
    pairs = ((chunk, np.from_dlpack(chunk.values).reshape(-1, chunk.type.list_size)) for chunk in vectors.chunks)
    return [rows[chunk.offset : chunk.offset + len(chunk)] for chunk, rows in pairs]


def vectors_of(column: pa.ChunkedArray) -> list[np.ndarray]:
    """Return a column of vectors: float32 (dim,) each."""
    return [z.astype(np.float32) for matrix in matrices(column) for z in matrix]


def without_unit_length(column: pa.FixedSizeListArray, tolerance: float) -> list[int]:
    """Return the rows whose vector is there and has another length than 1."""
    valid = np.flatnonzero(np.asarray(column.is_valid()))
    if not len(valid):
        return []
    (vectors,) = matrices(pa.chunked_array([column.drop_null()]))
    lengths = np.linalg.norm(vectors.astype(np.float32), axis=1)
    wrong: list[int] = valid[~(np.abs(lengths - 1) < tolerance)].tolist()
    return wrong


def numbers_of(column: pa.ChunkedArray) -> np.ndarray:
    """Return a column of numbers."""
    return np.concatenate([np.from_dlpack(chunk) for chunk in column.chunks])


def python_value(scalar: pa.Scalar) -> Any:
    """Return a value as Python's; `as_py` of a time imports pandas."""
    if not isinstance(scalar, pa.TimestampScalar) or not scalar.is_valid:
        return scalar.as_py()
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=scalar.value)


def int64_array(numbers: np.ndarray | Sequence[int]) -> pa.Array:
    """Return whole numbers as an Arrow array."""
    return pa.Array.from_buffers(pa.int64(), len(numbers), [None, pa.py_buffer(np.asarray(numbers, np.int64))])


def string_array(texts: Iterable[str]) -> pa.Array:
    """Return texts as an Arrow array."""
    data = [text.encode() for text in texts]
    ends = np.cumsum([0, *map(len, data)], dtype=np.int32)
    return pa.StringArray.from_buffers(len(data), pa.py_buffer(ends), pa.py_buffer(b"".join(data)))


def read_parquet_column(parquet: Path, name: str) -> list[Any]:
    """Return a column of a Parquet file. Raises OSError, ValueError, KeyError."""
    import pyarrow.parquet as pq

    values: list[Any] = pq.read_table(parquet, columns=[name])[name].to_pylist()
    return values
