"""Which files lie under a folder, and which of them have to be embedded again."""

import contextlib
import hashlib
import os
import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from unicodedata import normalize

from ...media.kinds import is_unread_media, kind_of
from ...media.metadata.description import sidecar_names
from ..store.records import File, IndexedFile

LEFT_BEHIND = frozenset(
    {
        "@eadir", "#recycle", "@recycle", "recycler", "recycled", "$recycle.bin", "#snapshot", "lost+found", "node_modules", ".git",
        "system volume information", "__macosx", "thumbs.db", "desktop.ini",
    }
)  # fmt: skip
"""What systems and other programs put into folders, what was thrown away among it, in lower case; names that begin with a dot are
theirs, too."""

MOUNT_POINTS = ("/media/", "/mnt/", "/run/media/", "/Volumes/")
"""Where disks come and go: what is gone from there may come back."""
LAST_TIME = 2**63 - 1
"""Largest number of nanoseconds that is stored."""
SIDECARS = (".xmp", ".json")
"""Endings of files that describe the file beside them."""


@dataclass(frozen=True)
class Changes:
    """What differs between the file system and the library."""

    to_embed: list[File]
    """New, changed, or without a vector of this space."""
    same: int
    """Number of files with the same size and time."""
    gone: list[str]
    """Paths under these roots that are in the library, and no longer on disk."""
    unseen: dict[str, list[str]] = field(default_factory=dict)
    """Folder that looks as if its disk were not mounted → paths below it that are in the library, and cannot be seen."""
    to_describe: list[File] = field(default_factory=list)
    """Unchanged, but what describes them has changed, or was never read."""
    unsettled: int = 0
    """Number of files that changed a moment ago."""


def walk(
    roots: Iterable[Path], exclude: Iterable[str], problems: list[tuple[str, str]], folders: Collection[str] = ()
) -> Iterator[File]:
    """Yield all media files under the roots (a root may be one file), sorted within each folder, each path once.

    `folders` were indexed before: a root that is a file belongs to the longest that it is in, else to its own.
    Symbolic links to folders are not followed. They, where they lead outside their root, and what cannot be listed or read are added to
    `problems`.
    """
    skip, given = frozenset(exclude), set[str]()
    for root in map(os.path.abspath, roots):
        around = [folder for folder in folders if root.startswith(os.path.join(folder, ""))]
        start = root if os.path.isdir(root) else max(around, key=len, default=os.path.dirname(root))
        found = _walk_folder(root, start, skip, problems) if start == root else [_as_file(root, start, problems)]
        for file in found:
            if file and file.path not in given:
                given.add(file.path)
                yield file


def _walk_folder(folder: str, root: str, skip: frozenset[str], problems: list[tuple[str, str]]) -> Iterator[File | None]:
    """Yield a folder's media files and those below it; None for one that cannot be read."""
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
        sidecars = {entry.name for entry in entries if entry.name.lower().endswith(SIDECARS)}
        for entry in entries:
            if entry.name in skip or is_left_behind(entry.name):
                continue
            if entry.is_dir(follow_symlinks=False):
                below.append(entry.path)
            elif entry.is_symlink() and os.path.isdir(entry.path):
                if not Path(entry.path).resolve().is_relative_to(Path(root).resolve()):
                    problems.append((entry.path, "links to folders are not followed; give the folder itself, too"))
            elif kind_of(Path(entry.name)):
                yield _as_file(entry.path, root, problems, sidecars)
            elif is_unread_media(Path(entry.name)):
                problems.append((entry.path, f"{Path(entry.name).suffix} files are not read; save it as another kind of file"))
        pending += reversed(below)


def _as_file(path: str, root: str, problems: list[tuple[str, str]], sidecars: set[str] | None = None) -> File | None:
    """Return a path as a media file; None, and an entry in `problems`, where it is none.

    `sidecars` are the names of what lies in its folder and may describe it; without it the disk is asked.
    """
    kind = kind_of(Path(path))
    try:
        stat = os.stat(path)
    except OSError as error:
        problems.append((path, f"it cannot be read ({error.strerror}); check the file or the link"))
        return None
    if kind is None or not os.path.isfile(path):
        problems.append((path, "it is neither a picture nor sound, video or document; give a folder, or such a file"))
        return None
    changed = storable(stat.st_mtime_ns)
    return File(path, root, kind, stat.st_size, changed, _described(path, changed, sidecars))


def storable(nanoseconds: int) -> int:
    """Return a file's time as it can be stored: years after 2262 and before 1677, which file systems allow, become these."""
    return max(-LAST_TIME, min(LAST_TIME, nanoseconds))


def _described(path: str, changed: int, sidecars: set[str] | None) -> int:
    """Return a number that is another one as soon as what describes a file is another: its own time, where nothing lies beside it.

    A file beside it may be older than what it describes, as one from a backup is, and may go away again.
    """
    if sidecars is not None and not sidecars:
        return changed
    folder, name = os.path.split(path)
    others = []
    for sidecar in sidecar_names(name):
        if sidecars is None or sidecar in sidecars:
            with contextlib.suppress(OSError):
                stat = os.stat(os.path.join(folder, sidecar))
                others.append((sidecar, stat.st_mtime_ns, stat.st_size))
    if not others:
        return changed
    return int.from_bytes(
        hashlib.blake2b(repr((changed, others)).encode("utf-8", "replace"), digest_size=8).digest(), signed=True
    )


def compare(files: Iterable[File], indexed: dict[str, IndexedFile], roots: Iterable[Path], settle: float = 0.0) -> Changes:
    """Compare files on disk with the library, by size and time; those that changed in the last `settle` seconds are left alone."""
    to_embed, to_describe, same, unsettled, here = [], [], 0, 0, set()
    settled = time.time_ns() - int(settle * 1e9)
    for file in files:
        here.add(file.path)
        old = indexed.get(file.path)
        if old and old.has_vector and (old.size, old.mtime) == (file.size, file.mtime):
            same += 1
            if old.described != file.described:
                to_describe.append(file)
        elif settle and settled < file.mtime <= time.time_ns():
            unsettled += 1
        else:
            to_embed.append(file)
    inside = tuple(os.path.join(os.path.abspath(r), "") for r in roots if not r.is_file())
    exact = {os.path.abspath(r) for r in roots}
    missing = [p for p in indexed if p not in here and (p.startswith(inside) or p in exact) and _is_gone(p)]
    gone, unseen, unmounted = [], dict[str, list[str]](), dict[str, str]()  # folder → that which is not mounted, or nothing
    for path in missing:
        folder = os.path.dirname(path)
        if folder not in unmounted:
            there = _nearest_folder(folder)
            unmounted[folder] = there if looks_unmounted(there) else ""
        if there := unmounted[folder]:
            unseen.setdefault(there, []).append(path)
        else:
            gone.append(path)
    return Changes(to_embed, same, gone, unseen, to_describe, unsettled)


def is_left_behind(name: str) -> bool:
    """Whether a name in a folder is of what systems and other programs put there."""
    return name.startswith(".") or name.lower() in LEFT_BEHIND


def looks_unmounted(folder: str) -> bool:
    """Whether a folder holds nothing but what systems put there, as a mount point does whose disk is not there."""
    try:
        with os.scandir(folder) as listing:
            return all(is_left_behind(entry.name) for entry in listing)
    except OSError:
        return False


def was_moved(old: str, new: str) -> bool:
    """Whether a file that is gone from a place that was not looked at is the one that was found: its folder was renamed, on a disk that is
    there.
    """
    folder = _nearest_folder(os.path.dirname(old))
    if not _is_gone(old) or looks_unmounted(folder) or f"{folder}/".startswith(MOUNT_POINTS):
        return False
    try:
        return os.stat(folder).st_dev == os.stat(new).st_dev
    except OSError:
        return False


def _nearest_folder(folder: str) -> str:
    """Return a folder, or the nearest above it that exists."""
    while not os.path.isdir(folder) and folder != os.path.dirname(folder):
        folder = os.path.dirname(folder)
    return folder


def _is_gone(path: str) -> bool:
    """Whether the file system says that there is no such file; an unreadable folder or a failing disk does not say so.

    Where names that differ in case, or in how their accents are written, are one file, its folder says how it is spelt.
    """
    folder, name = os.path.split(path)
    try:
        os.lstat(path)
        return _has_another_spelling(folder, name) and name not in os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False


def _has_another_spelling(folder: str, name: str) -> bool:
    """Whether a file can be opened by a name that differs in case, or in how its accents are written."""
    spellings = {name.swapcase(), normalize("NFC", name), normalize("NFD", name)} - {name}
    others = (os.path.join(folder, other) for other in spellings)
    return any(os.path.exists(other) and os.path.samefile(other, os.path.join(folder, name)) for other in others)
