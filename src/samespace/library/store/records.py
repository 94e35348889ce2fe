"""A segment as a row: its columns, its id, its vectors."""

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np

from ...core.paths import to_path

SHOWN = ("path", "kind", "start", "end", "page", "part", "width", "height", "taken_at", "lat", "lon", "size", "moment")
"""Columns a search returns."""


def segment_fields(pa: Any) -> list[Any]:
    """The columns of a segment, without vectors. Times are UTC; `moment` is taken_at, or mtime where unknown.

    `part` is empty for what is seen of a file (a picture, shot or page), or names what else has a vector at that place:
    `sound`, `top` and `bottom` of a page, its `text 1`, `text 2`, … .
    """
    moment = pa.timestamp("us", "UTC")
    types = {
        "id": pa.string(), "path": pa.string(), "root": pa.string(), "kind": pa.string(), "start": pa.float32(),
        "end": pa.float32(), "page": pa.int32(), "part": pa.string(), "hash": pa.string(), "size": pa.int64(), "mtime": pa.int64(),
        "width": pa.int32(), "height": pa.int32(), "taken_at": moment, "moment": pa.int64(), "lat": pa.float64(),
        "lon": pa.float64(), "text": pa.string(),
    }  # fmt: skip
    return [pa.field(name, kind) for name, kind in types.items()]


def shown_fields(pa: Any, names: list[str]) -> list[Any]:
    """The columns of these names."""
    schema = pa.schema(segment_fields(pa))
    return [schema.field(name) for name in names]


def place_of(row: dict[str, Any]) -> tuple:
    """Which file, and where in it: equal for what is seen, heard and read at one place."""
    return row["path"], row.get("start"), row.get("page")


def segment_id(row: dict[str, Any]) -> str:
    """32 hex digits for a path and a place in it."""
    start = None if row.get("start") is None else f"{row['start']:.2f}"  # stored with fewer digits than it comes with
    key = "\0".join([row["path"], str(start), str(row.get("page")), *filter(None, [row.get("part")])])
    return hashlib.blake2b(os.fsencode(key), digest_size=16).hexdigest()


def placed(row: dict[str, Any]) -> dict[str, Any]:
    """A stored row with its paths as the file system has them."""
    return row | {"path": to_path(row["path"]), "root": to_path(row["root"])}


def content_hash(data: bytes) -> str:
    """32 hex digits for a file's bytes: files with the same are copies."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def file_hash(path: Path) -> str:
    """The same of a file that may be too large to hold. Raises OSError."""
    digest = hashlib.blake2b(digest_size=16)
    with open(path, "rb") as file:
        while data := file.read(1 << 20):
            digest.update(data)
    return digest.hexdigest()


def halved(value: Any) -> Any:
    """Vectors as fp16, everything else as it is."""
    return value.astype(np.float16) if isinstance(value, np.ndarray) else value


def column(fingerprint: str) -> str:
    """Name of the column that holds a space's vectors."""
    return f"z_{fingerprint}"
