"""Paths as people write them, and file names as text that a database takes: a name is bytes, and not all bytes are UTF-8."""

import os
import re
from pathlib import Path

PRIVATE = 0xF700
"""Bytes of file names that are not UTF-8 are kept as private-use characters from here on."""


def to_text(path: str) -> str:
    """A path as valid Unicode: bytes that are not UTF-8 become private-use characters.

    A name that really holds such characters has their UTF-8 bytes treated the same way, so that all comes back.
    """
    path = re.sub(r"[\uf780-\uf7ff]", lambda m: m[0].encode().decode("ascii", "surrogateescape"), path)
    return re.sub(r"[\udc80-\udcff]", lambda m: chr(ord(m[0]) - 0xDC00 + PRIVATE), path)


def to_path(text: str) -> str:
    """The path that `to_text` was given."""
    return os.fsdecode(os.fsencode(re.sub(r"[\uf780-\uf7ff]", lambda m: chr(ord(m[0]) - PRIVATE + 0xDC00), text)))


def expanded(path: str | Path) -> Path:
    """A path as it was written, with ~ or ~NAME for a home. One that nobody has stays: Path.expanduser would raise."""
    return Path(os.path.expanduser(path))


def absolute(path: str | Path) -> str:
    """The same from the root, links not followed."""
    return os.path.abspath(expanded(path))


def data_folder(variable: str, name: str) -> Path:
    """Return the folder that an environment variable names, or `name` in the user's data folder."""
    if named := os.environ.get(variable):
        return expanded(named)
    import platformdirs

    return platformdirs.user_data_path("samespace") / name


def file_name(name: str) -> str:
    """Return a name such as `org/model` as the name of one file or folder."""
    return re.sub(r"[^\w.-]+", "--", name)
