"""Hits as something that other programs open: a folder of links, a playlist, a ZIP file, a page."""

import io
import os
import shutil
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.errors import LibraryError, MissingLibrary
from ..core.files import write_atomically
from ..core.paths import expanded
from .search.hits import Hit

MOST_BYTES = 255
"""Of a name, on most disks."""

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

PIECE = 2**20
"""Bytes of a file that are in memory at a time."""


def export(hits: Sequence[Hit], out: str | Path) -> int:
    """Write the files of hits, each once, and return how many were. The ending of `out` says as what; without one, as links.

    A ZIP file holds those that are there. Raises MissingLibrary where nothing is found, LibraryError where `out` exists; OSError.
    """
    path, files = expanded(out), list(dict.fromkeys(hit.path for hit in hits))
    if not files:
        raise MissingLibrary("there is nothing to export; ask for something else")
    if path.exists():
        raise LibraryError(f"{path} exists; name a new file or folder")
    if path.suffix.lower() not in WRITERS:
        raise LibraryError(
            f"{path.suffix} cannot be written; end the name in .m3u, .zip or .html, or give a folder without an ending"
        )
    if path.suffix.lower() == ".zip":
        files = [file for file in files if os.access(file, os.R_OK)]  # a disk may not be there
        if not files:
            raise LibraryError("none of the files is there; mount their disk")
    WRITERS[path.suffix.lower()](path, files, hits)
    return len(files)


def _links(folder: Path, files: list[str], _: Sequence[Hit]) -> None:
    """Make a folder of symbolic links, numbered so that the order stays."""
    digits = len(str(len(files)))
    folder.mkdir(parents=True)
    try:
        for number, file in enumerate(files, 1):
            os.symlink(file, folder / _short(f"{number:0{digits}} {os.path.basename(file)}"))
    except OSError:
        shutil.rmtree(folder)
        raise


def _short(name: str) -> str:
    """Return a name that a folder can hold, with its ending."""
    stem, ending = os.path.splitext(name)
    while len(os.fsencode(stem + ending)) > MOST_BYTES:
        stem = stem[:-1]
    return stem + ending


def _playlist(path: Path, files: list[str], _: Sequence[Hit]) -> None:
    if any("\n" in file for file in files):
        raise LibraryError("a name has a line break in it, which a playlist cannot hold; export a folder or a ZIP file")
    data = os.fsencode("".join(f"{line}\n" for line in ("#EXTM3U", *files)))
    write_atomically(path, lambda file: file.write(data))


def _zip(path: Path, files: list[str], _: Sequence[Hit]) -> None:
    write_atomically(path, lambda out: out.writelines(zip_pieces(files)))


def zip_pieces(files: Iterable[str]) -> Iterator[bytes]:
    """Yield a ZIP file of files in pieces; pictures and videos are stored as they are, for they are compressed already.

    A file that cannot be opened, because its disk is not there, is left out. Raises OSError where one ends while it is read.
    """
    out = _Pieces()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED, strict_timestamps=False) as archive:
        used: set[str] = set()
        for number, file in enumerate(files, 1):
            name = os.path.basename(file).replace("\\", "_").encode("utf-8", "replace").decode()  # on Windows a \ is a folder's
            names = chain([name], (f"{n} {name}" for n in count(number)))
            name = next(one for one in names if one.casefold() not in used)
            used.add(name.casefold())  # Windows and macOS unpack names that differ in case into one file
            try:
                source, info = open(file, "rb"), zipfile.ZipInfo.from_file(file, name, strict_timestamps=False)
            except OSError:
                continue
            with source, archive.open(info, "w") as member:
                while block := source.read(PIECE):
                    member.write(block)
                    yield from out.taken()
    yield from out.taken()


class _Pieces(io.RawIOBase):
    """A file that cannot be sought in: what was written is taken out again."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: "Buffer") -> int:
        self._parts.append(part := bytes(data))
        return len(part)

    def taken(self) -> list[bytes]:
        """Return what was written since the last time."""
        parts, self._parts = self._parts, []
        return parts


def _page(path: Path, _: list[str], hits: Sequence[Hit]) -> None:
    from .contact_sheet import write_contact_sheet

    write_contact_sheet(path, path.stem, list(hits))


WRITERS: dict[str, Callable[[Path, list[str], Sequence[Hit]], None]] = {
    "": _links, ".m3u": _playlist, ".m3u8": _playlist, ".zip": _zip, ".html": _page,
}  # fmt: skip
"""Ending → what writes it."""
