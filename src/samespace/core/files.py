"""Small files: written whole or not at all, hashed, read as JSON."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from .errors import UnknownSpace


def write_atomically(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Call `write` with a new file beside `path`, flush it to disk, and put it in the place of `path`.

    Readers see the old file or the new one, never half of either; a failed write leaves the old one. A link stays one, and who may
    read the file as well. Raises what `write` raises, and OSError.
    """
    path = path.resolve() if path.is_symlink() else path
    scratch = path.with_name(f"{path.name}.{os.getpid()}-{os.urandom(4).hex()}.part")
    try:
        with open(scratch, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            shutil.copymode(path, scratch)
        os.replace(scratch, path)
    except BaseException as error:
        scratch.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename == str(scratch):
            error.filename = str(path)  # the name that people know
        raise


def write_text_atomically(path: Path, text: str) -> None:
    """Write UTF-8 text, whole or not at all. Raises OSError."""
    write_atomically(path, lambda file: file.write(text.encode()))


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file as hex digits. Raises OSError."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_files(folder: Path) -> dict[str, str]:
    """Return the name and SHA-256 of every file of a space's folder, also in folders in it, but of space.json, which lists them."""
    files = (file for file in sorted(folder.rglob("*")) if file.is_file() and file.name != "space.json")
    return {file.relative_to(folder).as_posix(): sha256(file) for file in files}


def content_hash(data: bytes) -> str:
    """Return 32 hex digits (BLAKE2b) that are equal for equal contents."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def file_hash(path: Path) -> str:
    """Return `content_hash` of a file that may be too large to hold in memory. Raises OSError."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def json_rows(text: str) -> list[dict[str, Any]]:
    """Read a JSON list of objects, or one object per line. Raises ValueError."""
    listed = text.lstrip().startswith("[")
    rows = json.loads(text) if listed else [json.loads(line) for line in text.split("\n") if line.strip()]
    if not all(isinstance(row, dict) for row in rows):
        raise ValueError("an entry is not an object")
    return list(rows)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object. Raises UnknownSpace."""
    try:
        values = json.loads(path.read_text("utf-8-sig"))
    except (OSError, ValueError) as error:
        raise UnknownSpace(f"{path} cannot be read ({error}); download it again")
    if not isinstance(values, dict):
        raise UnknownSpace(f"{path} is not a JSON object; download it again")
    return values
