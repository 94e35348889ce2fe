"""Which files lie under a folder, and which of them have to be looked at again."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ...media.kinds import kind_of

NEVER_ENTERED = frozenset({"@eaDir", "node_modules", ".git", "System Volume Information", "$RECYCLE.BIN", "__MACOSX"})
"""Folders of other programs. Names that begin with a dot are not entered either."""


@dataclass(frozen=True)
class File:
    """One media file as the file system has it."""

    path: str
    """Absolute."""
    root: str
    """The folder it was found under, absolute."""
    kind: str
    """One of media.kinds.KINDS."""
    size: int
    """Bytes."""
    mtime: int
    """Nanoseconds since 1970."""


@dataclass(frozen=True)
class Known:
    """What the library holds of a file."""

    size: int
    mtime: int
    hash: str
    has_vector: bool
    """Whether it has a vector of the space in use."""


@dataclass(frozen=True)
class Changes:
    """A walk held against the library."""

    look: list[File]
    """New, changed, or without a vector of this space."""
    same: int
    """Known, with the same size and time."""
    gone: list[str]
    """Paths the library holds under these roots, and the file system no longer."""


def walk(roots: Iterable[Path], exclude: Iterable[str], problems: list[tuple[str, str]]) -> Iterator[File]:
    """All media files under the roots (a root may be one file), sorted within each folder, each path once.

    Symbolic links to folders are not followed. What cannot be listed or read is added to `problems`.
    """
    skip, given = NEVER_ENTERED | set(exclude), set()
    for root in map(os.path.abspath, roots):
        start = root if os.path.isdir(root) else os.path.dirname(root)
        found = walk_folder(root, start, skip, problems) if start == root else [as_file(root, start, problems)]
        for file in found:
            if file and file.path not in given:
                given.add(file.path)
                yield file


def walk_folder(folder: str, root: str, skip: set[str], problems: list[tuple[str, str]]) -> Iterator[File | None]:
    pending = [folder]
    while pending:
        folder = pending.pop()
        try:
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda e: e.name)
        except OSError as error:
            problems.append((folder, f"the folder cannot be listed ({error.strerror}); check its permissions"))
            continue
        below = []
        for entry in entries:
            if entry.name.startswith(".") or entry.name in skip:
                continue
            if entry.is_dir(follow_symlinks=False):
                below.append(entry.path)
            elif kind_of(Path(entry.name)):
                yield as_file(entry.path, root, problems)
        pending += reversed(below)


def as_file(path: str, root: str, problems: list[tuple[str, str]]) -> File | None:
    kind = kind_of(Path(path))
    try:
        stat = os.stat(path)
    except OSError as error:
        problems.append((path, f"it cannot be read ({error.strerror}); check the file or the link"))
        return None
    if kind is None or not os.path.isfile(path):
        problems.append((path, "it is neither a picture nor sound, film or document; give a folder, or such a file"))
        return None
    return File(path, root, kind, stat.st_size, stat.st_mtime_ns)


def compare(files: Iterable[File], known: dict[str, Known], roots: Iterable[Path]) -> Changes:
    """Hold a walk against what the library knows: size and time first, the content hash only where those differ."""
    look, same, here = [], 0, set()
    for file in files:
        here.add(file.path)
        old = known.get(file.path)
        if old and old.has_vector and (old.size, old.mtime) == (file.size, file.mtime):
            same += 1
        else:
            look.append(file)
    inside = tuple(os.path.join(os.path.abspath(r), "") for r in roots)
    exact = {os.path.abspath(r) for r in roots}
    gone = [p for p in known if p not in here and (p.startswith(inside) or p in exact) and is_gone(p)]
    return Changes(look, same, gone)


def is_gone(path: str) -> bool:
    """Whether the system says that there is no such file; an unreadable folder or a failing disk says no such thing."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False
