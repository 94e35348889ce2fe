"""A segment as a row: its columns, its id, its vectors."""

import hashlib
import os
from typing import Any

import numpy as np

from .paths import to_path

SHOWN = ("path", "kind", "start", "end", "page", "width", "height", "taken_at", "lat", "lon", "size", "moment")
"""Columns a search returns."""


def segment_fields(pa: Any) -> list[Any]:
    """The columns of a segment, without vectors. Times are UTC; `moment` is taken_at, or mtime where unknown."""
    moment = pa.timestamp("us", "UTC")
    types = {
        "id": pa.string(), "path": pa.string(), "root": pa.string(), "kind": pa.string(), "start": pa.float32(),
        "end": pa.float32(), "page": pa.int32(), "hash": pa.string(), "size": pa.int64(), "mtime": pa.int64(),
        "width": pa.int32(), "height": pa.int32(), "taken_at": moment, "moment": pa.int64(), "lat": pa.float64(),
        "lon": pa.float64(), "text": pa.string(),
    }  # fmt: skip
    return [pa.field(name, kind) for name, kind in types.items()]


def shown_fields(pa: Any) -> list[Any]:
    """The columns a search returns."""
    schema = pa.schema(segment_fields(pa))
    return [schema.field(name) for name in SHOWN]


def segment_id(row: dict[str, Any]) -> str:
    """32 hex digits for a path and a place in it."""
    key = "\0".join([row["path"], str(row.get("start")), str(row.get("page"))])
    return hashlib.blake2b(os.fsencode(key), digest_size=16).hexdigest()


def placed(row: dict[str, Any]) -> dict[str, Any]:
    """A stored row with its paths as the file system has them."""
    return row | {"path": to_path(row["path"]), "root": to_path(row["root"])}


def content_hash(data: bytes) -> str:
    """32 hex digits for a file's bytes: files with the same are copies."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def halved(value: Any) -> Any:
    """Vectors as fp16, everything else as it is."""
    return value.astype(np.float16) if isinstance(value, np.ndarray) else value


def column(fingerprint: str) -> str:
    """Name of the column that holds a space's vectors."""
    return f"z_{fingerprint}"
